// The whole step loop on a small model with random weights: tokens and log-probabilities are the
// same bits whatever shares the batch, however prefill is cut, with a prefix hit or miss and after
// preemption.
#include "worker/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <span>

#include "tests/worker/engine_ranks.h"

namespace phalanx {
namespace {

struct Scenario {
  int ranks = 1;
  int32_t max_num_tokens = 64;
  int64_t num_blocks = 200;
  PrefixCaching prefix_caching = PrefixCaching::kOff;
};

struct Outcome {
  Answers answers;
  SchedulerStats stats;
};

// Rank 0's side; the engine is shut down at the end.
using Leader = std::function<void(Engine&, Answers&)>;

Outcome RunGroup(const Scenario& scenario, const Leader& leader) {
  Outcome outcome;
  const EngineModel model = {.config = SmallConfig(), .ranks = scenario.ranks};
  RunEngines(model, {{.max_num_tokens = scenario.max_num_tokens,
                      .num_blocks = scenario.num_blocks,
                      .prefix_caching = scenario.prefix_caching,
                      .leader = [&](Engine& engine) {
                        leader(engine, outcome.answers);
                        outcome.stats = engine.stats();
                      }}});
  return outcome;
}

EngineRequest MakeRequest(uint64_t id) {
  std::mt19937 random(static_cast<uint32_t>(id));
  EngineRequest request;
  request.id = id;
  request.group = id;
  const size_t length = 3 + random() % 150;
  while (request.prompt_ids.size() < length) {
    request.prompt_ids.push_back(static_cast<int32_t>(random() % 499));
  }
  SamplingParams& params = request.params;
  params.temperature = id % 3 == 0 ? 0.0F : 1.2F;
  params.top_p = id % 3 == 1 ? 0.9F : 1.0F;
  params.repetition_penalty = id % 2 == 0 ? 1.2F : 1.0F;
  params.seed = id;
  params.max_tokens = 40;
  params.logprobs = 1;
  params.prompt_logprobs = id % 4 == 0 ? 0 : -1;
  return request;
}

constexpr uint64_t kRequests = 8;

Outcome AllTogether(const Scenario& scenario) {
  return RunGroup(scenario, [](Engine& engine, Answers& answers) {
    for (uint64_t id = 1; id <= kRequests; ++id) {
      ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
      if (id % 3 == 0) StepOnce(engine, answers);
    }
    Finish(engine, answers);
  });
}

Outcome OneByOne(const Scenario& scenario) {
  return RunGroup(scenario, [](Engine& engine, Answers& answers) {
    for (uint64_t id = 1; id <= kRequests; ++id) {
      ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
      Finish(engine, answers);
    }
  });
}

void ExpectSame(const Outcome& a, const Outcome& b) {
  ASSERT_EQ(a.answers.size(), b.answers.size());
  for (const auto& [id, answer] : a.answers) {
    const Answer& other = b.answers.at(id);
    EXPECT_EQ(answer.tokens.size(), 40U);
    EXPECT_EQ(answer.tokens, other.tokens) << "request " << id;
    EXPECT_EQ(answer.logprobs, other.logprobs) << "request " << id;
    EXPECT_EQ(answer.prompt, other.prompt) << "request " << id;
    EXPECT_EQ(answer.prompt.size(), id % 4 == 0 ? MakeRequest(id).prompt_ids.size() : 0U);
  }
}

class EngineOverRanks : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, EngineOverRanks, ::testing::Values(1, 2, 3),
                         [](const auto& info) { return fmt::format("N{}", info.param); });

TEST_P(EngineOverRanks, BatchMatesAndChunksChangeNothing) {
  const Outcome alone = OneByOne({.ranks = GetParam(), .max_num_tokens = 512});
  for (const int32_t chunk : {1, 7, 64, 512}) {
    SCOPED_TRACE(testing::Message() << "chunk " << chunk);
    ExpectSame(alone, AllTogether({.ranks = GetParam(), .max_num_tokens = chunk}));
  }
}

TEST_P(EngineOverRanks, PreemptionChangesNothing) {
  const Outcome roomy = AllTogether({.ranks = GetParam()});
  const Outcome tight = AllTogether({.ranks = GetParam(), .num_blocks = 20});
  EXPECT_EQ(roomy.stats.num_preemptions, 0);
  EXPECT_GT(tight.stats.num_preemptions, 0);
  ExpectSame(roomy, tight);
}

TEST_P(EngineOverRanks, PrefixHitsChangeNothing) {
  const Outcome cold = OneByOne({.ranks = GetParam()});
  const Outcome warm = RunGroup({.ranks = GetParam(), .prefix_caching = PrefixCaching::kOn},
                                [](Engine& engine, Answers& answers) {
                                  for (uint64_t id = 1; id <= kRequests; ++id) {
                                    ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
                                    Finish(engine, answers);
                                  }
                                  answers.clear();
                                  for (uint64_t id = 1; id <= kRequests; ++id) {
                                    ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
                                  }
                                  Finish(engine, answers);
                                });
  int32_t cached = 0;
  for (const auto& [id, answer] : warm.answers) cached += answer.cached_tokens;
  EXPECT_GT(cached, 100);
  ExpectSame(cold, warm);
}

TEST(EngineTest, WhatARequestHasWaitedBeforeIsTimeInTheQueue) {
  RunGroup({.ranks = 1}, [](Engine& engine, Answers&) {
    EngineRequest request = MakeRequest(1);
    request.waited = std::chrono::hours(1);
    ASSERT_TRUE(engine.Submit(std::move(request)).ok());
    StatusOr<std::vector<EngineOutput>> outputs = engine.Step();
    while (outputs.ok() && outputs->empty()) outputs = engine.Step();
    ASSERT_TRUE(outputs.ok());
    EXPECT_GE(std::chrono::nanoseconds(outputs->front().queue_ns), std::chrono::hours(1));
    EXPECT_LT(std::chrono::nanoseconds(outputs->front().prefill_ns), std::chrono::hours(1));
    EXPECT_TRUE(engine.Cancel(1));
  });
}

TEST_P(EngineOverRanks, ReplayedOutputContinues) {
  const Outcome whole = OneByOne({.ranks = GetParam()});
  RunGroup({.ranks = GetParam()}, [&](Engine& engine, Answers&) {
    for (uint64_t id = 1; id <= kRequests; ++id) {
      const Answer& want = whole.answers.at(id);
      EngineRequest request = MakeRequest(id);
      request.emitted_ids.assign(want.tokens.begin(), want.tokens.begin() + 17);
      ASSERT_TRUE(engine.Submit(std::move(request)).ok());
      Answers rest;
      Finish(engine, rest);
      const Answer& got = rest.at(id);
      EXPECT_TRUE(std::ranges::equal(got.tokens, std::span(want.tokens).subspan(17)));
      EXPECT_TRUE(std::ranges::equal(got.logprobs, std::span(want.logprobs).subspan(17)));
    }
  });
}

TEST(EngineTest, CancelledRequestsLeaveTheOthersAlone) {
  const Outcome all = AllTogether({.ranks = 2});
  const Outcome some = RunGroup({.ranks = 2}, [](Engine& engine, Answers& answers) {
    for (uint64_t id = 1; id <= kRequests; ++id) ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
    for (int i = 0; i < 20; ++i) StepOnce(engine, answers);
    EXPECT_TRUE(engine.Cancel(2));
    EXPECT_FALSE(engine.Cancel(2));
    EXPECT_FALSE(engine.Cancel(77));
    const size_t before = answers[2].tokens.size();
    Finish(engine, answers);
    EXPECT_EQ(answers[2].tokens.size(), before);
  });
  for (const auto& [id, answer] : some.answers) {
    if (id != 2) {
      EXPECT_EQ(answer.tokens, all.answers.at(id).tokens);
    }
  }
}

TEST(EngineTest, WhatCanNeverRunIsRefusedByField) {
  RunGroup({.ranks = 1, .num_blocks = 4}, [](Engine& engine, Answers&) {
    EngineRequest request = MakeRequest(1);
    request.prompt_ids = {1, 2, 3};
    request.params.max_tokens = 4000;
    EXPECT_EQ(engine.Submit(request).field(), "max_tokens");
    request.prompt_ids.clear();
    EXPECT_EQ(engine.Submit(request).field(), "prompt");
    EXPECT_FALSE(engine.HasWork());
  });
}

}  // namespace
}  // namespace phalanx
