// A group that was warmed up is the same to everybody as one that was not.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/worker/engine_ranks.h"

namespace phalanx {
namespace {

EngineModel ModelOn(int ranks) { return {.config = SmallConfig(), .ranks = ranks}; }

// Begins with the very tokens that the warm-up runs: a trace in the prefix cache would be a hit.
EngineRequest MakeRequest(uint64_t id, size_t num_prompt) {
  EngineRequest request;
  request.id = id;
  request.prompt_ids.resize(num_prompt);
  std::iota(request.prompt_ids.begin(), request.prompt_ids.end(), 0);
  request.params.temperature = 1;
  request.params.repetition_penalty = 1.2F;
  request.params.seed = id;
  request.params.max_tokens = 20;
  request.params.logprobs = 2;
  return request;
}

struct Outcome {
  Answers answers;
  SchedulerStats before;
  SchedulerStats after;
};

EngineRun RunOf(EngineRun::WarmUp warm_up, Outcome& outcome) {
  return {.warm_up = warm_up,
          .prefix_caching = PrefixCaching::kOn,
          .leader = [&outcome](Engine& engine) {
            EXPECT_EQ(engine.last_step(), 0U);
            EXPECT_FALSE(engine.HasWork());
            outcome.before = engine.stats();
            for (uint64_t id = 1; id <= 4; ++id) {
              ASSERT_TRUE(engine.Submit(MakeRequest(id, 20 * id)).ok());
              if (id == 1) Finish(engine, outcome.answers);
            }
            Finish(engine, outcome.answers);
            outcome.after = engine.stats();
          }};
}

void ExpectSame(const SchedulerStats& a, const SchedulerStats& b) {
  EXPECT_EQ(a.num_running, b.num_running);
  EXPECT_EQ(a.num_waiting, b.num_waiting);
  EXPECT_EQ(a.num_free_blocks, b.num_free_blocks);
  EXPECT_EQ(a.num_preemptions, b.num_preemptions);
  EXPECT_EQ(a.prefix_cache_queries, b.prefix_cache_queries);
  EXPECT_EQ(a.prefix_cache_hits, b.prefix_cache_hits);
}

TEST(WarmUpTest, LeavesNoTrace) {
  for (const int ranks : {1, 2, 3}) {
    SCOPED_TRACE(testing::Message() << ranks << " ranks");
    Outcome cold;
    Outcome warm;
    RunEngines(ModelOn(ranks),
               {RunOf(EngineRun::WarmUp::kNo, cold), RunOf(EngineRun::WarmUp::kYes, warm)});
    ExpectSame(cold.before, warm.before);
    ExpectSame(cold.after, warm.after);
    EXPECT_GT(warm.after.prefix_cache_hits, 0);
    EXPECT_EQ(warm.answers.at(1).cached_tokens, 0);
    ASSERT_EQ(warm.answers.size(), 4U);
    for (const auto& [id, answer] : cold.answers) {
      EXPECT_EQ(answer.tokens, warm.answers.at(id).tokens) << "request " << id;
      EXPECT_EQ(answer.logprobs, warm.answers.at(id).logprobs) << "request " << id;
    }
  }
}

TEST(WarmUpTest, FitsTheSmallestGroup) {
  RunEngines(ModelOn(2), {{.warm_up = EngineRun::WarmUp::kYes,
                           .max_num_tokens = 1,
                           .num_blocks = 1,
                           .max_num_seqs = 1,
                           .leader = [](Engine& engine) { EXPECT_FALSE(engine.HasWork()); }}});
}

}  // namespace
}  // namespace phalanx
