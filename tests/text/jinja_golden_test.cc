// The interpreter against what jinja2 made of the same templates (make_jinja_goldens.py).
#include <gtest/gtest.h>

#include "tests/text/golden_files.h"
#include "text/jinja/json_value.h"
#include "text/jinja/template.h"

namespace phalanx::jinja {
namespace {

using Json = nlohmann::json;
using phalanx::testing::GoldenDir;
using phalanx::testing::ReadFile;
using phalanx::testing::ReadGoldens;
using phalanx::testing::SharedDir;

Dict DictOf(const std::string& json) {
  const auto value = ValueFromJson("context", json);
  EXPECT_TRUE(value.ok()) << value.status();
  return value->dict();
}

StatusOr<std::string> Rendered(const std::string& source, const Dict& context) {
  PHALANX_ASSIGN_OR_RETURN(const Template parsed, Template::Parse(source));
  return parsed.Render(context);
}

// The same text, or an error in both.
void ExpectEqual(const StatusOr<std::string>& actual, const Json& expected,
                 const std::string& what) {
  if (expected.is_null()) {
    EXPECT_FALSE(actual.ok()) << what << "\nmade " << *actual;
  } else if (!actual.ok()) {
    ADD_FAILURE() << what << '\n' << actual.status();
  } else {
    EXPECT_EQ(*actual, expected.get<std::string>()) << what;
  }
}

TEST(JinjaGoldenTest, SnippetsRenderAsInJinja2) {
  const Dict context = DictOf(ReadFile(GoldenDir() / "jinja_context.json"));
  int count = 0;
  for (const Json& row : ReadGoldens("jinja_snippets.jsonl")) {
    const std::string source = row["template"];
    ExpectEqual(Rendered(source, context), row["expected"], source);
    ++count;
  }
  EXPECT_GE(count, 500);
}

TEST(JinjaGoldenTest, PublishedTemplatesRenderAsInJinja2) {
  const auto folder = SharedDir() / "chat-templates";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  // Objects keep their order only as text.
  std::ifstream file(GoldenDir() / "jinja_chats.jsonl");
  int count = 0;
  for (std::string line; std::getline(file, line); ++count) {
    const auto row = nlohmann::ordered_json::parse(line);
    const std::string name = row["template"];
    const std::string context = row["context"].dump();
    ExpectEqual(Rendered(ReadFile(folder / name), DictOf(context)), row["expected"],
                name + " " + context);
  }
  EXPECT_GE(count, 100);
}

}  // namespace
}  // namespace phalanx::jinja
