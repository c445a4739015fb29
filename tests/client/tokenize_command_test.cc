#include "tests/client/client_fixture.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::HasSubstr;

TEST_F(ClientTest, TokenizeOffline) {
  const std::string model = std::string(PHALANX_SOURCE_DIR) + "/launch/demo/model";
  const std::string text = "Hello, W\xc3\xb6rld!\n  two";
  const Outcome ids = Run("tokenize --json --model " + model, text);
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_TRUE(json::parse(ids.out).is_array());
  EXPECT_EQ(Run("detokenize --model " + model, ids.out).out, text);
  const Outcome plain = Run("tokenize --model " + model, text);
  EXPECT_EQ(Run("detokenize --model " + model, plain.out).out, text);

  const Outcome lines = Run("tokenize --jsonl --model " + model, "\"a\"\n5\n\"\\ud800\"\n");
  EXPECT_EQ(lines.exit_code, 0);
  std::istringstream stream(lines.out);
  std::string line;
  std::getline(stream, line);
  EXPECT_TRUE(json::parse(line).is_array());
  EXPECT_EQ(Run("detokenize --jsonl --model " + model, line + "\n").out, "\"a\"\n");
  for (int i = 0; i < 2; ++i) {
    std::getline(stream, line);
    EXPECT_TRUE(json::parse(line).contains("error")) << line;
  }
  EXPECT_EQ(Run("tokenize --model /no/such/folder").exit_code, 2);
  EXPECT_EQ(Run("detokenize --model " + model, "[1, x]").exit_code, 2);
}

TEST_F(ClientTest, TokenizeSaysWhatIsWrong) {
  const std::string model = std::string(PHALANX_SOURCE_DIR) + "/launch/demo/model";
  EXPECT_THAT(Run("tokenize --model /no/such").err,
              HasSubstr("--model: is \"/no/such\", no folder"));
  EXPECT_THAT(Run("tokenize --model " + directory_).err, HasSubstr("has no tokenizer.json"));
  EXPECT_THAT(Run("tokenize --model " + model + "/config.json").err,
              HasSubstr("a file, allowed: "));
  EXPECT_THAT(Run("tokenize --model " + model, "a\xff").err, HasSubstr("no UTF-8 at byte 1"));
  EXPECT_EQ(Run("tokenize --jsonl --model " + model, "x\n5\n\"\xff\"\n").out,
            "{\"error\":\"line: is no JSON, wrong at byte 1, allowed: a JSON string\"}\n"
            "{\"error\":\"line: is 5, allowed: a JSON string\"}\n"
            "{\"error\":\"line: is no UTF-8 at byte 1 (0xff), allowed: UTF-8\"}\n");
  const std::string allowed = ", allowed: a JSON list of token ids from 0 to 2147483647\"}\n";
  EXPECT_EQ(Run("detokenize --jsonl --model " + model, "[1\n{}\n[-1]\n").out,
            "{\"error\":\"line: is no JSON, wrong at byte 3" + allowed +
                "{\"error\":\"line: is {}" + allowed + "{\"error\":\"line: is -1" + allowed);
}

}  // namespace
}  // namespace phalanx
