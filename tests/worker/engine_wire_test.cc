// What the messages of the engine channel keep of the engine's types.
#include "worker/engine_wire.h"

#include <gtest/gtest.h>

#include <random>

namespace phalanx {
namespace {

internal::Submit FullSubmit() {
  internal::Submit submit;
  submit.set_request(7);
  submit.set_group(5);
  for (const int id : {3, 1, 2}) submit.add_prompt_ids(id);
  for (const int id : {9, 8}) submit.add_emitted_ids(id);
  submit.set_priority(-4);
  submit.set_cache_salt("tenant");
  internal::ResolvedSampling& sampling = *submit.mutable_sampling();
  sampling.set_temperature(0.5F);
  sampling.set_top_k(11);
  sampling.set_top_p(0.75F);
  sampling.set_min_p(0.125F);
  sampling.set_presence_penalty(-1);
  sampling.set_frequency_penalty(1.5F);
  sampling.set_repetition_penalty(1.25F);
  (*sampling.mutable_logit_bias())[40] = 2;
  (*sampling.mutable_logit_bias())[4] = -3;
  for (const int id : {6, 2, 6}) sampling.add_allowed_token_ids(id);
  sampling.add_bad_words()->add_token_ids(13);
  internal::BadWord& word = *sampling.add_bad_words();
  word.add_token_ids(15);
  word.add_token_ids(14);
  sampling.set_seed(0xfedcba9876543210U);
  sampling.set_choice(2);
  sampling.set_max_tokens(100);
  sampling.set_min_tokens(10);
  for (const int id : {22, 21}) sampling.add_stop_token_ids(id);
  for (const int id : {32, 31, 32}) sampling.add_eos_token_ids(id);
  sampling.set_logprobs(3);
  sampling.set_prompt_logprobs(-1);
  return submit;
}

TEST(EngineWireTest, ARequestKeepsEveryField) {
  const EngineRequest request = FromWire(FullSubmit());
  EXPECT_EQ(request.id, 7U);
  EXPECT_EQ(request.group, 5U);
  EXPECT_EQ(request.prompt_ids, (std::vector<int32_t>{3, 1, 2}));
  EXPECT_EQ(request.emitted_ids, (std::vector<int32_t>{9, 8}));
  EXPECT_EQ(request.priority, -4);
  EXPECT_EQ(request.cache_salt, "tenant");
  const SamplingParams& params = request.params;
  EXPECT_EQ(params.temperature, 0.5F);
  EXPECT_EQ(params.top_k, 11);
  EXPECT_EQ(params.top_p, 0.75F);
  EXPECT_EQ(params.min_p, 0.125F);
  EXPECT_EQ(params.presence_penalty, -1.0F);
  EXPECT_EQ(params.frequency_penalty, 1.5F);
  EXPECT_EQ(params.repetition_penalty, 1.25F);
  ASSERT_EQ(params.logit_bias.size(), 2U);
  EXPECT_EQ(params.logit_bias[0], (std::pair<int32_t, float>(4, -3.0F)));
  EXPECT_EQ(params.logit_bias[1], (std::pair<int32_t, float>(40, 2.0F)));
  EXPECT_EQ(params.allowed_token_ids, (std::vector<int32_t>{2, 6}));
  EXPECT_EQ(params.bad_words, (std::vector<std::vector<int32_t>>{{13}, {15, 14}}));
  EXPECT_EQ(params.seed, 0xfedcba9876543210U);
  EXPECT_EQ(params.choice, 2U);
  EXPECT_EQ(params.max_tokens, 100);
  EXPECT_EQ(params.min_tokens, 10);
  EXPECT_EQ(params.stop_token_ids, (std::vector<int32_t>{21, 22}));
  EXPECT_EQ(params.eos_token_ids, (std::vector<int32_t>{31, 32}));
  EXPECT_EQ(params.logprobs, 3);
  EXPECT_EQ(params.prompt_logprobs, -1);
}

TEST(EngineWireTest, AnOutputKeepsEveryField) {
  EngineOutput output;
  output.token = {.request = 7,
                  .slot = 1,
                  .index = 12,
                  .token_id = 300,
                  .finish = FinishReason::kStopToken,
                  .cached_tokens = 32};
  output.logprobs = {.token_id = 300, .logprob = -0.5F, .rank = 2, .top = {{301, -0.25F}}};
  output.prompt = {{.token_id = 1, .logprob = 0, .rank = 0, .top = {}},
                   {.token_id = 2, .logprob = -3, .rank = 9, .top = {{5, -1}, {6, -2}}}};
  output.queue_ns = 123;
  output.prefill_ns = 456;
  internal::RequestOutput wire;
  ASSERT_TRUE(wire.ParseFromString(ToWire(output).SerializeAsString()));
  EXPECT_EQ(wire.request(), 7U);
  EXPECT_EQ(wire.first_index(), 12);
  ASSERT_EQ(wire.tokens_size(), 1);
  EXPECT_EQ(wire.tokens(0).token_id(), 300);
  EXPECT_EQ(wire.tokens(0).logprob(), -0.5F);
  EXPECT_EQ(wire.tokens(0).rank(), 2);
  ASSERT_EQ(wire.tokens(0).top_size(), 1);
  EXPECT_EQ(wire.tokens(0).top(0).token_id(), 301);
  EXPECT_EQ(wire.tokens(0).top(0).logprob(), -0.25F);
  EXPECT_EQ(wire.finish(), internal::ENGINE_FINISH_STOP_TOKEN);
  EXPECT_EQ(wire.stop_token_id(), 300);
  EXPECT_EQ(wire.cached_tokens(), 32);
  EXPECT_EQ(wire.queue_ns(), 123);
  EXPECT_EQ(wire.prefill_ns(), 456);
  ASSERT_EQ(wire.prompt_size(), 2);
  EXPECT_EQ(wire.prompt(1).rank(), 9);
  EXPECT_EQ(wire.prompt(1).top_size(), 2);
}

TEST(EngineWireTest, EveryFinishHasAName) {
  const std::pair<FinishReason, internal::EngineFinish> table[] = {
      {FinishReason::kNone, internal::ENGINE_FINISH_NONE},
      {FinishReason::kEos, internal::ENGINE_FINISH_EOS},
      {FinishReason::kStopToken, internal::ENGINE_FINISH_STOP_TOKEN},
      {FinishReason::kLength, internal::ENGINE_FINISH_LENGTH},
      {FinishReason::kCancelled, internal::ENGINE_FINISH_CANCELLED},
  };
  for (const auto& [reason, name] : table) {
    EngineOutput output;
    output.token.finish = reason;
    EXPECT_EQ(ToWire(output).finish(), name);
    EXPECT_EQ(ToWire(output).stop_token_id(), 0);
  }
}

TEST(EngineWireTest, AFailedRequestCarriesItsErrorAndNoToken) {
  EngineOutput output;
  output.token = {.request = 8, .index = 3, .token_id = 5};
  output.status = InvalidField("bad_words", "all", "leave one token");
  const internal::RequestOutput wire = ToWire(output);
  EXPECT_EQ(wire.request(), 8U);
  EXPECT_EQ(wire.tokens_size(), 0);
  EXPECT_EQ(wire.finish(), internal::ENGINE_FINISH_ERROR);
  EXPECT_EQ(wire.error_code(), static_cast<int32_t>(StatusCode::kInvalidArgument));
  EXPECT_EQ(wire.error_field(), "bad_words");
  EXPECT_NE(wire.error().find("leave one token"), std::string::npos);
}

TEST(EngineWireTest, StatisticsKeepEveryField) {
  SchedulerStats stats{.num_running = 1,
                       .num_waiting = 2,
                       .num_places = 7,
                       .num_free_blocks = 3,
                       .num_cached_blocks = 8,
                       .num_preemptions = 4,
                       .prefix_cache_queries = 5,
                       .prefix_cache_hits = 6};
  for (const int64_t num_tokens : {1, 2, 8, 9, 16384, 20000}) stats.step_tokens.Add(num_tokens);
  const std::vector<RankStats> ranks = {
      {.rank = 0, .steps = 10, .step_ns = 11, .collective_ns = 12, .resident_bytes = 13},
      {.rank = 1,
       .steps = 20,
       .step_ns = 21,
       .collective_ns = 22,
       .resident_bytes = 23,
       .kv_cache_bytes = 24,
       .device = RankStats::DeviceMemory{.reserved_bytes = 25, .free_bytes = 26}}};
  const internal::EngineStats wire = ToWire(stats, ranks, 77);
  EXPECT_EQ(wire.last_step(), 77U);
  EXPECT_EQ(wire.num_running(), 1);
  EXPECT_EQ(wire.num_waiting(), 2);
  EXPECT_EQ(wire.num_places(), 7);
  EXPECT_EQ(wire.num_free_blocks(), 3);
  EXPECT_EQ(wire.num_cached_blocks(), 8);
  EXPECT_EQ(wire.num_preemptions(), 4);
  EXPECT_EQ(wire.prefix_cache_queries(), 5);
  EXPECT_EQ(wire.prefix_cache_hits(), 6);
  ASSERT_EQ(wire.ranks_size(), 2);
  EXPECT_EQ(wire.ranks(1).rank(), 1);
  EXPECT_EQ(wire.ranks(1).steps(), 20U);
  EXPECT_EQ(wire.ranks(1).step_ns(), 21U);
  EXPECT_EQ(wire.ranks(1).collective_ns(), 22U);
  EXPECT_EQ(wire.ranks(1).resident_bytes(), 23);
  EXPECT_EQ(wire.ranks(1).kv_cache_bytes(), 24);
  EXPECT_EQ(wire.ranks(1).device().reserved_bytes(), 25);
  EXPECT_EQ(wire.ranks(1).device().free_bytes(), 26);
  EXPECT_FALSE(wire.ranks(0).has_device());
  const internal::StepTokens& steps = wire.step_tokens();
  ASSERT_EQ(steps.counts_size(), steps.bounds_size() + 1);
  EXPECT_EQ(steps.sum(), 36404);
  EXPECT_EQ(steps.counts(0), 1) << "1";
  EXPECT_EQ(steps.counts(1), 2) << "2 and 8";
  EXPECT_EQ(steps.counts(2), 1) << "9";
  EXPECT_EQ(steps.counts(steps.bounds_size() - 1), 1) << "16384";
  EXPECT_EQ(steps.counts(steps.bounds_size()), 1) << "20000";
}

// Whatever bytes parse as a Submit convert without harm; the scheduler judges the values.
TEST(EngineWireTest, CutAndDamagedMessagesAreRefusedOrConvert) {
  const std::string whole = FullSubmit().SerializeAsString();
  std::mt19937 random(1);
  int converted = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string bytes = whole.substr(0, random() % (whole.size() + 1));
    for (uint32_t flips = random() % 4; flips > 0 && !bytes.empty(); --flips) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    internal::Submit submit;
    if (!submit.ParseFromString(bytes)) continue;
    const auto num_prompt = static_cast<size_t>(submit.prompt_ids_size());
    EXPECT_EQ(FromWire(std::move(submit)).prompt_ids.size(), num_prompt);
    ++converted;
  }
  EXPECT_GT(converted, 100);
}

}  // namespace
}  // namespace phalanx
