#include "client/answer_json.h"

#include <gtest/gtest.h>

namespace phalanx {
namespace {

TEST(AnswerJsonTest, HoldsWhatScriptsRead) {
  StreamedAnswer answer;
  v1::Choice& choice = *answer.response.add_choices();
  choice.set_text("hé");
  choice.add_token_ids(4);
  choice.set_finish_reason(v1::FINISH_REASON_LENGTH);
  v1::TokenLogprob& logprob = *choice.add_logprobs();
  logprob.set_token_id(4);
  logprob.set_logprob(-0.25f);
  logprob.set_token("\xc3");  // half a character
  answer.response.mutable_usage()->set_prompt_tokens(3);
  answer.response.mutable_usage()->set_completion_tokens(1);
  answer.response.mutable_usage()->set_seed(UINT64_MAX);

  const auto json = nlohmann::json::parse(ToLine(ToJson(answer)));
  EXPECT_EQ(json["text"], "hé");
  EXPECT_EQ(json["token_ids"], nlohmann::json::array({4}));
  EXPECT_EQ(json["finish_reason"], "length");
  EXPECT_EQ(json["logprobs"][0]["logprob"], -0.25);
  EXPECT_EQ(json["logprobs"][0]["bytes"], nlohmann::json::array({0xc3}));
  EXPECT_EQ(json["logprobs"][0]["token"], "\xef\xbf\xbd");
  EXPECT_EQ(json["usage"]["total_tokens"], 4);
  EXPECT_EQ(json["usage"]["seed"], UINT64_MAX);
  EXPECT_TRUE(json["timings"].contains("prefill_ms"));
  EXPECT_TRUE(json["timings"]["decode_tokens_per_s"].is_null()) << "one token has no rate";
  EXPECT_FALSE(json.contains("choices"));
  EXPECT_FALSE(json.contains("reasoning_content"));
  choice.set_reasoning_content("Hm.");
  EXPECT_EQ(ToJson(answer)["reasoning_content"], "Hm.");

  choice.add_token_ids(5);
  choice.add_token_ids(6);
  answer.response.mutable_timings()->set_decode_ms(4);
  EXPECT_EQ(ToJson(answer)["timings"]["decode_tokens_per_s"], 500.0);
}

TEST(AnswerJsonTest, SeveralChoices) {
  StreamedAnswer answer;
  answer.response.add_choices()->set_text("a");
  v1::Choice& second = *answer.response.add_choices();
  second.set_text("b");
  second.set_index(1);
  const auto json = ToJson(answer);
  EXPECT_EQ(json["text"], "a");
  EXPECT_TRUE(json["logprobs"].is_null());
  ASSERT_EQ(json["choices"].size(), 2u);
  EXPECT_EQ(json["choices"][1]["text"], "b");
  EXPECT_EQ(json["choices"][1]["index"], 1);
}

}  // namespace
}  // namespace phalanx
