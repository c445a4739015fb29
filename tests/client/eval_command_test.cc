#include <cmath>

#include "tests/client/client_fixture.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST_F(ClientTest, EvalScoresEachTokenOnce) {
  // Tokens 1 to 6; the fake server gives each but a window's first -id / 8.
  const std::string text = "a bb ccc dddd eeeee ffffff";
  const Outcome all = Online("eval", "perplexity --json --file -", text);
  ASSERT_EQ(all.exit_code, 0) << all.err;
  const json whole = json::parse(all.out);
  EXPECT_DOUBLE_EQ(whole["negative_log_likelihood"], (2 + 3 + 4 + 5 + 6) / 8.0);
  EXPECT_DOUBLE_EQ(whole["perplexity"], std::exp(0.5));
  EXPECT_EQ(whole["scored_tokens"], 5);
  EXPECT_EQ(whole["tokens"], 6);
  EXPECT_EQ(whole["bytes"], text.size());
  EXPECT_EQ(whole["windows"], 1);
  EXPECT_EQ(whole["max_length"], 8);
  EXPECT_EQ(whole["stride"], 4);

  const json apart =
      json::parse(Online("eval", "perplexity --json --max-length 3 --stride 3 --file -", text).out);
  EXPECT_DOUBLE_EQ(apart["negative_log_likelihood"], (2 + 3 + 5 + 6) / 8.0);
  const json sliding =
      json::parse(Online("eval", "perplexity --json --max-length 3 --stride 1 --file -", text).out);
  EXPECT_EQ(sliding["negative_log_likelihood"], whole["negative_log_likelihood"]);
  EXPECT_EQ(sliding["windows"], 4);
  EXPECT_THAT(Online("eval", "perplexity --max-length 3 --stride 1 --file -", text).out,
              testing::MatchesRegex(
                  "perplexity 1\\.64872 \\+- .*: 5 of 6 tokens, 4 windows of 3, stride 1\n"));
}

TEST_F(ClientTest, EvalSaysWhatIsWrong) {
  struct Row {
    const char* arguments;
    const char* input;
    const char* message;
  };
  const Row rows[] = {
      {"perplexity --file -", "word", "--file: is 1 tokens, allowed: at least 2 tokens"},
      {"perplexity --file -", "a\xff", "--file: is no UTF-8 at byte 1 (0xff)"},
      {"perplexity --file /no/such", "", "/no/such"},
      {"perplexity --file - --max-length 9", "a b",
       "--max-length: is 9, allowed: at most 8, so that one more token fits the context of 9"},
      {"perplexity --file - --max-length 4 --stride 5", "a b",
       "--stride: is 5, allowed: at most the window's 4"},
      {"perplexity --file - --stride 0", "a b", "--stride: is '0', allowed: "},
      {"bleu --file -", "a b", "bleu"},
      {"perplexity", "", "--file"},
  };
  for (const Row& row : rows) {
    const Outcome outcome = Online("eval", row.arguments, row.input);
    EXPECT_EQ(outcome.exit_code, 2) << row.message;
    EXPECT_THAT(outcome.err, HasSubstr(row.message));
    EXPECT_EQ(outcome.out, "");
  }
}

}  // namespace
}  // namespace phalanx
