// The metrics page: what is counted, under which names, in a form that Prometheus reads.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "coordinator/metrics/metrics_page.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using metrics::MetricsNames;
using metrics::MetricsPage;
using testing::FakeEngine;
using testing::TestService;

// Sample -> value, as "name{label="value",...}" without the model's name.
std::map<std::string, double> Samples(const std::string& page) {
  const std::string model = "model_name=\"demo\"";
  std::map<std::string, double> samples;
  std::istringstream lines(page);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty() || line.front() == '#') continue;
    const size_t space = line.rfind(' ');
    std::string name = line.substr(0, space);
    if (const size_t at = name.find(model); at != std::string::npos) {
      const bool has_more = name[at + model.size()] == ',';
      name.erase(at, model.size() + (has_more ? 1 : 0));
    }
    if (name.ends_with("{}")) name.resize(name.size() - 2);
    EXPECT_TRUE(samples.emplace(name, std::stod(line.substr(space + 1))).second) << line;
  }
  return samples;
}

class IdleSession final : public EngineSession {
 public:
  explicit IdleSession(internal::Register group) : group_(std::move(group)) {}
  void Submit(internal::Submit) override {}
  void Cancel(uint64_t) override {}
  void Drain() override {}
  const internal::Register& info() const override { return group_; }

 private:
  const internal::Register group_;
};

// A run of two ranks that holds half of its cache.
Dispatcher::Snapshot Serving() {
  Dispatcher::Snapshot snapshot;
  snapshot.state = ServingState::kReady;
  snapshot.num_open = 5;
  snapshot.waiting_tokens = 17;
  snapshot.stats.set_last_step(100);
  snapshot.stats.set_num_running(3);
  snapshot.stats.set_num_waiting(2);
  snapshot.stats.set_num_free_blocks(50);
  snapshot.stats.set_num_cached_blocks(20);
  snapshot.stats.set_prefix_cache_queries(1000);
  snapshot.stats.set_prefix_cache_hits(250);
  for (int rank = 0; rank < 2; ++rank) {
    internal::RankStats& stats = *snapshot.stats.add_ranks();
    stats.set_rank(rank);
    stats.set_steps(102);
    stats.set_step_ns(2'500'000'000);
    stats.set_collective_ns(rank == 0 ? 250'000'000 : 5'000'000);
    stats.set_resident_bytes(1 << 20);
    stats.set_kv_cache_bytes(rank == 0 ? 100'000 : 200'000);
  }
  for (const int64_t bound : {1, 8}) snapshot.stats.mutable_step_tokens()->add_bounds(bound);
  for (const int64_t count : {60, 30, 10}) snapshot.stats.mutable_step_tokens()->add_counts(count);
  snapshot.stats.mutable_step_tokens()->set_sum(700);
  return snapshot;
}

TEST(MetricsPageTest, ShowsWhatTheGroupAndTheCoordinatorHold) {
  const MetricsPage page("demo", MetricsNames::kOwn);
  const auto samples = Samples(page.Render(Serving()));
  EXPECT_EQ(samples.at("phalanx_ready"), 1);
  EXPECT_EQ(samples.at("phalanx_state{state=\"ready\"}"), 1);
  EXPECT_EQ(samples.at("phalanx_state{state=\"draining\"}"), 0);
  EXPECT_EQ(samples.at("phalanx_streams_open"), 5);
  EXPECT_EQ(samples.at("phalanx_waiting_prompt_tokens"), 17);
  EXPECT_EQ(samples.at("phalanx_requests_running"), 3);
  EXPECT_EQ(samples.at("phalanx_requests_waiting"), 2);
  EXPECT_EQ(samples.at("phalanx_prefix_cache_hits_total"), 250);
  EXPECT_EQ(samples.at("phalanx_rank_step_seconds_total{rank=\"0\"}"), 2.5);
  EXPECT_EQ(samples.at("phalanx_rank_collective_seconds_total{rank=\"0\"}"), 0.25);
  EXPECT_EQ(samples.at("phalanx_rank_collective_seconds_total{rank=\"1\"}"), 0.005);
  EXPECT_EQ(samples.at("phalanx_rank_resident_memory_bytes{rank=\"1\"}"), 1 << 20);
  EXPECT_EQ(samples.at("phalanx_step_tokens_bucket{le=\"1\"}"), 60);
  EXPECT_EQ(samples.at("phalanx_step_tokens_bucket{le=\"8\"}"), 90);
  EXPECT_EQ(samples.at("phalanx_step_tokens_bucket{le=\"+Inf\"}"), 100);
  EXPECT_EQ(samples.at("phalanx_step_tokens_sum"), 700);
  EXPECT_GT(samples.at("process_resident_memory_bytes"), 1e6);
  EXPECT_GT(samples.at("process_open_fds"), 2);
}

TEST(MetricsPageTest, ShowsTheMemoryOfEachRank) {
  Dispatcher::Snapshot snapshot = Serving();
  internal::Register group;
  group.set_num_blocks(100);
  snapshot.session = std::make_shared<IdleSession>(group);
  internal::DeviceMemory& device = *snapshot.stats.mutable_ranks(1)->mutable_device();
  device.set_reserved_bytes(500'000);
  device.set_free_bytes(0);
  const MetricsPage page("demo", MetricsNames::kOwn);
  const auto samples = Samples(page.Render(snapshot));
  EXPECT_EQ(samples.at("phalanx_kv_cache_blocks"), 100);
  EXPECT_EQ(samples.at("phalanx_kv_cache_free_blocks"), 50);
  EXPECT_EQ(samples.at("phalanx_kv_cache_cached_blocks"), 20);
  const auto kv = [&](int rank, const char* state) {
    return samples.at(
        fmt::format("phalanx_rank_kv_cache_bytes{{rank=\"{}\",state=\"{}\"}}", rank, state));
  };
  EXPECT_EQ(kv(0, "used"), 50'000);
  EXPECT_EQ(kv(0, "cached"), 20'000);
  EXPECT_EQ(kv(0, "empty"), 30'000);
  EXPECT_EQ(kv(1, "used"), 100'000);
  EXPECT_EQ(kv(1, "cached"), 40'000);
  EXPECT_EQ(kv(1, "empty"), 60'000);
  EXPECT_EQ(samples.at("phalanx_rank_device_memory_reserved_bytes{rank=\"1\"}"), 500'000);
  EXPECT_EQ(samples.at("phalanx_rank_device_memory_used_bytes{rank=\"1\"}"), 440'000);
  EXPECT_EQ(samples.at("phalanx_rank_device_memory_free_bytes{rank=\"1\"}"), 0);
  EXPECT_EQ(samples.count("phalanx_rank_device_memory_reserved_bytes{rank=\"0\"}"), 0U)
      << "it computes in the host's memory";
  EXPECT_THAT(page.Render(Serving()), ::testing::Not(::testing::HasSubstr("device_memory")));
}

TEST(MetricsPageTest, ShowsHowManyMayRun) {
  Dispatcher::Snapshot snapshot = Serving();
  internal::Register group;
  group.set_max_num_seqs(256);
  snapshot.session = std::make_shared<IdleSession>(group);
  snapshot.stats.set_num_places(40);
  const MetricsPage page("demo", MetricsNames::kOwn);
  const auto samples = Samples(page.Render(snapshot));
  EXPECT_EQ(samples.at("phalanx_places"), 40);
  EXPECT_EQ(samples.at("phalanx_places_limit"), 256);
}

TEST(MetricsPageTest, CountsWhatRequestsGoThrough) {
  const MetricsPage page("demo", MetricsNames::kOwn);
  const auto observer = page.observer();
  observer->OnRefused(StatusCode::kResourceExhausted);
  observer->OnFirstToken(
      {.since_arrival_s = 0.03, .queue_s = 0.01, .prefill_s = 0.02, .num_prompt_tokens = 12});
  observer->OnTokens(1, -1);
  observer->OnTokens(1, 0.004);
  observer->OnTokens(3, 0.2);
  observer->OnEnd({.outcome = "length",
                   .since_arrival_s = 0.7,
                   .decode_s = 0.6,
                   .num_prompt_tokens = 12,
                   .num_completion_tokens = 5});
  observer->OnEnd({.outcome = "CANCELLED", .since_arrival_s = 0.1});
  const auto samples = Samples(page.Render({}));
  EXPECT_EQ(samples.at("phalanx_requests_refused_total{status=\"RESOURCE_EXHAUSTED\"}"), 1);
  EXPECT_EQ(samples.at("phalanx_requests_refused_total{status=\"UNAVAILABLE\"}"), 0);
  EXPECT_EQ(samples.at("phalanx_requests_finished_total{outcome=\"length\"}"), 1);
  EXPECT_EQ(samples.at("phalanx_requests_finished_total{outcome=\"CANCELLED\"}"), 1);
  EXPECT_EQ(samples.at("phalanx_requests_finished_total{outcome=\"stop\"}"), 0);
  EXPECT_EQ(samples.at("phalanx_prompt_tokens_total"), 12);
  EXPECT_EQ(samples.at("phalanx_generation_tokens_total"), 5);
  EXPECT_EQ(samples.at("phalanx_time_to_first_token_seconds_bucket{le=\"0.02\"}"), 0);
  EXPECT_EQ(samples.at("phalanx_time_to_first_token_seconds_bucket{le=\"0.04\"}"), 1);
  EXPECT_EQ(samples.at("phalanx_inter_token_latency_seconds_count"), 2);
  EXPECT_EQ(samples.at("phalanx_inter_token_latency_seconds_bucket{le=\"0.005\"}"), 1);
  EXPECT_EQ(samples.at("phalanx_request_seconds_count"), 2);
  EXPECT_EQ(samples.at("phalanx_request_decode_seconds_count"), 1)
      << "a request without a token has no decode time";
  EXPECT_EQ(samples.at("phalanx_request_generation_tokens_sum"), 5);
  EXPECT_EQ(samples.count("phalanx_kv_cache_usage_ratio"), 0U) << "no group is attached";
}

TEST(MetricsPageTest, GivesVllmsNamesOnRequest) {
  const MetricsPage own("demo", MetricsNames::kOwn);
  EXPECT_THAT(own.Render(Serving()), ::testing::Not(::testing::HasSubstr("vllm:")));
  const MetricsPage both("demo", MetricsNames::kOwnAndVllm);
  both.observer()->OnEnd({.outcome = "stop", .since_arrival_s = 1});
  both.observer()->OnEnd({.outcome = "tool_calls", .since_arrival_s = 1});
  both.observer()->OnEnd({.outcome = "CANCELLED", .since_arrival_s = 1});
  both.observer()->OnEnd({.outcome = "UNAVAILABLE", .since_arrival_s = 1});
  const auto samples = Samples(both.Render(Serving()));
  EXPECT_EQ(samples.at("vllm:num_requests_running"), 3);
  EXPECT_EQ(samples.at("vllm:num_requests_waiting"), 2);
  EXPECT_EQ(samples.at("vllm:prefix_cache_hits_total"), 250);
  EXPECT_EQ(samples.at("vllm:iteration_tokens_total_sum"), 700);
  EXPECT_EQ(samples.at("vllm:request_success_total{finished_reason=\"stop\"}"), 2);
  EXPECT_EQ(samples.at("vllm:request_success_total{finished_reason=\"length\"}"), 0);
  EXPECT_EQ(samples.at("vllm:request_success_total{finished_reason=\"abort\"}"), 2);
  EXPECT_EQ(samples.at("vllm:e2e_request_latency_seconds_count"), 4);
  for (const char* name :
       {"time_to_first_token_seconds", "inter_token_latency_seconds", "request_queue_time_seconds",
        "request_prefill_time_seconds", "request_decode_time_seconds", "request_prompt_tokens",
        "request_generation_tokens"}) {
    EXPECT_EQ(samples.count(fmt::format("vllm:{}_bucket{{le=\"+Inf\"}}", name)), 1U) << name;
  }
}

TEST(MetricsPageTest, EscapesTheModelsName) {
  const MetricsPage page("a\"b\\c\nd", MetricsNames::kOwn);
  const std::string text = page.Render({});
  EXPECT_THAT(text, ::testing::HasSubstr("model_name=\"a\\\"b\\\\c\\nd\""));
}

// Hears what a whole service reports.
class Recorder final : public RequestObserver {
 public:
  void OnRefused(StatusCode code) override { refused.Push(code); }
  void OnFirstToken(const FirstTokenFacts& facts) override { first_tokens.Push(facts); }
  void OnTokens(int64_t num_tokens, double since_last_s) override {
    tokens.Push({num_tokens, since_last_s});
  }
  void OnEnd(const EndFacts& facts) override { ends.Push(facts); }

  testing::Arrivals<StatusCode> refused;
  testing::Arrivals<FirstTokenFacts> first_tokens;
  testing::Arrivals<std::pair<int64_t, double>> tokens;
  testing::Arrivals<EndFacts> ends;
};

TEST(RequestObserverTest, HearsOfARequestsWholeWay) {
  const auto recorder = std::make_shared<Recorder>();
  TestService service({}, {.model_dir = testing::DemoModel()}, recorder);
  FakeEngine& engine = service.AttachEngine();

  grpc::ClientContext context;
  auto reader = service.stub().GenerateStream(&context, testing::TextRequest("Hello", 3));
  const internal::Submit submit = service.submits().Pop();
  internal::StepOutput step;
  step.set_epoch(engine.epoch());
  for (int32_t index = 0; index < 3; ++index) {
    step.clear_outputs();
    *step.add_outputs() = FakeEngine::Output(
        submit.request(), index, {100 + index},
        index == 2 ? internal::ENGINE_FINISH_LENGTH : internal::ENGINE_FINISH_NONE);
    step.mutable_outputs(0)->set_queue_ns(2'000'000);
    step.mutable_outputs(0)->set_prefill_ns(3'000'000);
    step.set_time_ns(1'000'000'000 + index * 20'000'000);
    engine.SendStep(step);
  }
  ASSERT_TRUE(TestService::ReadAll(*reader).status.ok());

  const FirstTokenFacts first = recorder->first_tokens.Pop();
  EXPECT_DOUBLE_EQ(first.queue_s, 0.002);
  EXPECT_DOUBLE_EQ(first.prefill_s, 0.003);
  EXPECT_EQ(first.num_prompt_tokens, submit.prompt_ids_size());
  EXPECT_GT(first.since_arrival_s, 0);
  EXPECT_TRUE(recorder->first_tokens.empty());
  EXPECT_LT(recorder->tokens.Pop().second, 0) << "nothing came before the first token";
  EXPECT_NEAR(recorder->tokens.Pop().second, 0.02, 1e-9);
  EXPECT_NEAR(recorder->tokens.Pop().second, 0.02, 1e-9);
  const EndFacts end = recorder->ends.Pop();
  EXPECT_EQ(end.outcome, "length");
  EXPECT_EQ(end.num_completion_tokens, 3);
  EXPECT_NEAR(end.decode_s, 0.04, 1e-9);
  EXPECT_TRUE(recorder->refused.empty());
}

TEST(RequestObserverTest, HearsOfWhatIsRefused) {
  const auto recorder = std::make_shared<Recorder>();
  TestService service({}, {.model_dir = testing::DemoModel()}, recorder);
  v1::GenerateResponse response;
  {
    grpc::ClientContext context;
    EXPECT_FALSE(service.stub().Generate(&context, testing::TextRequest("Hello"), &response).ok());
  }
  EXPECT_EQ(recorder->refused.Pop(), StatusCode::kUnavailable) << "no group is there";
  service.AttachEngine();
  v1::GenerateRequest wrong = testing::TextRequest("Hello");
  wrong.mutable_sampling()->set_temperature(-1);
  grpc::ClientContext context;
  EXPECT_FALSE(service.stub().Generate(&context, wrong, &response).ok());
  EXPECT_EQ(recorder->refused.Pop(), StatusCode::kInvalidArgument);
  EXPECT_TRUE(recorder->ends.empty());
}

}  // namespace
}  // namespace phalanx
