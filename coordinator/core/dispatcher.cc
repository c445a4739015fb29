#include "coordinator/core/dispatcher.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "coordinator/core/retry.h"

namespace phalanx {
namespace {

std::string_view ReasonName(const Stream::Summary& summary) {
  if (!summary.status.ok()) return Name(summary.status.code());
  switch (summary.finish_reason) {
    case v1::FINISH_REASON_STOP:
      return "stop";
    case v1::FINISH_REASON_LENGTH:
      return "length";
    case v1::FINISH_REASON_TOOL_CALLS:
      return "tool_calls";
    default:
      return "cancelled";
  }
}

EndFacts FactsOf(const Stream& stream, const Stream::Summary& summary) {
  const bool began = summary.num_completion_tokens > 0;
  return {.outcome = ReasonName(summary),
          .since_arrival_s = Seconds(Clock::now() - stream.start()),
          .decode_s = 1e-3 * summary.timings.decode_ms(),
          .num_prompt_tokens = began ? stream.num_prompt_tokens() : 0,
          .num_completion_tokens = summary.num_completion_tokens};
}

void LogOutcome(const Stream& stream, const Stream::Summary& summary) {
  spdlog::info(
      "request id={} key={} choices={} prompt_tokens={} cached_tokens={} completion_tokens={} "
      "queue_ms={:.1f} prefill_ms={:.1f} decode_ms={:.1f} total_ms={:.1f} outcome={}",
      stream.id(), stream.key() == nullptr ? "-" : stream.key()->id, stream.num_choices(),
      stream.num_prompt_tokens(), summary.cached_tokens, summary.num_completion_tokens,
      summary.timings.queue_ms(), summary.timings.prefill_ms(), summary.timings.decode_ms(),
      std::chrono::duration<double, std::milli>(Clock::now() - stream.start()).count(),
      ReasonName(summary));
}

// Rises from one start of the process to the next, too.
uint64_t FirstEpoch() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

std::string_view Name(ServingState state) {
  switch (state) {
    case ServingState::kLoading:
      return "loading";
    case ServingState::kReady:
      return "ready";
    case ServingState::kDraining:
      return "draining";
    case ServingState::kUnavailable:
      return "unavailable";
  }
  return "?";
}

Dispatcher::Dispatcher(DispatcherOptions options)
    : options_(std::move(options)),
      epoch_(FirstEpoch()),
      admission_(options_.limits),
      monitor_([this] { Monitor(); }) {}

Dispatcher::~Dispatcher() {
  {
    std::lock_guard lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  monitor_.join();
}

// ------------------------------------------------------------------------------- client half

Status Dispatcher::CheckAdmission(const ApiKeyPtr& key, int32_t num_choices,
                                  int64_t most_prompt_tokens, Clock::time_point deadline) {
  std::lock_guard lock(mu_);
  Newcomer newcomer = {.load = {num_choices, 0}};
  newcomer.most_prompt_tokens = most_prompt_tokens;
  newcomer.deadline = deadline;
  return CheckAdmissionLocked(key, newcomer);
}

Status Dispatcher::CheckKeyLocked(const ApiKeyPtr& key, int32_t num_choices,
                                  Clock::time_point now) {
  if (key == nullptr) return OkStatus();
  const int32_t limit = StreamLimit(*key, options_.limits.max_key_streams);
  if (num_choices > limit) {
    return InvalidField("sampling.n", num_choices,
                        fmt::format("at most {}, which this key may have at once", limit));
  }
  const auto found = choices_of_key_.find(key->id);
  const int32_t has = found == choices_of_key_.end() ? 0 : found->second;
  if (num_choices <= limit - has) return OkStatus();
  options_.observer->OnKeyLimit();
  return ResourceExhaustedError(
             "this key has {} sequences under way and asks for {} more, allowed: {} at once", has,
             num_choices, limit)
      .WithRetryAfter(admission_.ShareDelay(num_choices - (limit - has), has, now));
}

Status Dispatcher::CheckAdmissionLocked(const ApiKeyPtr& key, Newcomer newcomer) {
  if (draining_) return UnavailableError("the server is draining").WithRetryAfter(kNeverHere);
  if (session_ == nullptr) {
    if (state_ == ServingState::kLoading) {
      return UnavailableError("the model is loading: no worker group has registered yet");
    }
    return UnavailableError("worker group lost: {}", state_reason_);
  }
  const Clock::time_point now = Clock::now();
  if (now >= newcomer.deadline) return DeadlineExceededError("the deadline passed on arrival");
  PHALANX_RETURN_IF_ERROR(CheckKeyLocked(key, newcomer.load.num_sequences, now));
  const bool may_see_load = key == nullptr || key->may_read_metrics;
  newcomer.behind = WaitingBehindLocked(key);
  newcomer.share = ShareLocked(key);
  newcomer.load_words = may_see_load ? LoadWords::kCounts : LoadWords::kNone;
  return admission_.Check(newcomer, now);
}

// What waits and will be served after the key's next request.
Load Dispatcher::WaitingBehindLocked(const ApiKeyPtr& key) const {
  Load behind;
  if (key == nullptr) return behind;
  const int64_t start = fair_share_.NextStart(key->id);
  for (const auto& [id, request] : requests_) {
    if (request.begun || request.fair_start <= start) continue;
    ++behind.num_sequences;
    behind.prompt_tokens += request.waiting_tokens;
  }
  return behind;
}

KeyShare Dispatcher::ShareLocked(const ApiKeyPtr& key) const {
  if (key == nullptr || !session_->info().shares_places()) return {};
  const auto own = choices_of_key_.find(key->id);
  const bool is_new = own == choices_of_key_.end();
  return {.num_keys = static_cast<int32_t>(choices_of_key_.size()) + (is_new ? 1 : 0),
          .num_held = is_new ? 0 : own->second};
}

uint64_t Dispatcher::NewRequests(int32_t num_choices) {
  std::lock_guard lock(mu_);
  return std::exchange(next_request_, next_request_ + static_cast<uint64_t>(num_choices));
}

Status Dispatcher::Submit(const std::shared_ptr<Stream>& stream) {
  std::vector<internal::Submit> submits;
  if (!stream->NeedsNoEngine()) {
    for (int32_t choice = 0; choice < stream->num_choices(); ++choice) {
      submits.push_back(stream->BuildSubmit(choice));
    }
  }
  // Under the lock, so that no Submit follows a Drain, and a group that is lost meanwhile fails the
  // stream.
  std::lock_guard lock(mu_);
  const int64_t prompt_tokens = submits.empty() ? 0 : stream->num_prompt_tokens();
  PHALANX_RETURN_IF_ERROR(CheckAdmissionLocked(
      stream->key(),
      {.load = {stream->num_choices(), prompt_tokens}, .deadline = stream->deadline()}));
  open_.emplace(stream.get(), stream);
  if (submits.empty()) stream->FinishWithoutEngine();
  const Clock::time_point now = Clock::now();
  if (!submits.empty()) admission_.Enter({stream->num_choices(), prompt_tokens}, now);
  int64_t fair_start = 0;
  int64_t expected = 0;  // tokens of one choice
  uint64_t share = 0;
  if (stream->key() != nullptr && !submits.empty()) {
    const std::string& key = stream->key()->id;
    expected = fair_share_.ExpectedOutput(key, submits.front().sampling().max_tokens());
    fair_start = fair_share_.Enter(key, prompt_tokens + stream->num_choices() * expected);
    share = fair_share_.Number(key);
    choices_of_key_[key] += stream->num_choices();
  }
  for (internal::Submit& submit : submits) {
    const bool is_first = submit.request() == stream->first_request();
    requests_.emplace(submit.request(), InFlight{.stream = stream,
                                                 .waiting_tokens = is_first ? prompt_tokens : 0,
                                                 .fair_start = fair_start,
                                                 .output_paid = expected,
                                                 .begun = {}});
    submit.set_fair_start(fair_start);
    submit.set_share(share);
    session_->Submit(std::move(submit));
  }
  if (open_.size() == 1) changed_.notify_all();
  return OkStatus();
}

void Dispatcher::Cancel(Stream& stream) {
  Fail(stream, Clock::now() >= stream.deadline()
                   ? DeadlineExceededError("the deadline passed")
                   : CancelledError("the client cancelled the request"));
}

void Dispatcher::Fail(Stream& stream, const Status& status) {
  Status final = status;
  if (status.code() == StatusCode::kInternal) final = status.WithContext(stream.id());
  if (!stream.Fail(std::move(final))) return;
  {
    std::lock_guard lock(mu_);
    const Clock::time_point now = Clock::now();
    for (int32_t choice = 0; choice < stream.num_choices(); ++choice) {
      CancelLocked(stream.first_request() + static_cast<uint64_t>(choice), now);
    }
  }
  stream.sink().OnReady();
}

// The group ended it, or is to forget it.
void Dispatcher::EraseLocked(Requests::iterator request, Clock::time_point now) {
  admission_.GiveUp(request->second.waiting_tokens);
  if (const auto& begun = request->second.begun) {
    admission_.LeaveServed(*begun, now);
  } else {
    admission_.LeaveUnserved();
  }
  if (const ApiKeyPtr& key = request->second.stream->key(); key != nullptr) {
    fair_share_.Charge(key->id, -request->second.output_paid);
    if (request->second.begun) fair_share_.LearnOutput(key->id, request->second.num_output);
    const auto choices = choices_of_key_.find(key->id);
    if (--choices->second == 0) choices_of_key_.erase(choices);
  }
  requests_.erase(request);
}

void Dispatcher::CancelLocked(uint64_t request, Clock::time_point now) {
  const auto it = requests_.find(request);
  if (it == requests_.end()) return;
  EraseLocked(it, now);
  if (session_ != nullptr) session_->Cancel(request);
}

void Dispatcher::Release(Stream& stream) {
  Cancel(stream);
  std::shared_ptr<Stream> keep;
  {
    std::lock_guard lock(mu_);
    const auto it = open_.find(&stream);
    if (it == open_.end()) return;
    keep = std::move(it->second);
    open_.erase(it);
    if (open_.empty()) changed_.notify_all();
  }
  const Stream::Summary summary = keep->summary();
  options_.observer->OnEnd(FactsOf(*keep, summary));
  LogOutcome(*keep, summary);
}

Dispatcher::Snapshot Dispatcher::snapshot() const {
  std::lock_guard lock(mu_);
  return {.state = state_,
          .state_reason = state_reason_,
          .epoch = epoch_,
          .session = session_,
          .stats = stats_,
          .num_open = static_cast<int64_t>(open_.size()),
          .waiting_tokens = admission_.waiting_tokens()};
}

ServingState Dispatcher::state() const {
  std::lock_guard lock(mu_);
  return state_;
}

void Dispatcher::SetStateLocked(ServingState state, std::string_view reason) {
  state_reason_ = reason;
  if (state == state_) return;
  state_ = state;
  if (state == ServingState::kUnavailable) {
    spdlog::warn("state={}: {}", Name(state), reason);
  } else {
    spdlog::info("state={}", Name(state));
  }
  options_.on_state(state);
}

// -------------------------------------------------------------------------------- life cycle

void Dispatcher::StartDrain() {
  std::lock_guard lock(mu_);
  if (draining_) return;
  draining_ = true;
  SetStateLocked(ServingState::kDraining);
  if (session_ != nullptr) session_->Drain();
  changed_.notify_all();
}

bool Dispatcher::WaitForStreams(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mu_);
  return changed_.wait_for(lock, timeout, [this] { return open_.empty(); });
}

bool Dispatcher::WaitForDetach(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mu_);
  return changed_.wait_for(lock, timeout, [this] { return session_ == nullptr; });
}

std::vector<std::shared_ptr<Stream>> Dispatcher::OpenStreams() const {
  std::lock_guard lock(mu_);
  return OpenStreamsLocked();
}

std::vector<std::shared_ptr<Stream>> Dispatcher::OpenStreamsLocked() const {
  std::vector<std::shared_ptr<Stream>> streams;
  for (const auto& [key, stream] : open_) streams.push_back(stream);
  return streams;
}

void Dispatcher::FailAll(const Status& status) {
  for (const std::shared_ptr<Stream>& stream : OpenStreams()) Fail(*stream, status);
}

void Dispatcher::Monitor() {
  constexpr std::chrono::milliseconds kPeriod(100);
  // A longer gap means that this process did not run either.
  constexpr std::chrono::milliseconds kLongestPeriod(500);
  std::unique_lock lock(mu_);
  Clock::time_point last = Clock::now();
  while (!stopping_) {
    changed_.wait(lock, [this] { return stopping_ || session_ != nullptr || !open_.empty(); });
    lock.unlock();
    const Clock::time_point now = Clock::now();
    CheckStreams(now);
    lock.lock();
    health_.Pass(std::min(kLongestPeriod,
                          std::chrono::duration_cast<std::chrono::milliseconds>(now - last)));
    last = now;
    CheckHealthLocked();
    changed_.wait_for(lock, kPeriod, [this] { return stopping_; });
  }
}

void Dispatcher::CheckStreams(Clock::time_point now) {
  for (const std::shared_ptr<Stream>& stream : OpenStreams()) {
    if (now >= stream->deadline()) Cancel(*stream);
    const Clock::time_point since = stream->write_pending_since();
    if (since < now && now - since > options_.limits.max_stalled_write) {
      Fail(*stream, CancelledError("the client has read nothing for {} ms",
                                   options_.limits.max_stalled_write.count()));
      stream->sink().Abort();
    }
  }
}

}  // namespace phalanx
