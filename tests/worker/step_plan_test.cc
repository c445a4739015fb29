#include "worker/step_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>

#include "kernels/adjust_logits.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;

const PlanLimits kLimits = {.max_num_seqs = 4,
                            .max_num_tokens = 8,
                            .max_model_len = 32,
                            .vocab_size = 100,
                            .block_size = 4,
                            .num_blocks = 16};

SamplingParams FullParams() {
  SamplingParams params;
  params.temperature = 0.5F;
  params.top_k = 40;
  params.top_p = 0.9F;
  params.min_p = 0.1F;
  params.presence_penalty = -1.0F;
  params.frequency_penalty = 1.5F;
  params.repetition_penalty = 1.1F;
  params.logit_bias = {{3, -100.0F}, {9, 2.5F}};
  params.allowed_token_ids = {1, 2, 3};
  params.bad_words = {{4, 5}, {6}};
  params.seed = 0xfedcba9876543210;
  params.choice = 2;
  params.max_tokens = 12;
  params.min_tokens = 3;
  params.stop_token_ids = {50, 51};
  params.eos_token_ids = {98, 99};
  params.logprobs = 5;
  params.prompt_logprobs = 0;
  params.constraint = Constraint::kMask;
  return params;
}

// A prefill chunk in slot 1 and a decode token in slot 3.
StepPlan GoodPlan() {
  StepPlan plan;
  plan.step = 17;
  plan.inits = {
      {.slot = 1, .params = FullParams(), .prompt_ids = {1, 2, 3, 4}, .emitted_ids = {5}}};
  plan.work = {{.slot = 1,
                .start_position = 0,
                .tokens = {1, 2, 3, 4, 5},
                .block_table = {2, 3},
                .logit_offsets = {0, 4},
                .sample = SequenceWork::Sample::kLast},
               {.slot = 3,
                .start_position = 8,
                .tokens = {kLastSample},
                .block_table = {4, 5, 6},
                .logit_offsets = {0},
                .sample = SequenceWork::Sample::kLast}};
  return plan;
}

// Slot 3 goes on with a token that was sampled and two that were not.
StepPlan ForcedPlan() {
  StepPlan plan = GoodPlan();
  plan.inits.clear();
  plan.work.erase(plan.work.begin());
  plan.work[0].tokens = {7, 8, 9};
  plan.work[0].num_forced = 2;
  plan.work[0].logit_offsets = {2};
  return plan;
}

TEST(StepPlanTest, TakesAGoodPlanHeartbeatsAndShutdown) {
  EXPECT_EQ(Validate(GoodPlan(), kLimits), OkStatus());
  EXPECT_EQ(Validate(StepPlan(), kLimits), OkStatus());
  StepPlan heartbeat;
  heartbeat.kind = StepPlan::Kind::kHeartbeat;
  EXPECT_EQ(Validate(heartbeat, kLimits), OkStatus());
}

struct BadPlan {
  const char* name;
  std::function<void(StepPlan&)> spoil;
  const char* field;
  const char* message;
};

class BadPlanTest : public ::testing::TestWithParam<BadPlan> {};

TEST_P(BadPlanTest, IsRefusedWithFieldAndValue) {
  StepPlan plan = GoodPlan();
  GetParam().spoil(plan);
  const Status status = Validate(plan, kLimits);
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(status.field(), GetParam().field);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
}

using Plan = StepPlan;
INSTANTIATE_TEST_SUITE_P(
    Each, BadPlanTest,
    ::testing::Values(
        BadPlan{"HeartbeatWithWork", [](Plan& p) { p.kind = Plan::Kind::kHeartbeat; }, "kind",
                "is 1"},
        BadPlan{"InitSlotTooLarge", [](Plan& p) { p.inits[0].slot = 4; }, "inits.slot", "is 4"},
        BadPlan{"InitSlotTwice", [](Plan& p) { p.inits.push_back(p.inits[0]); }, "inits.slot",
                "at most once"},
        BadPlan{"InitPromptId", [](Plan& p) { p.inits[0].prompt_ids[0] = 100; },
                "inits.prompt_ids", "is 100"},
        BadPlan{"InitEmittedId", [](Plan& p) { p.inits[0].emitted_ids[0] = -1; },
                "inits.emitted_ids", "is -1"},
        BadPlan{"InitTooLong", [](Plan& p) { p.inits[0].emitted_ids.assign(29, 1); },
                "inits.emitted_ids", "is 33 tokens"},
        BadPlan{"NanTemperature",
                [](Plan& p) {
                  p.inits[0].params.temperature = std::numeric_limits<float>::quiet_NaN();
                },
                "temperature", "is nan"},
        BadPlan{"ZeroTopP", [](Plan& p) { p.inits[0].params.top_p = 0; }, "top_p", "is 0"},
        BadPlan{"LargeMinP", [](Plan& p) { p.inits[0].params.min_p = 1.5F; }, "min_p", "is 1.5"},
        BadPlan{"ZeroRepetitionPenalty",
                [](Plan& p) { p.inits[0].params.repetition_penalty = 0; }, "repetition_penalty",
                "is 0"},
        BadPlan{"InfinitePresencePenalty",
                [](Plan& p) {
                  p.inits[0].params.presence_penalty = std::numeric_limits<float>::infinity();
                },
                "presence_penalty", "is inf"},
        BadPlan{"NegativeTopK", [](Plan& p) { p.inits[0].params.top_k = -1; }, "top_k", "is -1"},
        BadPlan{"ManyMinTokens", [](Plan& p) { p.inits[0].params.min_tokens = 13; }, "min_tokens",
                "is 13"},
        BadPlan{"ManyLogprobs", [](Plan& p) { p.inits[0].params.logprobs = 21; }, "logprobs",
                "is 21"},
        BadPlan{"BiasTwice", [](Plan& p) { p.inits[0].params.logit_bias[1].first = 3; },
                "logit_bias", "is 3"},
        BadPlan{"ManyBiases",
                [](Plan& p) {
                  auto& biases = p.inits[0].params.logit_bias;
                  biases.clear();
                  for (int32_t id = 0; id <= kMaxBiases; ++id) biases.emplace_back(id, 1.0F);
                },
                "logit_bias", "is 1025 entries, allowed: up to 1024"},
        BadPlan{"BadWordEmpty", [](Plan& p) { p.inits[0].params.bad_words[0].clear(); },
                "bad_words", "an empty sequence"},
        BadPlan{"BadWordId", [](Plan& p) { p.inits[0].params.bad_words[0][0] = 100; }, "bad_words",
                "is 100"},
        BadPlan{"StopIdsUnsorted", [](Plan& p) { p.inits[0].params.stop_token_ids = {51, 50}; },
                "stop_token_ids", "is 50"},
        BadPlan{"WorkSlotNegative", [](Plan& p) { p.work[0].slot = -1; }, "work.slot", "is -1"},
        BadPlan{"WorkSlotTwice", [](Plan& p) { p.work[1].slot = 1; }, "work.slot", "at most once"},
        BadPlan{"NoTokens", [](Plan& p) { p.work[1].tokens.clear(); }, "work.tokens", "empty"},
        BadPlan{"TokenTooLarge", [](Plan& p) { p.work[0].tokens[2] = 100; }, "work.tokens",
                "is 100"},
        BadPlan{"LastSampleInside",
                [](Plan& p) {
                  p.work[1].tokens = {kLastSample, 3};
                },
                "work.tokens", "is -1"},
        BadPlan{"LastSampleOfAFreshSlot", [](Plan& p) { p.work[0].tokens[4] = kLastSample; },
                "work.tokens", "slot 1 is initialised here"},
        BadPlan{"NegativeForced", [](Plan& p) { p.work[1].num_forced = -1; }, "work.num_forced",
                "is -1"},
        BadPlan{"ForcedIsTheSample", [](Plan& p) { p.work[1].num_forced = 1; }, "work.num_forced",
                "0 to 0"},
        BadPlan{"MoreForcedThanTokens",
                [](Plan& p) {
                  p.work[1].tokens = {8, 9};
                  p.work[1].logit_offsets = {1};
                  p.work[1].num_forced = 3;
                },
                "work.num_forced", "0 to 2"},
        BadPlan{"ForcedInAFreshSlot", [](Plan& p) { p.work[0].num_forced = 1; }, "work.num_forced",
                "0 to 0"},
        BadPlan{"NegativePosition", [](Plan& p) { p.work[1].start_position = -1; },
                "work.start_position", "is -1"},
        BadPlan{"PositionBeyondTheModel", [](Plan& p) { p.work[1].start_position = 32; },
                "work.start_position", "is 32"},
        BadPlan{"PositionOverflows",
                [](Plan& p) {
                  p.work[1].start_position = std::numeric_limits<int32_t>::max();
                },
                "work.start_position", "2147483647"},
        BadPlan{"ShortBlockTable", [](Plan& p) { p.work[0].block_table = {2}; },
                "work.block_table", "is 1 blocks for 5 positions"},
        BadPlan{"LongBlockTable", [](Plan& p) { p.work[0].block_table.assign(9, 2); },
                "work.block_table", "is 9 blocks"},
        BadPlan{"BlockTooLarge", [](Plan& p) { p.work[0].block_table[1] = 16; },
                "work.block_table", "is 16"},
        BadPlan{"BlockWrittenTwice", [](Plan& p) { p.work[1].block_table[2] = 3; },
                "work.block_table", "written at most once"},
        BadPlan{"OffsetTooLarge", [](Plan& p) { p.work[0].logit_offsets[1] = 5; },
                "work.logit_offsets", "is 5"},
        BadPlan{"OffsetsDescend", [](Plan& p) { p.work[0].logit_offsets = {4, 4}; },
                "work.logit_offsets", "is 4"},
        BadPlan{"SampledWithoutLogits", [](Plan& p) { p.work[0].logit_offsets = {0}; },
                "work.logit_offsets", "to end with the last token"},
        BadPlan{"TooManyTokens",
                [](Plan& p) {
                  p.work[1].tokens = {1, 2, 3, 4};
                  p.work[1].logit_offsets = {3};
                },
                "work.tokens", "is 9 in all"}),
    [](const auto& info) { return info.param.name; });

// ------------------------------------------------------------------------------------------------
// Encoding

TEST(StepPlanCodecTest, RoundTrips) {
  for (const StepPlan& plan : {GoodPlan(), ForcedPlan(), StepPlan()}) {
    const StatusOr<StepPlan> decoded = Decode(Encode(plan));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(*decoded, plan);
  }
  StepPlan shutdown;
  shutdown.kind = StepPlan::Kind::kShutdown;
  shutdown.step = std::numeric_limits<uint64_t>::max();
  EXPECT_EQ(*Decode(Encode(shutdown)), shutdown);
}

TEST(StepPlanCodecTest, RefusesEveryPrefixAndTrailingBytes) {
  const std::string bytes = Encode(GoodPlan());
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Decode(std::string_view(bytes).substr(0, size)).ok()) << size;
  }
  const Status status = Decode(bytes + "x").status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("1 bytes too many"));
}

TEST(StepPlanCodecTest, RefusesCountsBeyondTheBytesLeftBeforeItAllocates) {
  std::string bytes = Encode(StepPlan());
  // The count of inits follows magic, kind and step.
  for (size_t i = 13; i < 17; ++i) bytes[i] = '\xff';
  EXPECT_THAT(Decode(bytes).status().message(), HasSubstr("count 4294967295"));
}

TEST(StepPlanCodecTest, RefusesUnknownEnumerators) {
  std::string bytes = Encode(GoodPlan());
  bytes.back() = 2;  // the last work's sample
  EXPECT_THAT(Decode(bytes).status().message(), HasSubstr("enumerator 2"));
}

// Whatever arrives, decoding ends with a plan or an error, and what it decodes to can be judged and
// encoded again.
void DecodeAnything(std::string_view bytes, int64_t& num_decoded) {
  const StatusOr<StepPlan> decoded = Decode(bytes);
  if (!decoded.ok()) return;
  ++num_decoded;
  (void)Validate(*decoded, kLimits);
  EXPECT_EQ(Encode(*decoded), bytes);
}

TEST(StepPlanCodecTest, SurvivesRandomAndMutatedBytes) {
  std::mt19937_64 random(1);
  const auto uniform = [&](size_t bound) { return static_cast<size_t>(random() % bound); };
  const std::string good = Encode(GoodPlan());
  int64_t num_decoded = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string bytes;
    if (round % 4 == 0) {
      bytes.assign(good, 0, 4 + uniform(20));
      for (size_t left = uniform(200); left > 0; --left) {
        bytes.push_back(static_cast<char>(random() % 4 == 0 ? random() : 0));
      }
    } else {
      bytes = good;
      for (size_t left = 1 + uniform(3); left > 0; --left) {
        bytes[uniform(bytes.size())] = static_cast<char>(random());
      }
      if (uniform(8) == 0) bytes.erase(uniform(bytes.size()), uniform(9));
      if (uniform(8) == 0) bytes.insert(uniform(bytes.size()), uniform(9), '\0');
    }
    DecodeAnything(bytes, num_decoded);
  }
  EXPECT_GT(num_decoded, 10'000) << "most mutations change a value and not the form";
}

}  // namespace
}  // namespace phalanx
