#include "coordinator/core/sampling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using ::testing::StartsWith;

class SamplingTest : public ::testing::Test {
 protected:
  static std::unique_ptr<const ServedModel> Model(const std::string& override_config = "") {
    auto model = ServedModel::Load({.model_dir = testing::DemoModel(),
                                    .generation_config = "vllm",
                                    .override_generation_config = override_config});
    PHALANX_CHECK(model.ok());
    return *std::move(model);
  }

  static RequestParams Resolve(const v1::SamplingParams& request, const ServedModel& model,
                               DefaultMaxTokens default_max_tokens = DefaultMaxTokens::kSixteen) {
    StatusOr<RequestParams> params = ResolveSampling(request, model, {}, default_max_tokens);
    PHALANX_CHECK(params.ok());
    return *std::move(params);
  }
};

TEST_F(SamplingTest, AbsentFieldsTakeTheModelsDefaultsAndPresentZerosDoNot) {
  const auto model =
      Model(R"({"temperature":0.7,"top_k":20,"top_p":0.8,"min_p":0.1,"repetition_penalty":1.05})");
  v1::SamplingParams request;
  RequestParams params = Resolve(request, *model);
  EXPECT_FLOAT_EQ(params.engine.temperature(), 0.7F);
  EXPECT_EQ(params.engine.top_k(), 20);
  EXPECT_FLOAT_EQ(params.engine.top_p(), 0.8F);
  EXPECT_FLOAT_EQ(params.engine.min_p(), 0.1F);
  EXPECT_FLOAT_EQ(params.engine.repetition_penalty(), 1.05F);
  request.set_temperature(0);
  request.set_top_k(-1);
  request.set_top_p(1);
  request.set_min_p(0);
  request.set_repetition_penalty(1);
  params = Resolve(request, *model);
  EXPECT_EQ(params.engine.temperature(), 0);
  EXPECT_EQ(params.engine.top_k(), 0);
  EXPECT_EQ(params.engine.top_p(), 1);
  EXPECT_EQ(params.engine.min_p(), 0);
  EXPECT_EQ(params.engine.repetition_penalty(), 1);
  EXPECT_EQ(params.engine.logprobs(), -1);
}

TEST_F(SamplingTest, SeedsAreDrawnWhereAbsent) {
  const auto model = Model();
  v1::SamplingParams request;
  const uint64_t first = Resolve(request, *model).engine.seed();
  EXPECT_NE(first, Resolve(request, *model).engine.seed());
  request.set_seed(0);
  EXPECT_EQ(Resolve(request, *model).engine.seed(), 0U);
}

TEST_F(SamplingTest, EosAndStopTokensStayApart) {
  const auto model = Model();
  ASSERT_THAT(model->eos_token_ids(), ElementsAre(2045));
  v1::SamplingParams request;
  for (const int32_t id : {9, 2045, 3, 9}) request.add_stop_token_ids(id);
  RequestParams params = Resolve(request, *model);
  EXPECT_THAT(params.engine.eos_token_ids(), ElementsAre(2045));
  EXPECT_THAT(params.engine.stop_token_ids(), ElementsAre(3, 9));
  request.set_ignore_eos(true);
  params = Resolve(request, *model);
  EXPECT_THAT(params.engine.eos_token_ids(), ElementsAre());
  EXPECT_THAT(params.engine.stop_token_ids(), ElementsAre(3, 9, 2045));
}

TEST_F(SamplingTest, BadWordsAreBannedBareAndAfterASpace) {
  const auto model = Model();
  const auto encode = [&](std::string_view text) {
    return *model->tokenizer()->Encode(text, {.special_tokens = SpecialTokens::kOmit});
  };
  v1::SamplingParams request;
  request.add_bad_words(" the");
  const RequestParams params = Resolve(request, *model);
  const std::vector<int32_t> bare = encode("the");
  const std::vector<int32_t> spaced = encode(" the");
  ASSERT_GE(params.engine.bad_words_size(), 1);
  EXPECT_THAT(params.engine.bad_words(0).token_ids(), ::testing::ElementsAreArray(bare));
  const bool same_length = bare.size() == spaced.size() && bare.front() != spaced.front();
  ASSERT_EQ(params.engine.bad_words_size(), same_length ? 2 : 1);
  if (same_length) {
    EXPECT_THAT(params.engine.bad_words(1).token_ids(), ::testing::ElementsAreArray(spaced));
  }
}

TEST_F(SamplingTest, AllowedIdsThatLeaveNoTokenAreRefusedAtOnce) {
  const auto model = Model();
  v1::SamplingParams request;
  const auto resolve = [&] {
    return ResolveSampling(request, *model, {}, DefaultMaxTokens::kSixteen).status();
  };
  request.add_allowed_token_ids(77);
  request.add_stop_token_ids(77);
  EXPECT_TRUE(resolve().ok());
  request.set_min_tokens(2);
  EXPECT_EQ(resolve().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(resolve().field(), "sampling.allowed_token_ids");
  EXPECT_THAT(resolve().message(), StartsWith("sampling.allowed_token_ids: is [77], allowed: "));
  request.add_allowed_token_ids(78);
  EXPECT_TRUE(resolve().ok());
}

TEST_F(SamplingTest, StructuredOutputsReachTheWorkerWithTheirField) {
  const auto model = Model();
  v1::SamplingParams request;
  EXPECT_FALSE(Resolve(request, *model).engine.has_grammar());
  request.mutable_structured_outputs()->set_regex("a+");
  internal::Grammar grammar = Resolve(request, *model).engine.grammar();
  EXPECT_EQ(grammar.kind(), internal::GRAMMAR_KIND_REGEX);
  EXPECT_EQ(grammar.source(), "a+");
  EXPECT_EQ(grammar.field(), "sampling.structured_outputs.regex");
  request.mutable_structured_outputs()->mutable_choice()->add_choices("b");
  grammar = Resolve(request, *model).engine.grammar();
  EXPECT_EQ(grammar.kind(), internal::GRAMMAR_KIND_CHOICE);
  EXPECT_THAT(grammar.choices(), ElementsAre("b"));
  request.mutable_structured_outputs()->set_json_schema("{}");
  EXPECT_EQ(Resolve(request, *model).engine.grammar().kind(), internal::GRAMMAR_KIND_JSON_SCHEMA);
  request.mutable_structured_outputs()->set_json_object(true);
  EXPECT_EQ(Resolve(request, *model).engine.grammar().kind(), internal::GRAMMAR_KIND_JSON_OBJECT);
}

TEST_F(SamplingTest, MaxTokensFitsTheContext) {
  const auto model = Model();
  v1::SamplingParams request;
  RequestParams params = Resolve(request, *model);
  ASSERT_TRUE(FitToContext(10, 100, &params).ok());
  EXPECT_EQ(params.engine.max_tokens(), 16);
  params = Resolve(request, *model);
  ASSERT_TRUE(FitToContext(90, 100, &params).ok());
  EXPECT_EQ(params.engine.max_tokens(), 10);
  params = Resolve(request, *model, DefaultMaxTokens::kRestOfContext);
  ASSERT_TRUE(FitToContext(10, 100, &params).ok());
  EXPECT_EQ(params.engine.max_tokens(), 90);
  request.set_max_tokens(90);
  params = Resolve(request, *model);
  EXPECT_TRUE(FitToContext(10, 100, &params).ok());
  EXPECT_EQ(FitToContext(11, 100, &params).field(), "sampling.max_tokens");
  EXPECT_EQ(FitToContext(100, 100, &params).field(), "prompt");
  request.set_echo(true);
  request.set_max_tokens(0);
  params = Resolve(request, *model);
  EXPECT_TRUE(FitToContext(99, 100, &params).ok());
  EXPECT_EQ(FitToContext(100, 100, &params).field(), "prompt");
}

}  // namespace
}  // namespace phalanx
