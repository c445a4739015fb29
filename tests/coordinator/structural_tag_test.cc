#include "coordinator/core/structural_tag.h"

#include <gtest/gtest.h>

#include <string>

namespace phalanx {
namespace {

std::string Convert(const std::string& text) {
  const StatusOr<std::string> tag = ToTagOfFormats("tag", text, Limits{});
  return tag.ok() ? *tag : tag.status().field();
}

TEST(StructuralTagTest, ATreeOfFormatsStaysInItsOrder) {
  EXPECT_EQ(Convert(R"({"type":"structural_tag", "format":{"z":1,"a":2}})"),
            R"({"type":"structural_tag","format":{"z":1,"a":2}})");
}

TEST(StructuralTagTest, StructuresBecomeTriggeredTags) {
  EXPECT_EQ(Convert(R"({"type":"structural_tag","triggers":["<f="],"structures":[
                        {"begin":"<f=a>","schema":{"z":1,"a":2},"end":"</f>"}]})"),
            R"({"type":"structural_tag","format":{"type":"triggered_tags","triggers":["<f="],)"
            R"("tags":[{"begin":"<f=a>","content":{"type":"json_schema",)"
            R"("json_schema":{"z":1,"a":2}},"end":"</f>"}]}})");
}

TEST(StructuralTagTest, RefusesWhatIsNeither) {
  for (const char* text :
       {"", "[]", "{}", R"({"structures":[]})", R"({"structures":[5],"triggers":["a"]})",
        R"({"structures":{},"triggers":["a"]})", R"({"format":{"a":1,"a":2}})"}) {
    EXPECT_EQ(Convert(text), "tag") << text;
  }
  EXPECT_EQ(Convert(R"({"format":")" + std::string(70'000, 'x') + "\"}"), "tag");
}

}  // namespace
}  // namespace phalanx
