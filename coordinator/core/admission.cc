#include "coordinator/core/admission.h"

#include <algorithm>
#include <cmath>

namespace phalanx {
void Admission::Reset(int32_t max_num_seqs, int32_t max_num_batched_tokens) {
  max_num_seqs_ = max_num_seqs;
  step_tokens_ = max_num_batched_tokens;
  num_sequences_ = 0;
  waiting_tokens_ = 0;
  taken_tokens_ = 0;
  taken_s_ = 0;
}

std::optional<double> Admission::rate() const {
  constexpr double kLeast = 1e-9;
  if (taken_s_ < kLeast || taken_tokens_ < 1) return std::nullopt;
  return taken_tokens_ / taken_s_;
}

std::chrono::milliseconds Admission::retry_delay() const {
  constexpr double kMin = 0.1;
  constexpr double kMax = 600;
  return std::chrono::milliseconds(std::llround(1e3 * std::clamp(retry_s_, kMin, kMax)));
}

Status Admission::Check(int32_t num_sequences, int64_t prompt_tokens, Clock::time_point deadline,
                        Clock::time_point now) {
  const int64_t limit = int64_t{max_num_seqs_} + max_waiting_;
  if (num_sequences > limit) {
    return InvalidField(
        "sampling.n", num_sequences,
        fmt::format("at most {}: {} sequences that the workers run and {} that wait", limit,
                    max_num_seqs_, max_waiting_));
  }
  const int64_t excess = int64_t{num_sequences_} + num_sequences - limit;
  if (excess > 0) {
    // Long answers end seldom: the interval that is still open counts as well.
    const double interval_s = std::max(end_interval_s_, Seconds(now - end_mark_));
    retry_s_ = static_cast<double>(excess) * interval_s;
    return ResourceExhaustedError(
        "the queue is full: {} sequences are running or waiting and {} more were asked for, "
        "allowed: {} that the workers run and {} that wait",
        num_sequences_, num_sequences, max_num_seqs_, max_waiting_);
  }
  return CheckWait(prompt_tokens, deadline, now);
}

Status Admission::CheckWait(int64_t prompt_tokens, Clock::time_point deadline,
                            Clock::time_point now) {
  const std::optional<double> rate = this->rate();
  if (waiting_tokens_ <= step_tokens_ || !rate) return OkStatus();
  const double wait_s = static_cast<double>(waiting_tokens_ + prompt_tokens) / *rate;
  if (wait_s > max_wait_.count()) {
    retry_s_ = wait_s - max_wait_.count();
    return ResourceExhaustedError(
        "the queue is full: {} prompt tokens wait, so the first token would take about {:.0f} s, "
        "allowed: at most {:g} s",
        waiting_tokens_, wait_s, max_wait_.count());
  }
  if (deadline != Clock::time_point::max() && wait_s > Seconds(deadline - now)) {
    retry_s_ = wait_s - std::max(Seconds(deadline - now), 0.0);
    return ResourceExhaustedError(
        "the queue is too long for the deadline: {} prompt tokens wait, so the first token would "
        "take about {:.1f} s, and the deadline is in {:.1f} s",
        waiting_tokens_, wait_s, Seconds(deadline - now));
  }
  return OkStatus();
}

void Admission::Enter(int32_t num_sequences, int64_t prompt_tokens, Clock::time_point now) {
  if (waiting_tokens_ == 0) taken_mark_ = now;
  if (num_sequences_ == 0) end_mark_ = now;
  num_sequences_ += num_sequences;
  waiting_tokens_ += prompt_tokens;
}

void Admission::TakeUp(int64_t prompt_tokens, Clock::time_point now) {
  if (waiting_tokens_ > step_tokens_) {
    constexpr double kMemory_s = 30;
    const double elapsed = Seconds(now - taken_mark_);
    const double weight = std::exp(-elapsed / kMemory_s);
    taken_tokens_ = weight * taken_tokens_ + static_cast<double>(prompt_tokens);
    taken_s_ = weight * taken_s_ + elapsed;
  }
  taken_mark_ = now;
  waiting_tokens_ -= prompt_tokens;
}

void Admission::Leave(Clock::time_point now) {
  constexpr double kWeight = 0.1;
  end_interval_s_ += kWeight * (Seconds(now - end_mark_) - end_interval_s_);
  end_mark_ = now;
  --num_sequences_;
}

}  // namespace phalanx
