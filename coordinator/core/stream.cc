#include "coordinator/core/stream.h"

#include <algorithm>
#include <utility>

namespace phalanx {
namespace {

double Milliseconds(std::chrono::nanoseconds duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

}  // namespace

StatusOr<std::shared_ptr<Stream>> Stream::Create(StreamInit init, const Tokenizer* tokenizer) {
  std::shared_ptr<Stream> stream(new Stream(std::move(init)));
  stream->tokenizer_ = tokenizer;
  const RequestParams& params = stream->init_.params;
  const Prompt& prompt = stream->init_.prompt;
  std::string echo;
  if (params.echo == Echo::kYes) {
    echo = prompt.text;
    if (echo.empty() && tokenizer != nullptr) {
      std::vector<int32_t> known;
      std::copy_if(prompt.ids.begin(), prompt.ids.end(), std::back_inserter(known),
                   [&](int32_t id) { return tokenizer->IsKnown(id); });
      PHALANX_ASSIGN_OR_RETURN(echo,
                               tokenizer->Decode(known, {.special_tokens = params.special_tokens}));
    }
  }
  for (int32_t choice = 0; choice < params.num_choices; ++choice) {
    PHALANX_ASSIGN_OR_RETURN(ChoiceOutput output,
                             ChoiceOutput::Create(choice, stream->id(), tokenizer, params));
    output.Prepend(echo);
    stream->choices_.push_back(std::move(output));
  }
  stream->token_times_.resize(stream->choices_.size());
  stream->num_running_ = params.num_choices;
  return stream;
}

internal::Submit Stream::BuildSubmit(int32_t choice) const {
  std::lock_guard lock(mu_);
  internal::Submit submit;
  submit.set_request(init_.first_request + static_cast<uint64_t>(choice));
  submit.set_group(init_.first_request);
  submit.mutable_prompt_ids()->Add(init_.prompt.ids.begin(), init_.prompt.ids.end());
  const std::vector<int32_t>& emitted = choices_[static_cast<size_t>(choice)].emitted_ids();
  submit.mutable_emitted_ids()->Add(emitted.begin(), emitted.end());
  *submit.mutable_sampling() = init_.params.engine;
  submit.mutable_sampling()->set_choice(choice);
  // The prompt is the same for every choice; and a worker always makes a token.
  if (choice > 0) submit.mutable_sampling()->set_prompt_logprobs(-1);
  submit.mutable_sampling()->set_max_tokens(std::max(init_.params.engine.max_tokens(), 1));
  submit.set_priority(init_.priority);
  submit.set_cache_salt(init_.cache_salt);
  return submit;
}

bool Stream::NeedsNoEngine() const {
  return init_.params.engine.max_tokens() == 0 && init_.params.engine.prompt_logprobs() < 0;
}

void Stream::FinishWithoutEngine() {
  std::lock_guard lock(mu_);
  for (int32_t choice = 0; choice < num_choices(); ++choice) {
    choices_[static_cast<size_t>(choice)].Finish(v1::FINISH_REASON_LENGTH);
    MarkReadable(choice);
  }
  num_running_ = 0;
  has_first_output_ = true;
  ended_ = true;
}

void Stream::MarkReadable(int32_t choice) {
  if (std::find(readable_.begin(), readable_.end(), choice) == readable_.end()) {
    readable_.push_back(choice);
  }
}

void Stream::TakeFirstOutput(const internal::RequestOutput& output,
                             std::chrono::nanoseconds engine_time) {
  // A prompt of one token has nothing that a worker could tell.
  const bool lone_prompt =
      !has_first_output_ && num_prompt_tokens() == 1 && init_.params.engine.prompt_logprobs() >= 0;
  if (!has_first_output_) {
    has_first_output_ = true;
    cached_tokens_ = output.cached_tokens();
    queue_ns_ = output.queue_ns();
    prefill_ns_ = output.prefill_ns();
    first_token_ = engine_time;
  }
  if (output.prompt_size() == 0 && !lone_prompt) return;
  // The first token of a prompt has no probability: nothing comes before it.
  if (output.prompt_size() < num_prompt_tokens()) {
    internal::TokenInfo first;
    first.set_token_id(init_.prompt.ids.front());
    FillLogprob(first, tokenizer_, prompt_logprobs_.Add());
  }
  for (const internal::TokenInfo& token : output.prompt()) {
    FillLogprob(token, tokenizer_, prompt_logprobs_.Add());
  }
}

Stream::Accepted Stream::Accept(int32_t choice, const internal::RequestOutput& output,
                                std::chrono::nanoseconds engine_time) {
  std::lock_guard lock(mu_);
  Accepted accepted;
  ChoiceOutput& target = choices_[static_cast<size_t>(choice)];
  if (ended_ || target.ended()) {
    accepted.choice_done = true;
    return accepted;
  }
  accepted.first_output = !has_first_output_ && output.tokens_size() > 0;
  if (output.tokens_size() > 0 || output.prompt_size() > 0) TakeFirstOutput(output, engine_time);
  StatusOr<ChoiceOutput::Progress> progress = ChoiceOutput::Progress::kEnded;
  if (init_.params.engine.max_tokens() == 0 && output.finish() != internal::ENGINE_FINISH_ERROR) {
    target.Finish(v1::FINISH_REASON_LENGTH);  // only the prompt was asked for
  } else {
    progress = target.Accept(output);
  }
  if (!progress.ok()) {
    accepted.failure = std::move(progress).status();
    return accepted;
  }
  if (output.tokens_size() > 0) {
    last_token_ = engine_time;
    const auto before = std::exchange(token_times_[static_cast<size_t>(choice)], engine_time);
    if (before.count() > 0) {
      accepted.since_last_s = Seconds(engine_time - before);
    }
  }
  MarkReadable(choice);
  accepted.cancel = *progress == ChoiceOutput::Progress::kStoppedByText;
  accepted.choice_done = *progress != ChoiceOutput::Progress::kRunning;
  if (accepted.choice_done && --num_running_ == 0) ended_ = true;
  const bool incremental = init_.delivery == Delivery::kIncremental;
  accepted.notify = ended_ || incremental;
  if (!incremental) return accepted;
  accepted.unread_bytes = taken_bytes_;
  for (const ChoiceOutput& other : choices_) accepted.unread_bytes += other.pending_bytes();
  return accepted;
}

bool Stream::Fail(Status status) {
  std::lock_guard lock(mu_);
  if (ended_) return false;
  ended_ = true;
  const bool clients_doing =
      status.code() == StatusCode::kCancelled || init_.delivery == Delivery::kWhole;
  if (clients_doing) readable_.clear();
  status_ = std::move(status);
  return true;
}

void Stream::FillHeader(v1::StreamResponse* message) {
  header_sent_ = true;
  message->set_id(init_.id);
  message->set_request_id(init_.label);
  message->set_num_prompt_tokens(num_prompt_tokens());
  message->set_cached_tokens(cached_tokens_);
  message->mutable_prompt_logprobs()->Swap(&prompt_logprobs_);
}

Stream::NextResult Stream::Next(v1::StreamResponse* message, Status* status) {
  std::lock_guard lock(mu_);
  write_since_ = Clock::time_point::max();
  const bool waits_for_prompt = init_.params.engine.prompt_logprobs() >= 0 && !header_sent_ &&
                                prompt_logprobs_.empty() && !ended_ && num_prompt_tokens() > 1;
  const bool holds = init_.delivery == Delivery::kWhole && !ended_;
  if (!readable_.empty() && !waits_for_prompt && !holds) {
    const int32_t choice = readable_.front();
    readable_.erase(readable_.begin());
    ChoiceOutput& output = choices_[static_cast<size_t>(choice)];
    message->Clear();
    message->Swap(&output.pending());
    output.pending().set_index(choice);
    taken_bytes_ += output.pending_bytes();
    output.Sent();
    if (!header_sent_) FillHeader(message);
    if (ended_ && status_.ok() && readable_.empty()) {
      *message->mutable_usage() = UsageLocked();
      *message->mutable_timings() = TimingsLocked();
    }
    write_since_ = Clock::now();
    return NextResult::kMessage;
  }
  if (!ended_) return NextResult::kNothing;
  *status = status_;
  return NextResult::kEnd;
}

void Stream::BeginWrite() {
  std::lock_guard lock(mu_);
  write_since_ = Clock::now();
}

void Stream::Written() {
  std::lock_guard lock(mu_);
  taken_bytes_ = 0;
}

Clock::time_point Stream::write_pending_since() const {
  std::lock_guard lock(mu_);
  return write_since_;
}

v1::Timings Stream::TimingsLocked() const {
  v1::Timings timings;
  timings.set_queue_ms(Milliseconds(std::chrono::nanoseconds(queue_ns_)));
  timings.set_prefill_ms(Milliseconds(std::chrono::nanoseconds(prefill_ns_)));
  timings.set_decode_ms(Milliseconds(last_token_ - first_token_));
  return timings;
}

v1::Usage Stream::UsageLocked() const {
  v1::Usage usage;
  usage.set_prompt_tokens(num_prompt_tokens());
  size_t completion = 0;
  for (const ChoiceOutput& choice : choices_) completion += choice.emitted_ids().size();
  usage.set_completion_tokens(static_cast<int32_t>(completion));
  usage.set_cached_tokens(cached_tokens_);
  usage.set_seed(init_.params.engine.seed());
  return usage;
}

v1::Usage Stream::usage() const {
  std::lock_guard lock(mu_);
  return UsageLocked();
}

Stream::Summary Stream::summary() const {
  std::lock_guard lock(mu_);
  return {.status = status_,
          .num_completion_tokens = UsageLocked().completion_tokens(),
          .cached_tokens = cached_tokens_,
          .timings = TimingsLocked(),
          .finish_reason = choices_.front().finish_reason()};
}

}  // namespace phalanx
