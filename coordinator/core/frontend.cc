#include "coordinator/core/frontend.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <random>
#include <utility>

#include "coordinator/core/printable.h"
#include "coordinator/core/prompt.h"

namespace phalanx {
namespace {

std::string_view ReasonName(const Stream::Summary& summary) {
  if (!summary.status.ok()) return Name(summary.status.code());
  switch (summary.finish_reason) {
    case v1::FINISH_REASON_STOP:
      return "stop";
    case v1::FINISH_REASON_LENGTH:
      return "length";
    default:
      return "cancelled";
  }
}

void LogOutcome(const Stream& stream) {
  const Stream::Summary summary = stream.summary();
  spdlog::info(
      "request id={} choices={} prompt_tokens={} cached_tokens={} completion_tokens={} "
      "queue_ms={:.1f} prefill_ms={:.1f} decode_ms={:.1f} total_ms={:.1f} outcome={}",
      stream.id(), stream.num_choices(), stream.num_prompt_tokens(), summary.cached_tokens,
      summary.num_completion_tokens, summary.timings.queue_ms(), summary.timings.prefill_ms(),
      summary.timings.decode_ms(),
      std::chrono::duration<double, std::milli>(Clock::now() - stream.start()).count(),
      ReasonName(summary));
}

std::string DrawIdPrefix() {
  std::random_device device;
  return fmt::format("req-{:08x}", device());
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

Frontend::Frontend(const ServedModel& model, FrontendOptions options)
    : model_(model),
      options_(std::move(options)),
      id_prefix_(DrawIdPrefix()),
      epoch_(FirstEpoch()),
      last_completion_(Clock::now()),
      monitor_([this] { Monitor(); }) {}

Frontend::~Frontend() {
  {
    std::lock_guard lock(mu_);
    stopping_ = true;
  }
  changed_.notify_all();
  monitor_.join();
}

// ---------------------------------------------------------------------------------- clients

StatusOr<std::shared_ptr<Stream>> Frontend::Generate(const v1::GenerateRequest& request,
                                                     Caller caller) {
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  PHALANX_RETURN_IF_ERROR(CheckLabels(request.request_id(), request.cache_salt()));
  PHALANX_ASSIGN_OR_RETURN(
      RequestParams params,
      ResolveSampling(request.sampling(), model_, options_.limits, DefaultMaxTokens::kSixteen));
  PHALANX_RETURN_IF_ERROR(CheckAdmission(params.num_choices, caller.deadline));
  PHALANX_ASSIGN_OR_RETURN(Prompt prompt, BuildPrompt(request, model_, options_.limits));
  return Admit(
      std::move(params), std::move(prompt),
      NewInit(request.request_id(), request.priority(), request.cache_salt(), std::move(caller)));
}

StatusOr<std::shared_ptr<Stream>> Frontend::Chat(const v1::ChatRequest& request, Caller caller) {
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  PHALANX_RETURN_IF_ERROR(CheckLabels(request.request_id(), request.cache_salt()));
  PHALANX_ASSIGN_OR_RETURN(RequestParams params,
                           ResolveSampling(request.sampling(), model_, options_.limits,
                                           DefaultMaxTokens::kRestOfContext));
  PHALANX_RETURN_IF_ERROR(CheckAdmission(params.num_choices, caller.deadline));
  PHALANX_ASSIGN_OR_RETURN(Prompt prompt, BuildPrompt(request, model_, options_.limits));
  return Admit(
      std::move(params), std::move(prompt),
      NewInit(request.request_id(), request.priority(), request.cache_salt(), std::move(caller)));
}

Status Frontend::CheckLabels(std::string_view label, std::string_view salt) const {
  const auto limit = static_cast<size_t>(options_.limits.max_label_bytes);
  for (const auto& [field, value] : {std::pair("request_id", label), {"cache_salt", salt}}) {
    if (value.size() > limit) {
      return InvalidField(field, fmt::format("{} bytes", value.size()),
                          fmt::format("at most {}", limit));
    }
  }
  return OkStatus();
}

StreamInit Frontend::NewInit(std::string label, int32_t priority, std::string salt,
                             Caller caller) const {
  StreamInit init;
  init.label = std::move(label);
  init.cache_salt = std::move(salt);
  init.priority = priority;
  init.delivery = caller.delivery;
  init.start = Clock::now();
  init.deadline = std::min(caller.deadline, init.start + options_.limits.max_request_time);
  init.sink = std::move(caller.sink);
  return init;
}

Status Frontend::CheckAdmission(int32_t num_choices, Clock::time_point deadline) const {
  std::lock_guard lock(mu_);
  return CheckAdmissionLocked(num_choices, deadline);
}

Status Frontend::CheckAdmissionLocked(int32_t num_choices, Clock::time_point deadline) const {
  if (draining_) return UnavailableError("the server is draining");
  if (session_ == nullptr) {
    if (state_ == ServingState::kLoading) {
      return UnavailableError("the model is loading: no worker group has registered yet");
    }
    return UnavailableError("worker group lost: {}", lost_reason_);
  }
  if (Clock::now() >= deadline) return DeadlineExceededError("the deadline passed on arrival");
  const size_t limit = static_cast<size_t>(options_.limits.max_running) +
                       static_cast<size_t>(options_.limits.max_waiting);
  if (requests_.size() + static_cast<size_t>(num_choices) > limit) {
    return ResourceExhaustedError(
        "the queue is full: {} sequences are running or waiting, allowed: at most {}",
        requests_.size(), limit);
  }
  return OkStatus();
}

int32_t Frontend::ContextLengthLocked() const {
  return session_ != nullptr ? session_->info().max_model_len() : model_.max_position_embeddings();
}

StatusOr<std::shared_ptr<Stream>> Frontend::Admit(RequestParams params, Prompt prompt,
                                                  StreamInit init) {
  {
    std::lock_guard lock(mu_);
    PHALANX_RETURN_IF_ERROR(
        FitToContext(static_cast<int32_t>(prompt.ids.size()), ContextLengthLocked(), &params));
    init.first_request = next_request_;
    next_request_ += static_cast<uint64_t>(params.num_choices);
  }
  init.id = fmt::format("{}-{}", id_prefix_, init.first_request);
  init.prompt = std::move(prompt);
  init.params = std::move(params);
  PHALANX_ASSIGN_OR_RETURN(std::shared_ptr<Stream> stream,
                           Stream::Create(std::move(init), model_.tokenizer()));
  std::vector<internal::Submit> submits;
  if (!stream->NeedsNoEngine()) {
    for (int32_t choice = 0; choice < stream->num_choices(); ++choice) {
      submits.push_back(stream->BuildSubmit(choice));
    }
  }
  // Under the lock, so that no Submit follows a Drain, and a group that is lost meanwhile fails the
  // stream.
  std::lock_guard lock(mu_);
  PHALANX_RETURN_IF_ERROR(CheckAdmissionLocked(stream->num_choices(), stream->deadline()));
  open_.emplace(stream.get(), stream);
  if (submits.empty()) stream->FinishWithoutEngine();
  if (requests_.empty()) last_progress_ = Clock::now();
  for (internal::Submit& submit : submits) {
    requests_.emplace(submit.request(), stream);
    session_->Submit(std::move(submit));
  }
  if (open_.size() == 1) changed_.notify_all();
  return stream;
}

void Frontend::Cancel(Stream& stream) {
  Fail(stream, Clock::now() >= stream.deadline()
                   ? DeadlineExceededError("the deadline passed")
                   : CancelledError("the client cancelled the request"));
}

void Frontend::Fail(Stream& stream, const Status& status) {
  Status final = status;
  if (status.code() == StatusCode::kInternal) final = status.WithContext(stream.id());
  if (!stream.Fail(std::move(final))) return;
  {
    std::lock_guard lock(mu_);
    for (int32_t choice = 0; choice < stream.num_choices(); ++choice) {
      const uint64_t request = stream.first_request() + static_cast<uint64_t>(choice);
      if (requests_.erase(request) > 0 && session_ != nullptr) session_->Cancel(request);
    }
  }
  stream.sink().OnReady();
}

void Frontend::Release(Stream& stream) {
  Cancel(stream);
  std::shared_ptr<Stream> keep;
  {
    std::lock_guard lock(mu_);
    const auto it = open_.find(&stream);
    if (it == open_.end()) return;
    keep = std::move(it->second);
    open_.erase(it);
    const Clock::time_point now = Clock::now();
    constexpr double kWeight = 0.1;
    completion_interval_s_ +=
        kWeight *
        (std::chrono::duration<double>(now - last_completion_).count() - completion_interval_s_);
    last_completion_ = now;
    if (open_.empty()) changed_.notify_all();
  }
  LogOutcome(*keep);
}

std::chrono::milliseconds Frontend::RetryDelay() const {
  std::lock_guard lock(mu_);
  constexpr double kMin = 0.1;
  constexpr double kMax = 60;
  const double seconds = std::clamp(completion_interval_s_, kMin, kMax);
  return std::chrono::milliseconds(static_cast<int64_t>(1e3 * seconds));
}

StatusOr<v1::TokenizeResponse> Frontend::Tokenize(const v1::TokenizeRequest& request) const {
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  if (request.has_chat()) PHALANX_RETURN_IF_ERROR(model_.CheckName(request.chat().model()));
  PHALANX_ASSIGN_OR_RETURN(const Prompt prompt, BuildPrompt(request, model_, options_.limits));
  v1::TokenizeResponse response;
  response.mutable_token_ids()->Add(prompt.ids.begin(), prompt.ids.end());
  for (const int32_t id : prompt.ids) {
    const std::string_view bytes = model_.tokenizer()->TokenBytes(id);
    response.add_tokens(bytes.data(), bytes.size());
  }
  std::lock_guard lock(mu_);
  response.set_max_model_len(ContextLengthLocked());
  return response;
}

StatusOr<v1::DetokenizeResponse> Frontend::Detokenize(const v1::DetokenizeRequest& request) const {
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  const Tokenizer* tokenizer = model_.tokenizer();
  if (tokenizer == nullptr) {
    return FailedPreconditionError("the served model has no tokenizer");
  }
  for (int i = 0; i < request.token_ids_size(); ++i) {
    if (!tokenizer->IsKnown(request.token_ids(i))) {
      return InvalidField("token_ids", fmt::format("{} at position {}", request.token_ids(i), i),
                          "ids that the tokenizer knows");
    }
  }
  const DecodeOptions options{.special_tokens = request.skip_special_tokens()
                                                    ? SpecialTokenText::kSkip
                                                    : SpecialTokenText::kKeep};
  PHALANX_ASSIGN_OR_RETURN(
      const std::string text,
      tokenizer->Decode({request.token_ids().data(), static_cast<size_t>(request.token_ids_size())},
                        options));
  v1::DetokenizeResponse response;
  response.set_text(text);
  return response;
}

StatusOr<v1::ModelInfo> Frontend::GetModelInfo(const v1::GetModelInfoRequest& request) const {
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  v1::ModelInfo info;
  info.set_id(model_.id());
  info.set_vocab_size(model_.vocab_size());
  info.set_architecture(model_.architecture());
  info.set_has_chat_template(model_.chat_template().name() != "none");
  info.mutable_eos_token_ids()->Add(model_.eos_token_ids().begin(), model_.eos_token_ids().end());
  std::lock_guard lock(mu_);
  info.set_max_model_len(ContextLengthLocked());
  info.set_dtype(session_ != nullptr ? session_->info().dtype() : model_.dtype());
  return info;
}

v1::ServerInfo Frontend::GetServerInfo() const {
  v1::ServerInfo info;
  info.set_version(PHALANX_VERSION);
  std::lock_guard lock(mu_);
  info.set_state(std::string(Name(state_)));
  info.set_num_running(stats_.num_running());
  info.set_num_waiting(stats_.num_waiting());
  info.set_num_free_blocks(stats_.num_free_blocks());
  info.set_num_preemptions(stats_.num_preemptions());
  info.set_prefix_cache_queries(stats_.prefix_cache_queries());
  info.set_prefix_cache_hits(stats_.prefix_cache_hits());
  if (session_ == nullptr) return info;
  const internal::Register& group = session_->info();
  info.set_epoch(static_cast<int64_t>(epoch_));
  info.set_numerics_id(group.numerics_id());
  info.set_num_ranks(group.num_ranks());
  info.set_device(group.device());
  info.set_isa(group.isa());
  info.set_block_size(group.block_size());
  info.set_num_blocks(group.num_blocks());
  info.set_max_num_seqs(group.max_num_seqs());
  info.set_max_num_batched_tokens(group.max_num_batched_tokens());
  return info;
}

ServingState Frontend::state() const {
  std::lock_guard lock(mu_);
  return state_;
}

void Frontend::SetStateLocked(ServingState state) {
  if (state == state_) return;
  state_ = state;
  spdlog::info("state={}", Name(state));
  options_.on_state(state);
}

// ---------------------------------------------------------------------------- engine channel

StatusOr<uint64_t> Frontend::Attach(std::shared_ptr<EngineSession> session) {
  const internal::Register& group = session->info();
  if (group.vocab_size() != model_.vocab_size()) {
    return FailedPreconditionError("register.vocab_size: is {}, allowed: the served model's {}",
                                   group.vocab_size(), model_.vocab_size());
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
  last_progress_ = Clock::now();
  SetStateLocked(ServingState::kReady);
  return epoch_;
}

void Frontend::OnStep(const EngineSession& session, const internal::StepOutput& step) {
  const Clock::time_point now = Clock::now();
  std::lock_guard step_lock(step_mu_);
  {
    std::lock_guard lock(mu_);
    if (session_.get() != &session || step.epoch() != epoch_) return;
    Progressed(now);
    for (const internal::RequestOutput& output : step.outputs()) {
      const auto it = requests_.find(output.request());
      if (it == requests_.end()) continue;
      const uint64_t choice = output.request() - it->second->first_request();
      targets_.push_back({it->second, static_cast<int32_t>(choice), &output});
      if (output.finish() != internal::ENGINE_FINISH_NONE) requests_.erase(it);
    }
  }
  for (const Target& target : targets_) {
    Stream& stream = *target.stream;
    const Stream::Accepted accepted = stream.Accept(target.choice, *target.output, now);
    if (!accepted.failure.ok()) {
      Fail(stream, accepted.failure);
      continue;
    }
    if (accepted.cancel) {
      std::lock_guard lock(mu_);
      if (requests_.erase(target.output->request()) > 0 && session_ != nullptr) {
        session_->Cancel(target.output->request());
      }
    }
    if (accepted.notify) stream.sink().OnReady();
    if (accepted.unread_bytes > static_cast<size_t>(options_.limits.max_stream_buffer_bytes)) {
      Fail(stream, CancelledError("the client reads too slowly: more than {} bytes wait for it",
                                  options_.limits.max_stream_buffer_bytes));
    }
  }
  targets_.clear();
}

void Frontend::OnStats(const EngineSession& session, const internal::EngineStats& stats) {
  std::lock_guard lock(mu_);
  if (session_.get() != &session) return;
  if (stats.last_step() != stats_.last_step()) Progressed(Clock::now());
  stats_ = stats;
}

void Frontend::Progressed(Clock::time_point now) {
  last_progress_ = now;
  if (state_ == ServingState::kUnavailable) SetStateLocked(ServingState::kReady);
}

void Frontend::Detach(const EngineSession& session, std::string_view reason) {
  std::shared_ptr<EngineSession> keep;
  std::vector<std::shared_ptr<Stream>> streams;
  {
    std::lock_guard lock(mu_);
    if (session_.get() != &session) return;
    keep = std::move(session_);
    session_ = nullptr;
    lost_reason_ = reason;
    requests_.clear();
    stats_.Clear();
    streams = OpenStreamsLocked();
    if (draining_) {
      spdlog::info("worker group left");
    } else {
      spdlog::error("worker group lost: {}", reason);
      SetStateLocked(ServingState::kUnavailable);
    }
    changed_.notify_all();
  }
  const Status status = UnavailableError("worker group lost: {}", reason);
  for (const std::shared_ptr<Stream>& stream : streams) Fail(*stream, status);
}

// -------------------------------------------------------------------------------- life cycle

void Frontend::StartDrain() {
  std::lock_guard lock(mu_);
  if (draining_) return;
  draining_ = true;
  SetStateLocked(ServingState::kDraining);
  if (session_ != nullptr) session_->Drain();
  changed_.notify_all();
}

bool Frontend::WaitForStreams(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mu_);
  return changed_.wait_for(lock, timeout, [this] { return open_.empty(); });
}

bool Frontend::WaitForDetach(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mu_);
  return changed_.wait_for(lock, timeout, [this] { return session_ == nullptr; });
}

std::vector<std::shared_ptr<Stream>> Frontend::OpenStreams() const {
  std::lock_guard lock(mu_);
  return OpenStreamsLocked();
}

std::vector<std::shared_ptr<Stream>> Frontend::OpenStreamsLocked() const {
  std::vector<std::shared_ptr<Stream>> streams;
  for (const auto& [key, stream] : open_) streams.push_back(stream);
  return streams;
}

void Frontend::FailAll(const Status& status) {
  for (const std::shared_ptr<Stream>& stream : OpenStreams()) Fail(*stream, status);
}

void Frontend::Monitor() {
  constexpr std::chrono::milliseconds kPeriod(100);
  std::unique_lock lock(mu_);
  while (!stopping_) {
    changed_.wait(lock, [this] { return stopping_ || !open_.empty(); });
    lock.unlock();
    const Clock::time_point now = Clock::now();
    CheckStreams(now);
    CheckProgress(now);
    lock.lock();
    changed_.wait_for(lock, kPeriod, [this] { return stopping_; });
  }
}

void Frontend::CheckStreams(Clock::time_point now) {
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

void Frontend::CheckProgress(Clock::time_point now) {
  std::lock_guard lock(mu_);
  if (draining_ || session_ == nullptr) return;
  if (!requests_.empty() && now - last_progress_ > options_.limits.max_engine_stall) {
    SetStateLocked(ServingState::kUnavailable);
  }
}

}  // namespace phalanx
