// A million random operations against small pools, checked three ways: invariants inside the
// scheduler, the context that every token sees in a fake KV pool, and the output of every request
// against a reference that knows nothing of scheduling.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "tests/worker/fake_ranks.h"
#include "tests/worker/scheduler_peer.h"
#include "worker/scheduler.h"

namespace phalanx {
namespace {

constexpr int64_t kNumEpisodes = 6 * PHALANX_TEST_EFFORT;
constexpr int64_t kOperationsPerEpisode = 4100;
constexpr size_t kMaxLive = 12;
// Far above what was seen, far below never.
constexpr int64_t kMostStepsToFinish = 2000;

struct Totals {
  int64_t operations = 0;
  int64_t finished = 0;
  int64_t cancelled = 0;
  int64_t appended = 0;
  int64_t refused = 0;
  int64_t preemptions = 0;
  int64_t made_way = 0;
  int64_t hits = 0;
  int64_t most_steps = 0;
};

enum class Sharing : uint8_t { kNone, kKeys };

struct Order {
  SchedulingPolicy policy;
  Sharing sharing;
};

class Episode {
 public:
  Episode(uint64_t seed, Order order, Totals& totals)
      : random_(seed),
        sharing_(order.sharing),
        config_(RandomConfig(order.policy)),
        scheduler_(config_),
        ranks_(config_, [this](int32_t slot) { return salts_.at(scheduler_.RequestInSlot(slot)); }),
        totals_(totals) {}

  void Run() {
    int64_t count = 0;
    while (count < kOperationsPerEpisode && !::testing::Test::HasFailure()) {
      // Phases of rush and of calm, so that pools fill up and run dry.
      const int32_t add_percent = (count / 512) % 2 == 0 ? 60 : 15;
      count += Choose(add_percent) ? AddSome() : 0;
      count += Choose(4) ? CancelOne() : 0;
      if (Choose(2)) scheduler_.LimitRunning(Uniform(1, 8));
      count += Step();
    }
    totals_.operations += count;
    while (scheduler_.HasWork() && !::testing::Test::HasFailure()) Step();
    EXPECT_EQ(scheduler_.stats().num_free_blocks, config_.limits.num_blocks);
    totals_.preemptions += scheduler_.stats().num_preemptions;
    totals_.made_way += scheduler_.stats().num_made_way;
    totals_.hits += scheduler_.stats().prefix_cache_hits;
  }

 private:
  struct Live {
    ExpectedOutput expected;
    size_t next_index = 0;
    int64_t added_at_step = 0;
    int32_t num_prompt = 0;
  };

  int32_t Uniform(int32_t low, int32_t high) {
    return std::uniform_int_distribution<int32_t>(low, high)(random_);
  }
  bool Choose(int32_t percent) { return Uniform(1, 100) <= percent; }

  SchedulerConfig RandomConfig(SchedulingPolicy policy) {
    SchedulerConfig config;
    config.limits = {.max_num_seqs = Uniform(1, 6),
                     .max_num_tokens = Choose(20) ? Uniform(1, 3) : Uniform(4, 24),
                     .max_model_len = Uniform(8, 60),
                     .vocab_size = 5,
                     .block_size = Uniform(1, 5),
                     .num_blocks = Uniform(4, 40)};
    config.policy = policy;
    config.prefix_caching = Choose(80) ? PrefixCaching::kOn : PrefixCaching::kOff;
    config.max_num_logit_rows = Uniform(1, 8);
    config.aging_steps = Uniform(1, 16);
    return config;
  }

  // Tokens of the longest request.
  int64_t Capacity() const {
    return std::min<int64_t>(config_.limits.max_model_len,
                             config_.limits.num_blocks * config_.limits.block_size + 1);
  }

  EngineRequest RandomRequest() {
    EngineRequest request;
    // Few distinct tokens and prefixes: the cache is hit often, and often in part.
    std::mt19937_64 prefix(static_cast<uint64_t>(Uniform(1, 3)));
    const int32_t capacity = static_cast<int32_t>(Capacity());
    const int32_t num_prefix = Uniform(0, std::min(24, capacity / 2));
    for (int32_t i = 0; i < num_prefix; ++i) {
      request.prompt_ids.push_back(static_cast<int32_t>(prefix() % 5));
    }
    const int32_t num_rest = Uniform(1, 8);
    for (int32_t i = 0; i < num_rest; ++i) request.prompt_ids.push_back(Uniform(0, 4));
    SamplingParams& params = request.params;
    const int32_t room = capacity - static_cast<int32_t>(request.prompt_ids.size());
    params.max_tokens = Uniform(1, std::max(1, Choose(5) ? 2 * capacity : std::min(room, 40)));
    params.min_tokens = Choose(50) ? Uniform(0, params.max_tokens) : 0;
    if (Choose(30)) params.eos_token_ids = {4};
    if (Choose(30)) params.stop_token_ids = {2, 3};
    params.seed = static_cast<uint64_t>(Uniform(1, 3));
    if (Choose(15)) params.prompt_logprobs = Uniform(0, 5);
    request.priority = Uniform(-3, 3);
    if (sharing_ == Sharing::kKeys) {
      request.share = static_cast<uint64_t>(Uniform(0, 3));
      request.fair_start = step_ + Uniform(0, 40);
    }
    if (Choose(30)) request.cache_salt = Choose(50) ? "a" : "b";
    return request;
  }

  int64_t AddSome() {
    EngineRequest request = RandomRequest();
    const int32_t n = Choose(25) ? Uniform(2, 4) : 1;
    if (n > 1 || Choose(10)) request.group = next_id_;
    for (int32_t choice = 0; choice < n; ++choice) {
      if (live_.size() >= kMaxLive) return choice;
      request.id = next_id_++;
      request.params.seed += static_cast<uint64_t>(choice);
      request.emitted_ids.clear();
      AddOne(request);
    }
    return n;
  }

  void AddOne(EngineRequest request) {
    Live live{.expected = Expect(request, config_.limits.vocab_size),
              .added_at_step = step_,
              .num_prompt = static_cast<int32_t>(request.prompt_ids.size())};
    if (Choose(15)) {  // as after the loss of a worker group
      live.next_index =
          static_cast<size_t>(Uniform(0, static_cast<int32_t>(live.expected.tokens.size()) - 1));
      request.emitted_ids.assign(
          live.expected.tokens.begin(),
          live.expected.tokens.begin() + static_cast<ptrdiff_t>(live.next_index));
    }
    const uint64_t id = request.id;
    const std::string salt = request.cache_salt;
    const bool fits = live.num_prompt + request.params.max_tokens <= Capacity();
    const Status status = scheduler_.Add(std::move(request));
    ASSERT_EQ(status.ok(), fits) << status;
    if (!status.ok()) {
      ++totals_.refused;
      return;
    }
    salts_[id] = salt;
    live_.emplace(id, std::move(live));
  }

  int64_t CancelOne() {
    if (live_.empty()) return 0;
    auto it = live_.begin();
    std::advance(it, Uniform(0, static_cast<int32_t>(live_.size()) - 1));
    EXPECT_TRUE(scheduler_.Cancel(it->first));
    EXPECT_FALSE(scheduler_.Cancel(it->first));
    live_.erase(it);
    ++totals_.cancelled;
    return 1;
  }

  // One step; requests come and go while its plan is in flight.
  int64_t Step() {
    ++step_;
    int64_t count = 2;
    const bool has_work = scheduler_.HasWork();
    const SchedulerPeer::Before before = SchedulerPeer::Look(scheduler_);
    const StepPlan plan = scheduler_.Schedule();
    SchedulerPeer::CheckStep(scheduler_, plan, before);
    EXPECT_EQ(plan.work.empty(), !has_work) << "a step without progress";
    SchedulerPeer::CheckInvariants(scheduler_);
    const int64_t num_free_blocks = scheduler_.stats().num_free_blocks;
    if (Choose(10)) count += AddSome();
    if (Choose(5)) {
      count += CancelOne();
      CheckBlocksOfPlanAreHeld(plan, num_free_blocks);
    }
    for (const TokenOutput& output : scheduler_.Commit(ranks_.Run(plan))) {
      Receive(output);
      if (Choose(10)) AppendSome(output.request);
    }
    SchedulerPeer::CheckInvariants(scheduler_);
    for (const auto& [id, live] : live_) {
      EXPECT_LT(step_ - live.added_at_step, kMostStepsToFinish) << "request " << id << " starves";
    }
    return count;
  }

  // What would have been sampled becomes known without the ranks.
  void AppendSome(uint64_t request) {
    for (int32_t left = Uniform(1, 6); left > 0 && live_.contains(request); --left) {
      const Live& live = live_.at(request);
      Receive(scheduler_.Append(request, live.expected.tokens[live.next_index]));
      ++totals_.appended;
    }
  }

  void CheckBlocksOfPlanAreHeld(const StepPlan& plan, int64_t num_free_before) {
    std::set<int32_t> named;
    for (const SequenceWork& work : plan.work) {
      EXPECT_NE(scheduler_.RequestInSlot(work.slot), 0u);
      named.insert(work.block_table.begin(), work.block_table.end());
    }
    const int64_t num_free = scheduler_.stats().num_free_blocks;
    EXPECT_GE(num_free, num_free_before);
    EXPECT_LE(num_free + static_cast<int64_t>(named.size()), config_.limits.num_blocks);
  }

  void Receive(const TokenOutput& output) {
    const auto it = live_.find(output.request);
    ASSERT_NE(it, live_.end()) << "a token for a request that is gone";
    Live& live = it->second;
    ASSERT_EQ(static_cast<size_t>(output.index), live.next_index);
    ASSERT_EQ(output.token_id, live.expected.tokens[live.next_index]);
    EXPECT_GE(output.cached_tokens, 0);
    EXPECT_LE(output.cached_tokens, live.num_prompt);
    ++live.next_index;
    if (live.next_index < live.expected.tokens.size()) {
      ASSERT_EQ(output.finish, FinishReason::kNone);
      return;
    }
    ASSERT_EQ(output.finish, live.expected.finish);
    totals_.most_steps = std::max(totals_.most_steps, step_ - live.added_at_step);
    ++totals_.finished;
    live_.erase(it);
  }

  std::mt19937_64 random_;
  Sharing sharing_;
  SchedulerConfig config_;
  Scheduler scheduler_;
  FakeRanks ranks_;
  Totals& totals_;
  uint64_t next_id_ = 1;
  int64_t step_ = 0;
  std::map<uint64_t, Live> live_;
  std::map<uint64_t, std::string> salts_;
};

class SchedulerModelTest : public ::testing::TestWithParam<Order> {};

TEST_P(SchedulerModelTest, KeepsItsInvariantsOverRandomOperations) {
  Totals totals;
  for (uint64_t seed = 1; seed <= kNumEpisodes / 2; ++seed) {
    SCOPED_TRACE(::testing::Message() << "seed " << seed);
    Episode(seed, GetParam(), totals).Run();
    ASSERT_FALSE(HasFailure());
  }
  std::printf(
      "%ld operations: %ld requests finished, %ld cancelled, %ld refused, %ld preemptions, %ld "
      "made way, %ld cached tokens, at most %ld steps from arrival to finish\n",
      totals.operations, totals.finished, totals.cancelled, totals.refused, totals.preemptions,
      totals.made_way, totals.hits, totals.most_steps);
  // The test is only worth something where all of this happened.
  EXPECT_GE(totals.operations, kNumEpisodes / 2 * kOperationsPerEpisode);
  EXPECT_GT(totals.finished, 100 * PHALANX_TEST_EFFORT);
  EXPECT_GT(totals.cancelled, 10 * PHALANX_TEST_EFFORT);
  EXPECT_GT(totals.appended, 100 * PHALANX_TEST_EFFORT);
  EXPECT_GT(totals.refused, 10 * PHALANX_TEST_EFFORT);
  EXPECT_GT(totals.preemptions, 10 * PHALANX_TEST_EFFORT);
  EXPECT_GT(totals.hits, 100 * PHALANX_TEST_EFFORT);
  const bool anyone_shares = GetParam().sharing == Sharing::kKeys;
  EXPECT_EQ(totals.made_way > 10 * PHALANX_TEST_EFFORT, anyone_shares);
}

INSTANTIATE_TEST_SUITE_P(Orders, SchedulerModelTest,
                         ::testing::Values(Order{SchedulingPolicy::kFcfs, Sharing::kNone},
                                           Order{SchedulingPolicy::kFcfs, Sharing::kKeys},
                                           Order{SchedulingPolicy::kPriority, Sharing::kNone}),
                         [](const auto& info) {
                           if (info.param.policy == SchedulingPolicy::kPriority) return "Priority";
                           return info.param.sharing == Sharing::kKeys ? "FcfsOfKeys" : "Fcfs";
                         });

}  // namespace
}  // namespace phalanx
