#include "coordinator/core/reasoning_splitter.h"

#include <gtest/gtest.h>

#include <vector>

namespace phalanx {
namespace {

struct Case {
  std::string text;
  std::string reasoning;
  std::string content;
};

const std::vector<Case>& Cases() {
  static const std::vector<Case> cases = {
      {"<think>\nHm.\n</think>\n\n42", "\nHm.\n", "\n\n42"},
      {"\n <think>Hm.</think>42", "Hm.", "42"},
      {"Hm.</think>42", "Hm.", "42"},  // the template has opened it
      {"Hm. It goes on", "Hm. It goes on", ""},
      {"a < b </thin", "a < b </thin", ""},
      {"</think>42", "", "42"},
      {"<think></think>", "", ""},
      {"Hm.</think>a</think>b<think>", "Hm.", "a</think>b<think>"},
      {"<thin", "<thin", ""},
      {"", "", ""},
  };
  return cases;
}

// Text that is cut every `step` bytes.
ReasoningSplitter::Pieces Split(const std::string& text, size_t step) {
  ReasoningSplitter splitter;
  ReasoningSplitter::Pieces all;
  const auto add = [&all](const ReasoningSplitter::Pieces& pieces) {
    all.reasoning += pieces.reasoning;
    all.content += pieces.content;
  };
  for (size_t at = 0; at < text.size(); at += step) add(splitter.Append(text.substr(at, step)));
  add(splitter.Finish());
  return all;
}

TEST(ReasoningSplitterTest, TheCutOfTheTextDoesNotShow) {
  for (const Case& one : Cases()) {
    for (size_t step = 1; step <= one.text.size() + 1; ++step) {
      const auto pieces = Split(one.text, step);
      EXPECT_EQ(pieces.reasoning, one.reasoning) << one.text << " by " << step;
      EXPECT_EQ(pieces.content, one.content) << one.text << " by " << step;
    }
  }
}

TEST(ReasoningSplitterTest, HoldsBackNoMoreThanATag) {
  ReasoningSplitter splitter;
  EXPECT_EQ(splitter.Append("Hm. <").reasoning, "Hm. ");
  EXPECT_EQ(splitter.Append("b").reasoning, "<b");
}

}  // namespace
}  // namespace phalanx
