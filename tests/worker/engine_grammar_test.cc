// Requests with a grammar through the whole step loop: what the grammar forbids is never sampled,
// neighbours get the bits that they get without it, and neither the number of ranks, chunks,
// preemption nor replay changes its text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <span>

#include "grammar/grammar.h"
#include "tests/worker/engine_ranks.h"

namespace phalanx {
namespace {

constexpr int32_t kVocab = 500;
constexpr int32_t kEos = 499;
constexpr int32_t kPeriod = 7;
constexpr int32_t kLength = 25;
constexpr uint64_t kRequests = 8;

// kLength tokens, of which the i-th is i modulo kPeriod, then the end.
class RoundMatcher final : public GrammarMatcher {
 public:
  explicit RoundMatcher(std::span<const int32_t> stop_ids)
      : stop_ids_(stop_ids.begin(), stop_ids.end()) {}

  bool Accept(int32_t token_id) override {
    if (finished_ || !Allows(token_id)) return false;
    finished_ = index_ == kLength;
    ++index_;
    return true;
  }
  Mask FillMask(std::span<uint32_t> words) override {
    EXPECT_EQ(words.size(), GrammarMaskWords(kVocab));
    if (index_ == 0) return Mask::kEverything;
    for (int32_t id = 0; id < kVocab; ++id) {
      if (Allows(id)) words[static_cast<size_t>(id) / 32] |= 1U << (id % 32);
    }
    return Mask::kSome;
  }
  bool finished() const override { return finished_; }

 private:
  bool Allows(int32_t id) const {
    const bool is_stop = std::ranges::find(stop_ids_, id) != stop_ids_.end();
    if (index_ == kLength) return is_stop;
    return index_ == 0 || (!is_stop && id % kPeriod == index_ % kPeriod);
  }

  const std::vector<int32_t> stop_ids_;
  int32_t index_ = 0;
  bool finished_ = false;
};

// The same, of which two tokens in five have but one choice, and so has the end.
class NarrowMatcher final : public GrammarMatcher {
 public:
  explicit NarrowMatcher(std::span<const int32_t> stop_ids) : round_(stop_ids) {}

  bool Accept(int32_t token_id) override {
    if (!Allows(token_id) || !round_.Accept(token_id)) return false;
    ++index_;
    return true;
  }
  Mask FillMask(std::span<uint32_t> words) override {
    const Mask mask = round_.FillMask(words);
    for (int32_t id = 0; id < kVocab; ++id) {
      if (!Allows(id)) words[static_cast<size_t>(id) / 32] &= ~(1U << (id % 32));
    }
    return mask;
  }
  bool finished() const override { return round_.finished(); }

 private:
  bool IsNarrow() const { return index_ < kLength && index_ % 5 >= 3; }
  bool Allows(int32_t id) const { return !IsNarrow() || id == index_ % kPeriod + kPeriod * index_; }

  RoundMatcher round_;
  int32_t index_ = 0;
};

// Token 5 two hundred times, then the end.
class LiteralMatcher final : public GrammarMatcher {
 public:
  static constexpr int32_t kTokens = 200;
  static constexpr int32_t kToken = 5;

  explicit LiteralMatcher(std::span<const int32_t> stop_ids) : stop_(stop_ids.front()) {}

  bool Accept(int32_t token_id) override {
    if (finished_ || token_id != Next()) return false;
    finished_ = index_++ == kTokens;
    return true;
  }
  Mask FillMask(std::span<uint32_t> words) override {
    words[static_cast<size_t>(Next()) / 32] |= 1U << (Next() % 32);
    return Mask::kSome;
  }
  bool finished() const override { return finished_; }

 private:
  int32_t Next() const { return index_ < kTokens ? kToken : stop_; }

  const int32_t stop_;
  int32_t index_ = 0;
  bool finished_ = false;
};

template <typename Matcher>
class MatcherGrammar final : public CompiledGrammar {
 public:
  std::unique_ptr<GrammarMatcher> NewMatcher(std::span<const int32_t> stop_ids) const override {
    return std::make_unique<Matcher>(stop_ids);
  }
};
using RoundGrammar = MatcherGrammar<RoundMatcher>;
using NarrowGrammar = MatcherGrammar<NarrowMatcher>;

// Odd ones have the grammar.
EngineRequest MakeRequest(uint64_t id) {
  std::mt19937 random(static_cast<uint32_t>(id));
  EngineRequest request;
  request.id = id;
  request.group = id;
  const size_t length = 3 + random() % 12;
  while (request.prompt_ids.size() < length) {
    request.prompt_ids.push_back(static_cast<int32_t>(random() % 499));
  }
  SamplingParams& params = request.params;
  params.temperature = id % 4 == 1 ? 0.0F : 1.2F;
  params.top_p = id % 3 == 1 ? 0.9F : 1.0F;
  params.repetition_penalty = id % 5 == 0 ? 1.2F : 1.0F;
  params.seed = id;
  params.max_tokens = 40;
  params.logprobs = 1;
  if (id % 2 == 1) {
    params.eos_token_ids = {kEos};
    request.grammar = std::make_shared<const RoundGrammar>();
  }
  return request;
}

struct Scenario {
  int ranks = 1;
  int32_t max_num_tokens = 64;
  int64_t num_blocks = 200;
};

SchedulerStats RunGroup(const Scenario& scenario, const std::function<void(Engine&)>& leader) {
  SchedulerStats stats;
  const EngineModel model = {.config = SmallConfig(), .ranks = scenario.ranks};
  RunEngines(model, {{.max_num_tokens = scenario.max_num_tokens,
                      .num_blocks = scenario.num_blocks,
                      .leader = [&](Engine& engine) {
                        leader(engine);
                        stats = engine.stats();
                      }}});
  return stats;
}

Answers Together(const Scenario& scenario, std::vector<uint64_t> ids) {
  Answers answers;
  RunGroup(scenario, [&](Engine& engine) {
    for (const uint64_t id : ids) ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
    Finish(engine, answers);
  });
  return answers;
}

std::vector<uint64_t> AllIds() {
  std::vector<uint64_t> ids;
  for (uint64_t id = 1; id <= kRequests; ++id) ids.push_back(id);
  return ids;
}

void ExpectRound(const Answer& answer) {
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  ASSERT_EQ(answer.tokens.size(), kLength + 1);
  for (int32_t i = 1; i < kLength; ++i) {
    EXPECT_EQ(answer.tokens[static_cast<size_t>(i)] % kPeriod, i % kPeriod) << "index " << i;
  }
  EXPECT_EQ(answer.tokens.back(), kEos);
}

void ExpectSame(const Answers& a, const Answers& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [id, answer] : a) {
    EXPECT_EQ(answer.tokens, b.at(id).tokens) << "request " << id;
    EXPECT_EQ(answer.logprobs, b.at(id).logprobs) << "request " << id;
  }
}

class EngineGrammarOverRanks : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, EngineGrammarOverRanks, ::testing::Values(1, 2),
                         [](const auto& info) { return fmt::format("N{}", info.param); });

TEST_P(EngineGrammarOverRanks, TextFitsAndEnds) {
  const Answers answers = Together({.ranks = GetParam()}, AllIds());
  ASSERT_EQ(answers.size(), kRequests);
  for (const auto& [id, answer] : answers) {
    SCOPED_TRACE(testing::Message() << "request " << id);
    if (id % 2 == 1) ExpectRound(answer);
  }
}

TEST_P(EngineGrammarOverRanks, NeighboursAndChunksChangeNothing) {
  Answers alone;
  for (const uint64_t id : AllIds()) {
    alone.merge(Together({.ranks = GetParam(), .max_num_tokens = 512}, {id}));
  }
  for (const int32_t chunk : {7, 512}) {
    ExpectSame(alone, Together({.ranks = GetParam(), .max_num_tokens = chunk}, AllIds()));
  }
}

TEST_P(EngineGrammarOverRanks, PreemptionChangesNothing) {
  const Answers roomy = Together({.ranks = GetParam()}, AllIds());
  Answers tight;
  const SchedulerStats stats =
      RunGroup({.ranks = GetParam(), .num_blocks = 12}, [&](Engine& engine) {
        for (const uint64_t id : AllIds()) {
          ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
          StepOnce(engine, tight);
        }
        Finish(engine, tight);
      });
  EXPECT_GT(stats.num_preemptions, 0);
  ExpectSame(roomy, tight);
}

TEST_P(EngineGrammarOverRanks, ReplayedOutputContinues) {
  const Answers whole = Together({.ranks = GetParam()}, {3});
  const Answer& want = whole.at(3);
  ExpectRound(want);
  EngineRequest request = MakeRequest(3);
  request.emitted_ids.assign(want.tokens.begin(), want.tokens.begin() + 10);
  Answers rest;
  RunGroup({.ranks = GetParam()}, [&](Engine& engine) {
    ASSERT_TRUE(engine.Submit(request).ok());
    Finish(engine, rest);
  });
  EXPECT_TRUE(std::ranges::equal(rest.at(3).tokens, std::span(want.tokens).subspan(10)));
}

// Half of them with the narrow grammar; log-probabilities make the model say every token.
EngineRequest MakeNarrow(uint64_t id, int32_t logprobs) {
  EngineRequest request = MakeRequest(id);
  if (request.grammar != nullptr) request.grammar = std::make_shared<const NarrowGrammar>();
  request.params.repetition_penalty = 1.3F;
  request.params.frequency_penalty = 0.4F;
  request.params.logprobs = logprobs;
  return request;
}

struct NarrowRun {
  Answers answers;
  uint64_t steps = 0;
  SchedulerStats stats;
};

NarrowRun RunNarrow(const Scenario& scenario, int32_t logprobs) {
  NarrowRun run;
  run.stats = RunGroup(scenario, [&](Engine& engine) {
    for (const uint64_t id : AllIds()) {
      ASSERT_TRUE(engine.Submit(MakeNarrow(id, logprobs)).ok());
    }
    Finish(engine, run.answers);
    run.steps = engine.last_step();
  });
  return run;
}

void ExpectSameTokens(const Answers& a, const Answers& b) {
  ASSERT_EQ(a.size(), b.size());
  for (const auto& [id, answer] : a) {
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    EXPECT_EQ(answer.tokens, b.at(id).tokens) << "request " << id;
  }
}

TEST_P(EngineGrammarOverRanks, ForcedTokensSkipTheModelAndChangeNothing) {
  const NarrowRun all = RunNarrow({.ranks = GetParam()}, 1);
  const NarrowRun skipping = RunNarrow({.ranks = GetParam()}, -1);
  for (const auto& [id, answer] : skipping.answers) {
    if (id % 2 == 1) ExpectRound(answer);
  }
  ExpectSameTokens(all.answers, skipping.answers);
  for (const int32_t chunk : {2, 7}) {
    ExpectSameTokens(all.answers,
                     RunNarrow({.ranks = GetParam(), .max_num_tokens = chunk}, -1).answers);
  }
  const NarrowRun tight = RunNarrow({.ranks = GetParam(), .num_blocks = 12}, -1);
  EXPECT_GT(tight.stats.num_preemptions, 0);
  ExpectSameTokens(all.answers, tight.answers);
}

TEST(EngineGrammarTest, ForcedTokensTakeNoStep) {
  const auto steps = [](int32_t logprobs) {
    uint64_t count = 0;
    RunGroup({}, [&](Engine& engine) {
      Answers answers;
      ASSERT_TRUE(engine.Submit(MakeNarrow(1, logprobs)).ok());
      Finish(engine, answers);
      ExpectRound(answers.at(1));
      count = engine.last_step();
    });
    return count;
  };
  EXPECT_EQ(steps(1), kLength + 1);
  EXPECT_EQ(steps(-1), 15) << "25 tokens, of which 10 are forced, and so is the end";
}

TEST(EngineGrammarTest, ALongLiteralLetsOthersHaveTheirSteps) {
  EngineRequest request = MakeNarrow(1, -1);
  request.grammar = std::make_shared<const MatcherGrammar<LiteralMatcher>>();
  request.params.max_tokens = 400;
  RunGroup({}, [&](Engine& engine) {
    Answers answers;
    ASSERT_TRUE(engine.Submit(request).ok());
    Finish(engine, answers);
    const std::vector<int32_t>& tokens = answers.at(1).tokens;
    ASSERT_EQ(tokens.size(), LiteralMatcher::kTokens + 1);
    EXPECT_EQ(std::ranges::count(tokens, LiteralMatcher::kToken), LiteralMatcher::kTokens);
    // A sampled token and 64 that it forces; chunks of 64 tokens need a second step each.
    EXPECT_GE(engine.last_step(), 4U);
    EXPECT_LE(engine.last_step(), 12U);
  });
}

TEST(EngineGrammarTest, BansKeepForcedTokensToTheModel) {
  EngineRequest request = MakeNarrow(1, -1);
  request.params.min_tokens = kLength + 1;  // the end may not come when the grammar wants it
  RunGroup({}, [&](Engine& engine) {
    Answers answers;
    ASSERT_TRUE(engine.Submit(request).ok());
    Finish(engine, answers);
    EXPECT_EQ(answers.at(1).status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(answers.at(1).tokens.size(), kLength);
  });
}

TEST(EngineGrammarTest, ForcedTokensCountTowardsMaxTokens) {
  EngineRequest request = MakeNarrow(1, -1);
  request.params.max_tokens = 4;
  RunGroup({}, [&](Engine& engine) {
    Answers answers;
    ASSERT_TRUE(engine.Submit(request).ok());
    Finish(engine, answers);
    EXPECT_EQ(answers.at(1).tokens.size(), 4U);
    EXPECT_EQ(engine.last_step(), 3U);
  });
}

TEST(EngineGrammarTest, RefusesToReplayWhatTheGrammarForbids) {
  EngineRequest request = MakeRequest(3);
  request.emitted_ids = {5, 1, 3};
  RunGroup({}, [&](Engine& engine) {
    const Status status = engine.Submit(request);
    EXPECT_EQ(status.field(), "emitted_ids");
    EXPECT_THAT(status.message(), testing::HasSubstr("3 at index 2"));
    EXPECT_FALSE(engine.HasWork());
  });
}

TEST(EngineGrammarTest, ACancelledRequestIsForgotten) {
  RunGroup({.ranks = 2}, [&](Engine& engine) {
    Answers answers;
    ASSERT_TRUE(engine.Submit(MakeRequest(1)).ok());
    for (int step = 0; step < 5; ++step) StepOnce(engine, answers);
    EXPECT_TRUE(engine.Cancel(1));
    EXPECT_FALSE(engine.HasWork());
    answers.clear();
    ASSERT_TRUE(engine.Submit(MakeRequest(1)).ok());
    Finish(engine, answers);
    ExpectRound(answers.at(1));
  });
}

TEST(EngineGrammarTest, ARequestWithNothingLeftToSayFailsAlone) {
  EngineRequest stuck = MakeRequest(3);
  stuck.params.allowed_token_ids = {1};  // and the grammar wants 2 modulo kPeriod third
  RunGroup({.ranks = 2}, [&](Engine& engine) {
    Answers answers;
    ASSERT_TRUE(engine.Submit(stuck).ok());
    ASSERT_TRUE(engine.Submit(MakeRequest(1)).ok());
    Finish(engine, answers);
    EXPECT_EQ(answers.at(3).status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(answers.at(3).status.field(), kGrammarField);
    EXPECT_THAT(answers.at(3).status.message(),
                testing::HasSubstr("allowed_token_ids excluded every token that fits"));
    ExpectRound(answers.at(1));
  });
}

}  // namespace
}  // namespace phalanx
