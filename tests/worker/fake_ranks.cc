#include "tests/worker/fake_ranks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <utility>

namespace phalanx {
namespace {

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = (a ^ (b + 0x9e3779b97f4a7c15)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 29)) * 0x94d049bb133111eb;
  return x ^ (x >> 32);
}

uint64_t SaltKv(const std::string& salt) { return Mix(1, std::hash<std::string>{}(salt)); }

uint64_t TokenKv(uint64_t previous, int32_t token) {
  return Mix(previous, static_cast<uint64_t>(token) + 17);
}

bool Ends(const SamplingParams& params, int32_t token) {
  return std::ranges::binary_search(params.eos_token_ids, token) ||
         std::ranges::binary_search(params.stop_token_ids, token);
}

// Bans what would end the output before min_tokens, as the sampler does.
int32_t SampleFrom(uint64_t kv, const SamplingParams& params, size_t index, int32_t vocab_size) {
  for (uint64_t draw = 0;; ++draw) {
    const uint64_t hash = Mix(Mix(kv, params.seed), draw);
    const int32_t token = static_cast<int32_t>(hash % static_cast<uint64_t>(vocab_size));
    if (index >= static_cast<size_t>(params.min_tokens) || !Ends(params, token)) return token;
  }
}

}  // namespace

ExpectedOutput Expect(const EngineRequest& request, int32_t vocab_size) {
  ExpectedOutput expected;
  uint64_t kv = SaltKv(request.cache_salt);
  for (int32_t token : request.prompt_ids) kv = TokenKv(kv, token);
  const SamplingParams& params = request.params;
  while (expected.finish == FinishReason::kNone) {
    const int32_t token = SampleFrom(kv, params, expected.tokens.size(), vocab_size);
    expected.tokens.push_back(token);
    kv = TokenKv(kv, token);
    if (std::ranges::count(params.eos_token_ids, token) > 0) {
      expected.finish = FinishReason::kEos;
    } else if (std::ranges::count(params.stop_token_ids, token) > 0) {
      expected.finish = FinishReason::kStopToken;
    } else if (expected.tokens.size() == static_cast<size_t>(params.max_tokens)) {
      expected.finish = FinishReason::kLength;
    }
  }
  return expected;
}

FakeRanks::FakeRanks(const SchedulerConfig& config,
                     std::function<std::string(int32_t slot)> salt_of_slot)
    : config_(config),
      salt_of_slot_(std::move(salt_of_slot)),
      kv_(static_cast<size_t>(config.limits.num_blocks * config.limits.block_size)),
      slots_(static_cast<size_t>(config.limits.max_num_seqs)) {}

std::vector<SampledToken> FakeRanks::Run(const StepPlan& plan) {
  const Status status = Validate(plan, config_.limits);
  EXPECT_TRUE(status.ok()) << status;
  if (plan.step % 16 == 0) {
    const StatusOr<StepPlan> decoded = Decode(Encode(plan));
    EXPECT_TRUE(decoded.ok() && *decoded == plan);
  }
  for (const SlotInit& init : plan.inits) {
    Slot& slot = slots_[static_cast<size_t>(init.slot)];
    slot = {.params = init.params,
            .tokens = init.prompt_ids,
            .num_prompt = init.prompt_ids.size(),
            .num_run = 0,
            .is_fresh = true,
            .awaits_forced = false};
    slot.tokens.insert(slot.tokens.end(), init.emitted_ids.begin(), init.emitted_ids.end());
  }
  size_t num_logits = 0;
  std::vector<SampledToken> samples;
  for (const SequenceWork& work : plan.work) {
    RunWork(work, samples);
    num_logits += work.logit_offsets.size();
  }
  EXPECT_LE(num_logits, static_cast<size_t>(config_.max_num_logit_rows));
  return samples;
}

uint64_t& FakeRanks::KvAt(const SequenceWork& work, size_t position) {
  const size_t block_size = static_cast<size_t>(config_.limits.block_size);
  const size_t block = static_cast<size_t>(work.block_table[position / block_size]);
  return kv_[block * block_size + position % block_size];
}

void FakeRanks::RunWork(const SequenceWork& work, std::vector<SampledToken>& samples) {
  Slot& slot = slots_[static_cast<size_t>(work.slot)];
  const size_t start = static_cast<size_t>(work.start_position);
  const size_t end = start + work.tokens.size();
  if (std::exchange(slot.awaits_forced, false)) {
    EXPECT_GT(work.num_forced, 0) << "a token was not sampled for nothing";
  }
  slot.tokens.insert(slot.tokens.end(), work.tokens.end() - work.num_forced, work.tokens.end());
  ASSERT_LE(end, slot.tokens.size());
  if (slot.is_fresh) {
    slot.is_fresh = false;
    slot.num_run = start;
    EXPECT_EQ(start % static_cast<size_t>(config_.limits.block_size), 0u) << "a cached prefix";
  }
  ASSERT_EQ(start, slot.num_run) << "a gap or a repetition";
  slot.num_run = end;
  CheckLogits(work, slot);

  uint64_t kv = SaltKv(salt_of_slot_(work.slot));
  for (size_t position = 0; position < start; ++position) {
    kv = TokenKv(kv, slot.tokens[position]);
    ASSERT_EQ(KvAt(work, position), kv) << "context at position " << position << " of " << start;
  }
  for (size_t position = start; position < end; ++position) {
    const int32_t token = work.tokens[position - start];
    if (token != kLastSample) {
      ASSERT_EQ(token, slot.tokens[position]);
    }
    kv = TokenKv(kv, slot.tokens[position]);
    KvAt(work, position) = kv;
  }
  if (work.sample == SequenceWork::Sample::kNo) return;
  ASSERT_EQ(end, slot.tokens.size()) << "sampled before the last known token";
  const int32_t token =
      SampleFrom(kv, slot.params, slot.tokens.size() - slot.num_prompt, config_.limits.vocab_size);
  slot.tokens.push_back(token);
  samples.push_back({work.slot, token});
}

void FakeRanks::CheckLogits(const SequenceWork& work, Slot& slot) const {
  const bool is_sampled = work.sample == SequenceWork::Sample::kLast;
  std::vector<int32_t> expected;
  if (slot.params.prompt_logprobs >= 0 && slot.tokens.size() == slot.num_prompt) {
    expected.resize(work.tokens.size());
    std::iota(expected.begin(), expected.end(), 0);
  } else if (is_sampled) {
    expected = {static_cast<int32_t>(work.tokens.size()) - 1};
  }
  EXPECT_EQ(work.logit_offsets, expected);
  // Ranks do not know of the forced tokens that the next chunks bring.
  const bool ran_all = slot.num_run == slot.tokens.size();
  const bool has_output = slot.tokens.size() > slot.num_prompt;
  slot.awaits_forced = ran_all && !is_sampled && has_output;
  EXPECT_EQ(is_sampled, ran_all && !slot.awaits_forced);
}

}  // namespace phalanx
