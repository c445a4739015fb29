// What the worker group says: it attaches, sends steps and signs of life, and is lost.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "coordinator/core/dispatcher.h"
#include "coordinator/core/printable.h"

namespace phalanx {

StatusOr<uint64_t> Dispatcher::Attach(std::shared_ptr<EngineSession> session) {
  const internal::Register& group = session->info();
  if (group.vocab_size() != options_.vocab_size) {
    return FailedPreconditionError("register.vocab_size: is {}, allowed: the served model's {}",
                                   group.vocab_size(), options_.vocab_size);
  }
  if (group.max_model_len() < 1) {
    return FailedPreconditionError("register.max_model_len: is {}, allowed: at least 1",
                                   group.max_model_len());
  }
  std::lock_guard lock(mu_);
  if (draining_) return UnavailableError("the server is draining");
  if (session_ != nullptr) {
    return Status(StatusCode::kAlreadyExists,
                  fmt::format("a worker group is attached already, epoch {}", epoch_));
  }
  spdlog::info(
      "worker group attached: ranks={} device={} isa={} dtype={} max_model_len={} blocks={} "
      "block_size={} max_num_seqs={} version={} pid={}",
      group.num_ranks(), Printable(group.device()), Printable(group.isa()),
      Printable(group.dtype()), group.max_model_len(), group.num_blocks(), group.block_size(),
      group.max_num_seqs(), Printable(group.version()), group.pid());
  session_ = std::move(session);
  stats_.Clear();
  ++epoch_;
  admission_.Reset(group.max_num_seqs(), group.max_num_batched_tokens());
  places_log_.Reset(group.max_num_seqs());
  health_.Start(session_->info());
  SetStateLocked(ServingState::kReady);
  changed_.notify_all();
  return epoch_;
}

// What the step has for whom, and what the group has ended.
void Dispatcher::TakeTargets(const internal::StepOutput& step, Clock::time_point now) {
  for (const internal::RequestOutput& output : step.outputs()) {
    const auto it = requests_.find(output.request());
    if (it == requests_.end()) continue;
    InFlight& request = it->second;
    const uint64_t choice = output.request() - request.stream->first_request();
    targets_.push_back({request.stream, static_cast<int32_t>(choice), &output});
    if (output.tokens_size() > 0) {
      if (!request.begun) {
        request.begun = now;
        admission_.Begin(now);
      }
      if (request.waiting_tokens > 0) {
        admission_.TakeUp(std::exchange(request.waiting_tokens, 0),
                          1e-9 * static_cast<double>(output.prefill_ns()), now);
      }
    }
    if (const ApiKeyPtr& key = request.stream->key(); key != nullptr) {
      fair_share_.Served(request.fair_start);
      const int64_t paid = std::min<int64_t>(request.output_paid, output.tokens_size());
      request.output_paid -= paid;
      request.num_output += output.tokens_size();
      fair_share_.Charge(key->id, output.tokens_size() - paid);
    }
    if (output.finish() != internal::ENGINE_FINISH_NONE) EraseLocked(it, now);
  }
}

void Dispatcher::OnStep(const EngineSession& session, const internal::StepOutput& step) {
  const Clock::time_point now = Clock::now();
  std::lock_guard step_lock(step_mu_);
  {
    std::lock_guard lock(mu_);
    if (session_.get() != &session || step.epoch() != epoch_) return;
    health_.OnStep();
    CheckHealthLocked();
    TakeTargets(step, now);
  }
  for (const Target& target : targets_) {
    Stream& stream = *target.stream;
    const Stream::Accepted accepted =
        stream.Accept(target.choice, *target.output, std::chrono::nanoseconds(step.time_ns()));
    if (!accepted.failure.ok()) {
      Fail(stream, accepted.failure);
      continue;
    }
    Observe(target, accepted, now);
    if (accepted.cancel) {
      std::lock_guard lock(mu_);
      CancelLocked(target.output->request(), now);
    }
    if (accepted.notify) stream.sink().OnReady();
    if (accepted.unread_bytes > static_cast<size_t>(options_.limits.max_stream_buffer_bytes)) {
      Fail(stream, CancelledError("the client reads too slowly: more than {} bytes wait for it",
                                  options_.limits.max_stream_buffer_bytes));
    }
  }
  targets_.clear();
}

void Dispatcher::Observe(const Target& target, const Stream::Accepted& accepted,
                         Clock::time_point now) const {
  const internal::RequestOutput& output = *target.output;
  if (accepted.first_output) {
    options_.observer->OnFirstToken({.since_arrival_s = Seconds(now - target.stream->start()),
                                     .queue_s = 1e-9 * static_cast<double>(output.queue_ns()),
                                     .prefill_s = 1e-9 * static_cast<double>(output.prefill_ns()),
                                     .num_prompt_tokens = target.stream->num_prompt_tokens()});
  }
  if (output.tokens_size() > 0) {
    options_.observer->OnTokens(output.tokens_size(), accepted.since_last_s);
  }
}

void Dispatcher::OnStats(const EngineSession& session, const internal::EngineStats& stats) {
  std::lock_guard lock(mu_);
  if (session_.get() != &session) return;
  health_.OnSign();
  CheckHealthLocked();
  stats_ = stats;
  const Clock::time_point now = Clock::now();
  admission_.OnPlaces(stats.num_places(), now);
  if (const auto before = places_log_.Update(stats.num_places(), now)) {
    spdlog::info("places={} before={} most={} running={} waiting={}", stats.num_places(), *before,
                 session.info().max_num_seqs(), stats.num_running(), stats.num_waiting());
  }
}

void Dispatcher::OnPulse(const EngineSession& session, const internal::Pulse& pulse) {
  std::lock_guard lock(mu_);
  if (session_.get() != &session) return;
  health_.OnPulse(pulse);
  CheckHealthLocked();
}

void Dispatcher::CheckHealthLocked() {
  if (draining_ || session_ == nullptr) return;
  const std::string trouble = health_.Trouble(options_.limits.max_engine_stall);
  SetStateLocked(trouble.empty() ? ServingState::kReady : ServingState::kUnavailable, trouble);
}

void Dispatcher::Detach(const EngineSession& session, std::string_view reason) {
  std::shared_ptr<EngineSession> keep;
  std::vector<std::shared_ptr<Stream>> streams;
  {
    std::lock_guard lock(mu_);
    if (session_.get() != &session) return;
    keep = std::move(session_);
    session_ = nullptr;
    for (const auto& [id, request] : requests_) {
      const ApiKeyPtr& key = request.stream->key();
      if (key != nullptr) fair_share_.Charge(key->id, -request.output_paid);
    }
    requests_.clear();
    choices_of_key_.clear();
    admission_.Reset(0, 0);
    stats_.Clear();
    streams = OpenStreamsLocked();
    if (draining_) {
      spdlog::info("worker group left");
    } else {
      spdlog::error("worker group lost: {}", reason);
      SetStateLocked(ServingState::kUnavailable, reason);
    }
    changed_.notify_all();
  }
  const Status status = UnavailableError("worker group lost: {}", reason);
  for (const std::shared_ptr<Stream>& stream : streams) Fail(*stream, status);
}

}  // namespace phalanx
