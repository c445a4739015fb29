// What scheduling costs rank 0 in each step, without ranks: the time in which the model idles.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>
#include <vector>

#include "worker/scheduler.h"
#include "worker/step_plan.h"

namespace phalanx {
namespace {

constexpr int32_t kBlockSize = 16;
constexpr int32_t kVocabSize = 151936;

SchedulerConfig ConfigFor(int32_t num_seqs, int32_t context) {
  SchedulerConfig config;
  config.limits = {.max_num_seqs = num_seqs,
                   .max_num_tokens = 2048,
                   .max_model_len = 2 * context,
                   .vocab_size = kVocabSize,
                   .block_size = kBlockSize,
                   .num_blocks = int64_t{2} * num_seqs * context / kBlockSize};
  config.max_num_logit_rows = num_seqs;
  return config;
}

EngineRequest RequestOf(uint64_t id, int32_t num_prompt, int32_t max_tokens) {
  EngineRequest request;
  request.id = id;
  // No two sequences in a row share a prefix.
  for (uint64_t i = 0; i < static_cast<uint64_t>(num_prompt); ++i) {
    request.prompt_ids.push_back(static_cast<int32_t>((id * 101 + i) % kVocabSize));
  }
  request.params.max_tokens = max_tokens;
  return request;
}

void SampleInto(const StepPlan& plan, std::vector<SampledToken>& samples) {
  samples.clear();
  for (const SequenceWork& work : plan.work) {
    if (work.sample == SequenceWork::Sample::kLast) samples.push_back({work.slot, 5});
  }
}

// `num_seqs` sequences whose prompts of `context` tokens are computed.
void FillWithDecodes(Scheduler& scheduler, int32_t num_seqs, int32_t context, uint64_t& next_id) {
  std::vector<SampledToken> samples;
  for (int32_t i = 0; i < num_seqs; ++i) {
    PHALANX_CHECK(scheduler.Add(RequestOf(next_id++, context, context)).ok());
  }
  for (bool is_filling = true; is_filling;) {
    const StepPlan plan = scheduler.Schedule();
    SampleInto(plan, samples);
    scheduler.Commit(samples);
    is_filling = samples.size() < static_cast<size_t>(num_seqs);
  }
}

// Schedule() and Commit() of `num_seqs` decode tokens; the prompts are refilled, untimed, before
// their outputs end.
void BM_DecodeStep(benchmark::State& state) {
  const int32_t num_seqs = static_cast<int32_t>(state.range(0));
  const int32_t context = static_cast<int32_t>(state.range(1));
  auto scheduler = std::make_unique<Scheduler>(ConfigFor(num_seqs, context));
  uint64_t next_id = 1;
  FillWithDecodes(*scheduler, num_seqs, context, next_id);
  std::vector<SampledToken> samples;
  int32_t num_steps = 0;
  for (auto _ : state) {
    const StepPlan plan = scheduler->Schedule();
    SampleInto(plan, samples);
    benchmark::DoNotOptimize(scheduler->Commit(samples));
    if (++num_steps == context / 2) {
      state.PauseTiming();
      num_steps = 0;
      scheduler = std::make_unique<Scheduler>(ConfigFor(num_seqs, context));
      FillWithDecodes(*scheduler, num_seqs, context, next_id);
      state.ResumeTiming();
    }
  }
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(num_seqs) * static_cast<double>(state.iterations()),
                         benchmark::Counter::kIsRate);
}
BENCHMARK(BM_DecodeStep)
    ->ArgNames({"seqs", "context"})
    ->Args({1, 4096})
    ->Args({16, 4096})
    ->Args({64, 512})
    ->Args({64, 4096})
    ->Args({256, 4096});

// One request through its life with a prompt that is in the prefix cache, or is not.
void BM_Request(benchmark::State& state) {
  const int32_t context = static_cast<int32_t>(state.range(0));
  const int64_t is_cached = state.range(1);
  Scheduler scheduler(ConfigFor(4, context));
  uint64_t id = 1;
  std::vector<SampledToken> samples;
  for (auto _ : state) {
    EngineRequest request = RequestOf(1, context, 1);
    request.id = ++id;
    if (is_cached == 0) request.cache_salt = std::to_string(id);
    PHALANX_CHECK(scheduler.Add(std::move(request)).ok());
    while (scheduler.HasWork()) {
      const StepPlan plan = scheduler.Schedule();
      SampleInto(plan, samples);
      benchmark::DoNotOptimize(scheduler.Commit(samples));
    }
  }
}
BENCHMARK(BM_Request)
    ->ArgNames({"context", "cached"})
    ->Args({512, 0})
    ->Args({512, 1})
    ->Args({4096, 0})
    ->Args({4096, 1});

// What broadcasting adds: Encode() on rank 0, Decode() and Validate() on every rank.
void BM_PlanOverTheWire(benchmark::State& state) {
  const int32_t num_seqs = static_cast<int32_t>(state.range(0));
  const int32_t context = static_cast<int32_t>(state.range(1));
  const SchedulerConfig config = ConfigFor(num_seqs, context);
  Scheduler scheduler(config);
  uint64_t next_id = 1;
  FillWithDecodes(scheduler, num_seqs, context, next_id);
  const StepPlan plan = scheduler.Schedule();
  for (auto _ : state) {
    const std::string bytes = Encode(plan);
    const StatusOr<StepPlan> decoded = Decode(bytes);
    PHALANX_CHECK(Validate(*decoded, config.limits).ok());
  }
  state.counters["plan_bytes"] = static_cast<double>(Encode(plan).size());
}
BENCHMARK(BM_PlanOverTheWire)->ArgNames({"seqs", "context"})->Args({1, 4096})->Args({64, 4096});

}  // namespace
}  // namespace phalanx

BENCHMARK_MAIN();
