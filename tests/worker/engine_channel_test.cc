// What rank 0 makes of the coordinator's commands, with an engine that needs no model.
#include "worker/engine_channel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "parallel/liveness.h"
#include "tests/worker/fake_coordinator.h"
#include "tests/worker/fake_grammar_compiler.h"

namespace phalanx {
namespace {

using std::chrono::milliseconds;
using testing::FakeCoordinator;
using ::testing::HasSubstr;
using Event = internal::EngineEvent;

// Answers a request with the tokens 0, 1, 2, ..., one for each running request and step.
class CountingEngine final : public Engine {
 public:
  Status WarmUp() override { return OkStatus(); }
  Status Submit(EngineRequest request) override {
    if (request.prompt_ids.empty()) return InvalidField("prompt", "empty", "1 token or more");
    if (request.grammar != nullptr) ++num_grammars;
    waited = request.waited;
    running_[request.id] = {.length = request.params.max_tokens};
    return OkStatus();
  }
  bool Cancel(uint64_t request) override { return running_.erase(request) == 1; }
  bool HasWork() const override { return !running_.empty(); }
  StatusOr<std::vector<EngineOutput>> Step() override {
    if (fails) return UnavailableError("rank 2 ended the group: no memory");
    const std::lock_guard step(step_gate);
    std::this_thread::sleep_for(milliseconds(1));
    ++num_steps_;
    std::vector<EngineOutput> outputs;
    for (auto run = running_.begin(); run != running_.end();) {
      const int32_t index = run->second.next++;
      const bool is_last = index + 1 == run->second.length;
      EngineOutput output;
      output.token = {.request = run->first, .index = index, .token_id = index};
      if (is_last) output.token.finish = FinishReason::kLength;
      outputs.push_back(output);
      run = is_last ? running_.erase(run) : std::next(run);
    }
    return outputs;
  }
  Status Heartbeat() override {
    ++num_heartbeats;
    return OkStatus();
  }
  Status Shutdown() override {
    ++num_shutdowns;
    return OkStatus();
  }
  SchedulerStats stats() const override {
    return {.num_running = static_cast<int32_t>(running_.size())};
  }
  uint64_t last_step() const override { return num_steps_; }
  Status Follow() override { return InternalError("this is rank 0"); }

  std::atomic<bool> fails = false;
  std::mutex step_gate;  // no step begins while a test holds it
  std::atomic<int> num_heartbeats = 0;
  std::atomic<int> num_shutdowns = 0;
  std::atomic<int> num_grammars = 0;
  std::atomic<std::chrono::nanoseconds> waited{};  // of the last request

 private:
  struct Run {
    int32_t length = 0;
    int32_t next = 0;
  };
  std::map<uint64_t, Run> running_;
  uint64_t num_steps_ = 0;
};

EngineChannelOptions OptionsFor(const FakeCoordinator& coordinator) {
  EngineChannelOptions options;
  options.socket = coordinator.socket();
  options.num_ranks = 2;
  options.device = "cpu";
  return options;
}

class EngineChannelTest : public ::testing::Test {
 protected:
  void Serve() {
    EngineChannelOptions options = OptionsFor(coordinator_);
    options.board = board_;
    options.make_grammar_compiler = [this]() -> StatusOr<std::unique_ptr<GrammarCompiler>> {
      return std::make_unique<testing::FakeGrammarCompiler>(let_go_);
    };
    result_ = std::async(std::launch::async,
                         [this, options] { return ServeEngine(options, engine_, stop_); });
  }
  Status Result(milliseconds patience = std::chrono::seconds(10)) {
    if (result_.wait_for(patience) != std::future_status::ready) {
      return InternalError("still serving");
    }
    return result_.get();
  }
  void TearDown() override {
    LetGo();
    stop_ = true;
  }
  void LetGo() {
    let_go_ = true;
    let_go_.notify_all();
  }

  void Submit(uint64_t id, int32_t max_tokens) {
    internal::EngineCommand command;
    command.mutable_submit()->set_request(id);
    command.mutable_submit()->add_prompt_ids(1);
    command.mutable_submit()->mutable_sampling()->set_max_tokens(max_tokens);
    ASSERT_TRUE(coordinator_.Send(command));
  }
  void SubmitWithRegex(uint64_t id, const std::string& regex) {
    internal::EngineCommand command;
    internal::Submit& submit = *command.mutable_submit();
    submit.set_request(id);
    submit.add_prompt_ids(1);
    submit.mutable_sampling()->set_max_tokens(3);
    internal::Grammar& grammar = *submit.mutable_sampling()->mutable_grammar();
    grammar.set_kind(internal::GRAMMAR_KIND_REGEX);
    grammar.set_source(regex);
    grammar.set_field("sampling.structured_outputs.regex");
    ASSERT_TRUE(coordinator_.Send(command));
  }
  void Cancel(uint64_t id) {
    internal::EngineCommand command;
    command.mutable_cancel()->set_request(id);
    ASSERT_TRUE(coordinator_.Send(command));
  }
  void Drain() {
    internal::EngineCommand command;
    command.mutable_drain();
    ASSERT_TRUE(coordinator_.Send(command));
  }
  // The outputs of `id` up to its end.
  std::vector<internal::RequestOutput> OutputsOf(uint64_t id) {
    std::vector<internal::RequestOutput> outputs;
    for (;;) {
      const internal::EngineEvent event = coordinator_.NextEvent(Event::kStep);
      EXPECT_EQ(event.step().epoch(), FakeCoordinator::kEpoch);
      for (const auto& output : event.step().outputs()) {
        if (output.request() != id) continue;
        outputs.push_back(output);
        if (output.finish() != internal::ENGINE_FINISH_NONE) return outputs;
      }
    }
  }

  FakeCoordinator coordinator_{FakeCoordinator::Welcome::kAtOnce};
  CountingEngine engine_;
  const LivenessBoard* board_ = nullptr;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> let_go_ = false;
  std::future<Status> result_;
};

TEST_F(EngineChannelTest, ServesUntilDrained) {
  coordinator_.Listen();
  Serve();
  EXPECT_EQ(coordinator_.WaitForRegistration().device(), "cpu");
  EXPECT_EQ(coordinator_.NextEvent().event_case(), Event::kStats);  // at once: the queue is known
  Submit(1, 5);
  const auto outputs = OutputsOf(1);
  ASSERT_EQ(outputs.size(), 5U);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(outputs[static_cast<size_t>(i)].first_index(), i);
    EXPECT_EQ(outputs[static_cast<size_t>(i)].tokens(0).token_id(), i);
  }
  Submit(2, 200);
  Drain();
  Submit(3, 5);
  const auto refused = OutputsOf(3);
  EXPECT_EQ(refused.back().error_code(), static_cast<int32_t>(StatusCode::kUnavailable));
  EXPECT_THAT(refused.back().error(), HasSubstr("draining"));
  EXPECT_EQ(OutputsOf(2).back().finish(),
            internal::ENGINE_FINISH_LENGTH);  // what was admitted ends
  EXPECT_TRUE(Result().ok());
  EXPECT_TRUE(coordinator_.WaitForEnd());
  EXPECT_EQ(engine_.num_shutdowns, 1);
}

TEST_F(EngineChannelTest, PulsesComeWhileAStepTakesItsTime) {
  const auto region = MakeHeapRegion(LivenessBoard::SizeBytes(2));
  const LivenessBoard other(region, 1, 2, 1, 2);
  const LivenessBoard board(region, 0, 2, 0, 2);
  board_ = &board;
  coordinator_.Listen();
  Serve();
  coordinator_.WaitForRegistration();
  engine_.step_gate.lock();
  Submit(1, 1);
  other.mine().beats = 1;
  int64_t stalled_ms = 0;
  while (stalled_ms == 0) {  // the other rank has fallen silent
    const internal::Pulse pulse = coordinator_.NextEvent(Event::kPulse).pulse();
    stalled_ms = pulse.stalled_ms();
    EXPECT_EQ(pulse.reason().empty(), stalled_ms == 0);
    EXPECT_THAT(pulse.reason(), HasSubstr(stalled_ms > 0 ? "rank 1 (" : ""));
  }
  engine_.step_gate.unlock();
  EXPECT_EQ(OutputsOf(1).size(), 1U);
  Drain();
  EXPECT_TRUE(Result().ok());
}

TEST_F(EngineChannelTest, ARefusedRequestNamesItsField) {
  coordinator_.Listen();
  Serve();
  internal::EngineCommand command;
  command.mutable_submit()->set_request(4);
  ASSERT_TRUE(coordinator_.Send(command));
  const auto outputs = OutputsOf(4);
  EXPECT_EQ(outputs.back().error_field(), "prompt");
  EXPECT_EQ(outputs.back().error_code(), static_cast<int32_t>(StatusCode::kInvalidArgument));
}

TEST_F(EngineChannelTest, ACancelledRequestEndsAndUnknownOnesAreIgnored) {
  coordinator_.Listen();
  Serve();
  Submit(1, 1'000'000);
  Cancel(77);
  Cancel(1);
  EXPECT_EQ(OutputsOf(1).back().finish(), internal::ENGINE_FINISH_CANCELLED);
  Submit(2, 3);
  EXPECT_EQ(OutputsOf(2).size(), 3U);
}

TEST_F(EngineChannelTest, ACommandWithoutContentIsIgnored) {
  coordinator_.Listen();
  Serve();
  ASSERT_TRUE(coordinator_.Send(internal::EngineCommand()));
  Submit(1, 3);
  EXPECT_EQ(OutputsOf(1).size(), 3U);
}

TEST_F(EngineChannelTest, AnEngineThatFailsIsReportedBeforeTheEnd) {
  coordinator_.Listen();
  Serve();
  engine_.fails = true;
  Submit(1, 5);
  EXPECT_THAT(coordinator_.NextEvent(Event::kFatal).fatal().message(),
              HasSubstr("rank 2 ended the group"));
  EXPECT_EQ(Result().code(), StatusCode::kUnavailable);
  EXPECT_EQ(engine_.num_shutdowns, 0);  // the others have gone or hang
}

TEST_F(EngineChannelTest, ACoordinatorThatGoesEndsTheGroup) {
  for (const bool busy : {false, true}) {
    SCOPED_TRACE(::testing::Message() << "busy " << busy);
    FakeCoordinator coordinator(FakeCoordinator::Welcome::kAtOnce);
    coordinator.Listen();
    CountingEngine engine;
    auto result = std::async(std::launch::async,
                             [&] { return ServeEngine(OptionsFor(coordinator), engine, stop_); });
    coordinator.WaitForRegistration();
    if (busy) {
      internal::EngineCommand command;
      command.mutable_submit()->set_request(1);
      command.mutable_submit()->add_prompt_ids(1);
      command.mutable_submit()->mutable_sampling()->set_max_tokens(1'000'000);
      ASSERT_TRUE(coordinator.Send(command));
      coordinator.NextEvent(Event::kStep);
    }
    coordinator.Close(grpc::Status::OK);
    ASSERT_EQ(result.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    const Status status = result.get();
    EXPECT_EQ(status.code(), StatusCode::kUnavailable);
    EXPECT_THAT(status.message(), HasSubstr("closed the engine channel"));
    EXPECT_EQ(engine.num_shutdowns, 1);
  }
}

TEST_F(EngineChannelTest, AStopEndsTheWaitForACoordinatorAtOnceAndWell) {
  Serve();  // nobody listens
  std::this_thread::sleep_for(milliseconds(300));
  EXPECT_GE(engine_.num_heartbeats, 1);  // the other ranks must see that rank 0 lives
  stop_ = true;
  EXPECT_TRUE(Result(milliseconds(1000)).ok());
  EXPECT_EQ(engine_.num_shutdowns, 1);
}

TEST_F(EngineChannelTest, AStopWhileServingFinishesWhatIsAdmitted) {
  coordinator_.Listen();
  Serve();
  Submit(1, 200);
  coordinator_.NextEvent(Event::kStep);
  stop_ = true;
  EXPECT_EQ(OutputsOf(1).back().finish(), internal::ENGINE_FINISH_LENGTH);
  EXPECT_TRUE(Result().ok());
}

TEST_F(EngineChannelTest, AGrammarIsCompiledWhileOthersGoOn) {
  coordinator_.Listen();
  Serve();
  SubmitWithRegex(1, "slow");
  Submit(2, 5);
  EXPECT_EQ(OutputsOf(2).size(), 5U);
  EXPECT_EQ(engine_.num_grammars, 0);
  EXPECT_EQ(engine_.waited.load(), std::chrono::nanoseconds(0));
  const auto arrived_before = std::chrono::steady_clock::now();  // the second came after it
  std::this_thread::sleep_for(milliseconds(5));
  const auto least = std::chrono::steady_clock::now() - arrived_before;
  LetGo();
  EXPECT_EQ(OutputsOf(1).size(), 3U);
  EXPECT_EQ(engine_.num_grammars, 1);
  EXPECT_GE(engine_.waited.load(), least);
}

TEST_F(EngineChannelTest, AGrammarThatIsNoneNamesTheClientsField) {
  coordinator_.Listen();
  Serve();
  SubmitWithRegex(1, "bad");
  const auto outputs = OutputsOf(1);
  EXPECT_EQ(outputs.back().error_field(), "sampling.structured_outputs.regex");
  EXPECT_EQ(outputs.back().error_code(), static_cast<int32_t>(StatusCode::kInvalidArgument));
}

TEST_F(EngineChannelTest, ARequestCancelledWhileItsGrammarCompilesNeverRuns) {
  coordinator_.Listen();
  Serve();
  SubmitWithRegex(1, "slow");
  Cancel(1);
  EXPECT_EQ(OutputsOf(1).back().finish(), internal::ENGINE_FINISH_CANCELLED);
  LetGo();
  SubmitWithRegex(2, "good");
  EXPECT_EQ(OutputsOf(2).size(), 3U);
  EXPECT_EQ(engine_.num_grammars, 1);
}

TEST_F(EngineChannelTest, ADrainWaitsForRequestsWhoseGrammarsCompile) {
  coordinator_.Listen();
  Serve();
  SubmitWithRegex(1, "slow");
  Drain();
  Submit(2, 5);
  EXPECT_THAT(OutputsOf(2).back().error(), HasSubstr("draining"));
  LetGo();
  EXPECT_EQ(OutputsOf(1).back().finish(), internal::ENGINE_FINISH_LENGTH);
  EXPECT_TRUE(Result().ok());
}

}  // namespace
}  // namespace phalanx
