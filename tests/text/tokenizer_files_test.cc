// Broken and unsupported files are refused, naming file, field, what was found and what is allowed.
#include "text/tokenizer_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>

#include "tests/testing/cpu_time.h"
#include "tests/text/golden_files.h"
#include "text/tokenizer.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::json;
using testing::GoldenDir;
using testing::ReadFile;
using testing::TemporaryFolder;

struct BadFile {
  std::string name;
  std::function<void(Json&)> break_it;
  std::string expected;
};

TEST(TokenizerFilesTest, ADeepFileIsRefused) {
  constexpr size_t kDepth = 200'000;
  const TemporaryFolder folder;
  folder.Write("tokenizer.json",
               R"({"model":{"type":)" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}}");
  const auto tokenizer = Tokenizer::Load(folder.path());
  EXPECT_EQ(tokenizer.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(tokenizer.status().message(), HasSubstr("nested deeper than"));
}

TEST(TokenizerFilesTest, ManyAddedTokensCostNoMoreThanTheirText) {
  const auto make = [](int num_added) {
    Json json = Json::parse(ReadFile(GoldenDir() / "tokenizers/bos/tokenizer.json"));
    for (int i = 0; i < num_added; ++i) {
      json["added_tokens"].push_back({{"id", 10'000 + i},
                                      {"content", "<added_" + std::to_string(i) + ">"},
                                      {"special", true}});
    }
    auto folder = std::make_unique<TemporaryFolder>();
    folder->Write("tokenizer.json", json.dump());
    return folder;
  };
  const auto run = [](const std::unique_ptr<TemporaryFolder>& folder) {
    EXPECT_TRUE(Tokenizer::Load(folder->path()).ok());
  };
  EXPECT_LT(testing::GrowthWithFourTimes(10'000, make, run), testing::kLinearGrowth);
}

class BadFileTest : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadFileTest, IsRefused) {
  Json json = Json::parse(ReadFile(GoldenDir() / "tokenizers/bos/tokenizer.json"));
  GetParam().break_it(json);
  const TemporaryFolder folder;
  folder.Write("tokenizer.json", json.dump());
  const auto tokenizer = Tokenizer::Load(folder.path());
  ASSERT_FALSE(tokenizer.ok());
  EXPECT_EQ(tokenizer.status().code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(tokenizer.status().message(), HasSubstr("tokenizer.json"));
  EXPECT_THAT(tokenizer.status().message(), HasSubstr(GetParam().expected));
  EXPECT_THAT(tokenizer.status().message(), HasSubstr("allowed: "));
}

INSTANTIATE_TEST_SUITE_P(
    Fields, BadFileTest,
    ::testing::Values(
        BadFile{"ModelType", [](Json& j) { j["model"]["type"] = "Unigram"; }, "model.type"},
        BadFile{"NoModel", [](Json& j) { j.erase("model"); }, "model: is null"},
        BadFile{"Dropout", [](Json& j) { j["model"]["dropout"] = 0.1; }, "model.dropout: is 0.1"},
        BadFile{"Fallback", [](Json& j) { j["model"]["byte_fallback"] = true; }, "byte_fallback"},
        BadFile{"EmptyVocab", [](Json& j) { j["model"]["vocab"] = Json::object(); }, "model.vocab"},
        BadFile{"NegativeId", [](Json& j) { j["model"]["vocab"]["a"] = -1; }, "is -1"},
        BadFile{"HugeId", [](Json& j) { j["model"]["vocab"]["a"] = 1ull << 63; }, "9223372036"},
        BadFile{"FarId", [](Json& j) { j["model"]["vocab"]["a"] = 16'000'000; }, "is 16000000"},
        BadFile{"TextId", [](Json& j) { j["model"]["vocab"]["a"] = "1"; }, "an integer"},
        BadFile{"SameId", [](Json& j) { j["model"]["vocab"]["a"] = j["model"]["vocab"]["b"]; },
                "no other token"},
        BadFile{"Merge",
                [](Json& j) {
                  j["model"]["merges"][3] = {"qq", "zz"};
                },
                "merges[3]"},
        BadFile{"MergeShape", [](Json& j) { j["model"]["merges"][3] = 7; }, "merges[3]: is 7"},
        BadFile{"Merges", [](Json& j) { j["model"]["merges"] = 7; }, "model.merges: is 7"},
        BadFile{"Normalizer",
                [](Json& j) {
                  j["normalizer"] = {{"type", "Lowercase"}};
                },
                "normalizer.type: is \"Lowercase\""},
        BadFile{"PreTokenizer", [](Json& j) { j["pre_tokenizer"] = nullptr; }, "pre_tokenizer"},
        BadFile{
            "Regex",
            [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+"; },
            "pattern.Regex"},
        BadFile{"Behavior",
                [](Json& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; },
                "behavior: is \"Removed\""},
        BadFile{"PrefixSpace",
                [](Json& j) { j["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = true; },
                "add_prefix_space: is true"},
        BadFile{"PostProcessor", [](Json& j) { j["post_processor"]["type"] = "BertProcessing"; },
                "post_processor.type"},
        BadFile{"TemplateId",
                [](Json& j) {
                  for (auto& token : j["post_processor"]["special_tokens"]) token["ids"] = {99999};
                },
                "99999"},
        BadFile{"Decoder", [](Json& j) { j["decoder"]["type"] = "WordPiece"; }, "decoder.type"},
        BadFile{"AddedId", [](Json& j) { j["added_tokens"][0]["id"] = 0; }, "added token"},
        BadFile{"AddedTwice", [](Json& j) { j["added_tokens"][1] = j["added_tokens"][0]; }, "once"},
        BadFile{"AddedEmpty", [](Json& j) { j["added_tokens"][0]["content"] = ""; }, "content"},
        BadFile{"AddedFlag", [](Json& j) { j["added_tokens"][0]["lstrip"] = 1; }, "lstrip: is 1"},
        BadFile{"UnknownToken",
                [](Json& j) {
                  j["model"]["unk_token"] = "b";
                  j["model"]["vocab"].erase("!");
                },
                "unk_token"}),
    [](const auto& info) { return info.param.name; });

TEST(TokenizerFilesTest, MissingFilesAreNotFound) {
  const TemporaryFolder folder;
  EXPECT_EQ(Tokenizer::Load(folder.path()).status().code(), StatusCode::kNotFound);
  folder.Write("vocab.json", R"({"a": 0})");
  const auto status = Tokenizer::Load(folder.path()).status();
  EXPECT_EQ(status.code(), StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("merges.txt"));
}

TEST(TokenizerFilesTest, EveryTruncationIsRefusedOrLoads) {
  const std::string whole = ReadFile(GoldenDir() / "tokenizers/bos/tokenizer.json");
  const TemporaryFolder folder;
  for (size_t size = 0; size + 2 < whole.size(); size += 97) {
    folder.Write("tokenizer.json", whole.substr(0, size));
    EXPECT_EQ(Tokenizer::Load(folder.path()).status().code(), StatusCode::kInvalidArgument) << size;
  }
}

TEST(TokenizerFilesTest, ReadsVocabAndMerges) {
  const TemporaryFolder folder;
  folder.Write("vocab.json", R"({"a": 0, "b": 1, "ab": 2})");
  folder.Write("merges.txt", "#version: 0.2\na b\r\n");
  folder.Write("tokenizer_config.json",
               R"({"tokenizer_class": "Qwen2Tokenizer", "eos_token": {"content": "<e>"},
                   "added_tokens_decoder": {"3": {"content": "<e>", "special": true}}})");
  const auto tokenizer = Tokenizer::Load(folder.path());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ(*(*tokenizer)->Encode("ab<e>ba"), (std::vector<int32_t>{2, 3, 1, 0}));
  EXPECT_EQ((*tokenizer)->eos_id(), 3);

  folder.Write("merges.txt", "a b\na  b\n");
  EXPECT_THAT(Tokenizer::Load(folder.path()).status().message(), HasSubstr("merges.txt: line 2"));
  folder.Write("merges.txt", "");
  folder.Write("tokenizer_config.json", R"({"tokenizer_class": "BertTokenizer"})");
  EXPECT_THAT(Tokenizer::Load(folder.path()).status().message(), HasSubstr("tokenizer_class"));
}

}  // namespace
}  // namespace phalanx
