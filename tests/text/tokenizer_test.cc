#include "text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "tests/text/golden_files.h"
#include "text/detokenizer.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using testing::GoldenDir;
using ::testing::HasSubstr;
using testing::ReadGoldens;
using testing::SharedDir;
using testing::SourceDir;

constexpr EncodeOptions kPlain{SpecialTokens::kOmit};
constexpr DecodeOptions kSkip{SpecialTokenText::kSkip};

std::unique_ptr<Tokenizer> LoadOrDie(const std::filesystem::path& folder) {
  auto tokenizer = Tokenizer::Load(folder);
  EXPECT_TRUE(tokenizer.ok()) << tokenizer.status();
  return tokenizer.ok() ? *std::move(tokenizer) : nullptr;
}

std::string DecodeOneByOne(const Tokenizer& tokenizer, const std::vector<int32_t>& ids,
                           DecodeOptions options) {
  IncrementalDetokenizer detokenizer(tokenizer, options);
  std::string text;
  for (const int32_t id : ids) text += *detokenizer.Append(id);
  return text + detokenizer.Flush();
}

class GoldenTest : public ::testing::TestWithParam<std::string> {
 protected:
  static std::filesystem::path Folder() {
    if (GetParam() == "demo") return SourceDir() / "launch/demo/model";
    if (GetParam() == "qwen2") return SharedDir() / "qwen2/tokenizer";
    return GoldenDir() / "tokenizers" / GetParam();
  }
};

TEST_P(GoldenTest, EqualsHuggingFace) {
  if (!std::filesystem::exists(Folder())) GTEST_SKIP() << Folder() << " is not there";
  const auto tokenizer = LoadOrDie(Folder());
  ASSERT_NE(tokenizer, nullptr);
  for (const auto& row : ReadGoldens(GetParam() + ".jsonl")) {
    SCOPED_TRACE(row.dump());
    const std::vector<int32_t> ids = row["ids"];
    if (row.contains("text")) {
      const std::string text = row["text"];
      EXPECT_EQ(*tokenizer->Encode(text), ids);
      EXPECT_EQ(*tokenizer->Encode(text, kPlain), row["plain_ids"].get<std::vector<int32_t>>());
    }
    EXPECT_EQ(*tokenizer->Decode(ids), row["decoded"].get<std::string>());
    EXPECT_EQ(*tokenizer->Decode(ids, kSkip), row["decoded_plain"].get<std::string>());
    EXPECT_EQ(DecodeOneByOne(*tokenizer, ids, {}), row["decoded"].get<std::string>());
    EXPECT_EQ(DecodeOneByOne(*tokenizer, ids, kSkip), row["decoded_plain"].get<std::string>());
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizers, GoldenTest,
                         ::testing::Values("bos", "flags", "gpt2", "llama3", "demo", "qwen2"),
                         [](const auto& info) { return info.param; });

TEST(TokenizerTest, NamesTheByteThatIsNoUtf8) {
  const auto tokenizer = LoadOrDie(GoldenDir() / "tokenizers/bos");
  for (const std::string& text : {std::string("abc\xFFz"), std::string("abc\xED\xA0\x80"),
                                  std::string("abc\xC0\x80"), std::string("abc\xE4\xBD")}) {
    const auto ids = tokenizer->Encode(text);
    EXPECT_EQ(ids.status().code(), StatusCode::kInvalidArgument);
    EXPECT_THAT(ids.status().message(), HasSubstr("byte 3"));
  }
}

TEST(TokenizerTest, RefusesUnknownIds) {
  const auto tokenizer = LoadOrDie(GoldenDir() / "tokenizers/bos");
  for (const int32_t id : {-1, tokenizer->vocab_size(), 1 << 30}) {
    const std::vector<int32_t> ids = {0, id};
    EXPECT_THAT(tokenizer->Decode(ids).status().message(), HasSubstr("token_ids[1]"));
    EXPECT_FALSE(tokenizer->IsKnown(id));
    EXPECT_FALSE(IncrementalDetokenizer(*tokenizer).Append(id).ok());
  }
}

TEST(TokenizerTest, ThreadsGetTheSameIds) {
  const auto tokenizer = LoadOrDie(GoldenDir() / "tokenizers/flags");
  const auto rows = ReadGoldens("flags.jsonl");
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (const auto& row : rows) {
        if (!row.contains("text")) continue;
        EXPECT_EQ(*tokenizer->Encode(row["text"].get<std::string>()),
                  row["ids"].get<std::vector<int32_t>>());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST(TokenizerTest, KnowsItsSpecialTokens) {
  const auto tokenizer = LoadOrDie(GoldenDir() / "tokenizers/llama3");
  const auto bos = tokenizer->TokenToId("<|begin_of_text|>");
  ASSERT_TRUE(bos.has_value());
  EXPECT_TRUE(tokenizer->IsSpecial(*bos));
  EXPECT_EQ(tokenizer->TokenBytes(*bos), "<|begin_of_text|>");
  EXPECT_EQ(tokenizer->IdToToken(*bos), "<|begin_of_text|>");
  EXPECT_FALSE(tokenizer->TokenToId("no such token").has_value());
  const auto space_the = tokenizer->TokenToId("\xC4\xA0the");
  ASSERT_TRUE(space_the.has_value());
  EXPECT_EQ(tokenizer->TokenBytes(*space_the), " the");
}

}  // namespace
}  // namespace phalanx
