#include "worker/engine_channel.h"

#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <unordered_map>
#include <utility>

#include "grammar/start_after.h"
#include "worker/engine_stream.h"
#include "worker/engine_wire.h"
#include "worker/health_pulse.h"
#include "worker/rank_stats.h"

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kStatsWhileBusy{500};
constexpr std::chrono::milliseconds kStatsAfterAnEnd{10};
constexpr std::chrono::milliseconds kIdlePulse{1000};  // heartbeat and statistics
// A signal cannot wake the wait for commands, so it is this short.
constexpr std::chrono::nanoseconds kLongestNap = std::chrono::milliseconds(100);
// As many as a coordinator with a full queue sends.
constexpr size_t kMaxWaitingGrammars = 1024;

class ServiceLoop {
 public:
  ServiceLoop(const EngineChannelOptions& options, Engine& engine, EngineStream& channel,
              const std::atomic<bool>& stop_requested)
      : board_(options.board),
        engine_(engine),
        channel_(channel),
        stop_requested_(stop_requested),
        grammars_({.make_compiler = options.make_grammar_compiler,
                   .on_loaded = [&channel] { channel.Wake(); },
                   .max_waiting = kMaxWaitingGrammars}) {}

  Status Run() {
    PHALANX_RETURN_IF_ERROR(SendStats());
    for (;;) {
      PHALANX_RETURN_IF_ERROR(HandleCommands());
      PHALANX_RETURN_IF_ERROR(RefreshStats());
      if (!engine_.HasWork()) {
        if (is_draining_ && held_.empty()) return OkStatus();
        if (channel_.is_closed()) return Closed();
        PHALANX_RETURN_IF_ERROR(Pulse());
        continue;
      }
      if (channel_.is_closed()) return Closed();
      PHALANX_RETURN_IF_ERROR(StepOnce());
    }
  }
  bool engine_failed() const { return engine_failed_; }

 private:
  // After a drain nobody waits for what is left.
  Status Closed() const {
    if (is_draining_) return OkStatus();
    return UnavailableError("the coordinator closed the engine channel");
  }

  Status HandleCommands() {
    std::chrono::nanoseconds patience{0};
    if (!engine_.HasWork() && (!is_draining_ || !held_.empty())) {
      patience = std::min(kLongestNap, last_pulse_ + kIdlePulse - Clock::now());
      if (stats_are_old_)
        patience = std::min(patience, last_stats_ + kStatsAfterAnEnd - Clock::now());
    }
    internal::StepOutput outputs;
    for (internal::EngineCommand& command : channel_.Take(patience)) {
      switch (command.command_case()) {
        case internal::EngineCommand::kSubmit:
          Submit(std::move(*command.mutable_submit()), outputs);
          break;
        case internal::EngineCommand::kCancel:
          Cancel(command.cancel().request(), outputs);
          break;
        case internal::EngineCommand::kDrain:
          Drain();
          break;
        default:
          spdlog::warn("unknown command {} from the coordinator",
                       static_cast<int>(command.command_case()));
      }
    }
    for (GrammarLoader::Loaded& loaded : grammars_.Take()) Release(std::move(loaded), outputs);
    if (stop_requested_) Drain();
    return SendOutputs(std::move(outputs));
  }

  void Drain() {
    if (!is_draining_) spdlog::info("draining: finishing what is admitted");
    is_draining_ = true;
  }

  void Submit(internal::Submit submit, internal::StepOutput& outputs) {
    const uint64_t id = submit.request();
    const Status status = is_draining_ ? UnavailableError("this worker group is draining")
                                       : SubmitOrHold(std::move(submit));
    if (!status.ok()) *outputs.add_outputs() = ErrorOutput(id, status);
  }

  Status SubmitOrHold(internal::Submit submit) {
    std::optional<GrammarSpec> grammar = GrammarFromWire(submit.sampling());
    if (!grammar) return engine_.Submit(FromWire(std::move(submit)));
    const uint64_t id = submit.request();
    PHALANX_RETURN_IF_ERROR(
        grammars_.Load(id, *std::move(grammar), submit.sampling().grammar().field()));
    std::optional<int32_t> start_after;
    if (submit.sampling().grammar().has_start_after()) {
      start_after = submit.sampling().grammar().start_after();
    }
    held_[id] = {FromWire(std::move(submit)), start_after, Clock::now()};
    return OkStatus();
  }

  // A request's grammar is there, or is none. Those cancelled meanwhile are not held any more.
  void Release(GrammarLoader::Loaded loaded, internal::StepOutput& outputs) {
    auto held = held_.extract(loaded.request);
    if (held.empty()) return;
    Status status = loaded.grammar.status();
    if (status.ok()) {
      EngineRequest& request = held.mapped().request;
      request.grammar = *std::move(loaded.grammar);
      if (const auto token = held.mapped().grammar_start_after) {
        request.grammar = StartAfter(*token, std::move(request.grammar));
      }
      request.waited = Clock::now() - held.mapped().arrival;
      status = engine_.Submit(std::move(request));
    }
    if (!status.ok()) *outputs.add_outputs() = ErrorOutput(loaded.request, status);
  }

  void Cancel(uint64_t id, internal::StepOutput& outputs) {
    if (held_.erase(id) == 0 && !engine_.Cancel(id)) return;
    stats_are_old_ = true;
    internal::RequestOutput& output = *outputs.add_outputs();
    output.set_request(id);
    output.set_finish(internal::ENGINE_FINISH_CANCELLED);
  }

  Status StepOnce() {
    StatusOr<std::vector<EngineOutput>> step = engine_.Step();
    if (!step.ok()) return EngineFailed(step.status());
    internal::StepOutput outputs;
    for (const EngineOutput& output : *step) *outputs.add_outputs() = ToWire(output);
    PHALANX_RETURN_IF_ERROR(SendOutputs(std::move(outputs)));
    const bool work_has_ended = !engine_.HasWork();
    stats_are_old_ = stats_are_old_ || work_has_ended;
    return Clock::now() - last_stats_ >= kStatsWhileBusy ? SendStats() : OkStatus();
  }

  // What a request gave back shows at once, and a flood of cancellations is no flood of statistics.
  Status RefreshStats() {
    const bool is_due = stats_are_old_ && Clock::now() - last_stats_ >= kStatsAfterAnEnd;
    return is_due ? SendStats() : OkStatus();
  }

  // Once a second while idle, so that every rank shows that it lives.
  Status Pulse() {
    const Clock::time_point now = Clock::now();
    if (now - last_pulse_ < kIdlePulse) return OkStatus();
    last_pulse_ = now;
    const Status status = engine_.Heartbeat();
    if (!status.ok()) return EngineFailed(status);
    return SendStats();
  }

  Status SendOutputs(internal::StepOutput outputs) {
    if (outputs.outputs().empty()) return OkStatus();
    internal::EngineEvent event;
    outputs.set_epoch(channel_.epoch());
    outputs.set_time_ns(std::chrono::nanoseconds(Clock::now().time_since_epoch()).count());
    *event.mutable_step() = std::move(outputs);
    return channel_.Send(event);
  }

  Status SendStats() {
    last_stats_ = Clock::now();
    stats_are_old_ = false;
    internal::EngineEvent event;
    if (board_ != nullptr && last_stats_ - last_look_ >= kStatsWhileBusy) {
      last_look_ = last_stats_;
      ranks_ = ReadRankStats(*board_);
    }
    *event.mutable_stats() = ToWire(engine_.stats(), ranks_, engine_.last_step());
    return channel_.Send(event);
  }

  Status EngineFailed(const Status& status) {
    engine_failed_ = true;
    internal::EngineEvent event;
    event.mutable_fatal()->set_message(status.message());
    // A coordinator that is gone too changes nothing: the engine's error is the one that counts.
    if (!channel_.Send(event).ok()) spdlog::warn("the coordinator could not be told");
    return status;
  }

  const LivenessBoard* board_;
  Engine& engine_;
  EngineStream& channel_;
  const std::atomic<bool>& stop_requested_;
  bool is_draining_ = false;
  bool engine_failed_ = false;
  Clock::time_point last_pulse_ = Clock::now();
  Clock::time_point last_stats_{};
  bool stats_are_old_ = false;    // a request has ended since
  std::vector<RankStats> ranks_;  // as of last_look_: files of /proc are not read for every end
  Clock::time_point last_look_{};
  struct Held {
    EngineRequest request;
    std::optional<int32_t> grammar_start_after;  // a token; none: the whole output fits
    Clock::time_point arrival;
  };
  std::unordered_map<uint64_t, Held> held_;  // until their grammars are there
  GrammarLoader grammars_;
};

// A coordinator that is gone is the step loop's to notice.
std::unique_ptr<HealthPulse> StartPulse(const EngineChannelOptions& options,
                                        EngineStream& channel) {
  if (options.board == nullptr) return nullptr;
  const auto send = [&channel](const LivenessJudge::Stall& stall) {
    internal::EngineEvent event;
    event.mutable_pulse()->set_stalled_ms(stall.since.count());
    event.mutable_pulse()->set_reason(stall.reason);
    (void)channel.Send(event);
  };
  return std::make_unique<HealthPulse>(
      *options.board, HealthPulseOptions{.step_timeout = options.step_timeout, .on_beat = send});
}

internal::Register Registration(const EngineChannelOptions& options) {
  internal::Register registration;
  registration.set_numerics_id(options.numerics_id);
  registration.set_version(options.version);
  registration.set_num_ranks(options.num_ranks);
  registration.set_device(options.device);
  registration.set_isa(options.isa);
  registration.set_max_model_len(options.limits.max_model_len);
  registration.set_vocab_size(options.limits.vocab_size);
  registration.set_block_size(options.limits.block_size);
  registration.set_num_blocks(options.limits.num_blocks);
  registration.set_max_num_seqs(options.limits.max_num_seqs);
  registration.set_max_num_batched_tokens(options.limits.max_num_tokens);
  registration.set_dtype(options.dtype);
  registration.set_pid(getpid());
  registration.set_shares_places(options.policy == SchedulingPolicy::kFcfs);
  return registration;
}

}  // namespace

Status ServeEngine(const EngineChannelOptions& options, Engine& engine,
                   const std::atomic<bool>& stop_requested) {
  DialOptions dial{.socket_path = options.socket.string()};
  dial.while_waiting = [&engine, &stop_requested, last = Clock::time_point{}]() mutable {
    if (stop_requested) return CancelledError("stopped before a coordinator was there");
    if (Clock::now() - last < kIdlePulse) return OkStatus();
    last = Clock::now();
    return engine.Heartbeat();
  };
  StatusOr<std::unique_ptr<EngineStream>> stream = EngineStream::Dial(dial, Registration(options));
  if (!stream.ok()) {
    PHALANX_RETURN_IF_ERROR(engine.Shutdown());
    if (stop_requested) {
      spdlog::info("{}", stream.status().message());
      return OkStatus();
    }
    return stream.status();
  }
  spdlog::info("serving epoch {}", (*stream)->epoch());
  const std::unique_ptr<HealthPulse> pulse = StartPulse(options, **stream);
  ServiceLoop loop(options, engine, **stream, stop_requested);
  const Status status = loop.Run();
  if (loop.engine_failed()) return status;
  const Status shutdown = engine.Shutdown();
  return status.ok() ? shutdown : status;
}

}  // namespace phalanx
