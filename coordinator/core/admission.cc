#include "coordinator/core/admission.h"

#include <algorithm>
#include <cmath>
#include <iterator>

namespace phalanx {

void Admission::Pace::Add(double events, double elapsed_s) {
  constexpr double kMemory_s = 30;
  const double weight = std::exp(-elapsed_s / kMemory_s);
  count = weight * count + events;
  seconds = weight * seconds + elapsed_s;
}

void Admission::Mean::Add(double sample) {
  constexpr int32_t kMemory = 10;
  count = std::min(count + 1, kMemory);
  value += (sample - value) / count;
}

namespace {

std::chrono::milliseconds RetryDelay(double seconds) {
  constexpr double kMin = 0.1;
  constexpr double kMax = 600;
  return std::chrono::milliseconds(std::llround(1e3 * std::clamp(seconds, kMin, kMax)));
}

}  // namespace

void Admission::Reset(int32_t max_num_seqs, int32_t max_num_batched_tokens) {
  max_num_seqs_ = max_num_seqs;
  num_places_ = max_num_seqs;
  step_tokens_ = max_num_batched_tokens;
  num_sequences_ = 0;
  waiting_tokens_ = 0;
  taken_ = {};
  begun_.clear();
  run_s_ = {};
  prefill_s_ = {};
  ended_ = {};
}

std::optional<double> Admission::rate() const {
  constexpr double kLeast = 1e-9;
  if (taken_.seconds < kLeast || taken_.count < 1) return std::nullopt;
  return taken_.count / taken_.seconds;
}

std::optional<double> Admission::end_interval_s(Clock::time_point now) const {
  if (ended_.count <= 0) return std::nullopt;
  const auto interval_s = [](const Pace& pace) { return pace.seconds / pace.count; };
  if (!all_run_places_taken()) return interval_s(ended_);
  // Long answers end seldom: what has passed since the last end counts as well.
  Pace with_open = ended_;
  with_open.Add(1, Seconds(now - end_mark_));
  return std::max(interval_s(ended_), interval_s(with_open));
}

Status Admission::Check(const Newcomer& newcomer, Clock::time_point now) const {
  const int32_t num_sequences = newcomer.load.num_sequences;
  const int64_t limit = int64_t{max_num_seqs_} + max_waiting_;
  if (num_sequences > limit) {
    return InvalidField(
        "sampling.n", num_sequences,
        fmt::format("at most {}: {} sequences that the workers run and {} that wait", limit,
                    max_num_seqs_, max_waiting_));
  }
  const int64_t excess = int64_t{num_sequences_} + num_sequences - limit;
  if (excess > 0) {
    constexpr double kUnknown_s = 1;
    const double open_s = Seconds(now - end_mark_);
    const double end_s = end_interval_s(now).value_or(std::max(kUnknown_s, open_s));
    const std::string there =
        newcomer.load_words == LoadWords::kNone
            ? ""
            : fmt::format("{} sequences are running or waiting and ", num_sequences_);
    return ResourceExhaustedError(
               "the queue is full: {}{} more were asked for, allowed: {} that the workers run and "
               "{} that wait",
               there, num_sequences, max_num_seqs_, max_waiting_)
        .WithRetryAfter(RetryDelay(static_cast<double>(excess) * end_s));
  }
  return CheckWait(newcomer, now);
}

std::chrono::milliseconds Admission::ShareDelay(int32_t num_missing, int32_t num_held,
                                                Clock::time_point now) const {
  const double share = static_cast<double>(num_missing) / std::max(num_held, 1);
  const std::optional<double> interval_s = end_interval_s(now);
  // Of the ends to come these get as many as they have of what is there.
  if (all_run_places_taken() && interval_s) return RetryDelay(share * num_sequences_ * *interval_s);
  if (run_s_.count > 0) return RetryDelay(share * run_s_.value);
  constexpr double kUnknown_s = 1;
  const double oldest_s = begun_.empty() ? 0 : Seconds(now - *begun_.begin());
  return RetryDelay(std::max(kUnknown_s, oldest_s));
}

void Admission::OnPlaces(int32_t num_places, Clock::time_point now) {
  const bool were_taken = all_run_places_taken();
  num_places_ = std::clamp(num_places, 1, std::max(max_num_seqs_, 1));
  if (!were_taken && all_run_places_taken()) end_mark_ = now;
}

double Admission::PlaceWait(const Newcomer& newcomer, Clock::time_point now) const {
  const KeyShare& share = newcomer.share;
  const int32_t part = share.num_keys == 0 ? 0 : num_places_ / share.num_keys;
  if (share.num_held + newcomer.load.num_sequences <= part) return prefill_s_.value;
  const std::optional<double> interval_s = end_interval_s(now);
  if (!all_run_places_taken() || !interval_s) return 0;
  // Beyond its key's part nobody makes way, whoever is to be next.
  const int32_t ends =
      std::max(num_sequences_ - newcomer.behind.num_sequences + 1 - num_places_, 1);
  return std::max(ends * *interval_s, NextEnds(ends, now)) + prefill_s_.value;
}

// How long until so many of those that run have ended, if they take as long as others did.
double Admission::NextEnds(int32_t ends, Clock::time_point now) const {
  if (ends > num_places_) return 0;
  // What has a place and no token yet has all its time before it.
  if (static_cast<size_t>(ends) > begun_.size()) return run_s_.value;
  return run_s_.value - Seconds(now - *std::next(begun_.begin(), ends - 1));
}

double Admission::PrefillWait(const Newcomer& newcomer) const {
  const std::optional<double> rate = this->rate();
  const int64_t ahead = waiting_tokens_ - newcomer.behind.prompt_tokens;
  if (ahead <= step_tokens_ || !rate) return 0;
  return static_cast<double>(ahead + newcomer.load.prompt_tokens) / *rate;
}

double Admission::AllowedWait(const Newcomer& newcomer) const {
  const std::optional<double> rate = this->rate();
  if (!rate) return max_wait_.count();
  const int64_t own = std::max(newcomer.load.prompt_tokens, newcomer.most_prompt_tokens);
  return std::max(max_wait_.count(), 2 * static_cast<double>(own) / *rate);
}

Status Admission::CheckWait(const Newcomer& newcomer, Clock::time_point now) const {
  const double wait_s = std::max(PlaceWait(newcomer, now), PrefillWait(newcomer));
  if (wait_s <= 0) return OkStatus();
  const auto what_is_there = [&]() -> std::string {
    if (newcomer.load_words == LoadWords::kNone) return "";
    return fmt::format("{} sequences are running or waiting and {} prompt tokens wait, so ",
                       num_sequences_, waiting_tokens_);
  };
  const double allowed_s = AllowedWait(newcomer);
  if (wait_s > allowed_s) {
    return ResourceExhaustedError(
               "the queue is full: {}the first token would take about {:.1f} s, allowed: at most "
               "{:.3g} s",
               what_is_there(), wait_s, allowed_s)
        .WithRetryAfter(RetryDelay(wait_s - allowed_s));
  }
  if (newcomer.deadline == Clock::time_point::max()) return OkStatus();
  const double left_s = Seconds(newcomer.deadline - now);
  if (wait_s > left_s) {
    return ResourceExhaustedError(
               "the queue is too long for the deadline: {}the first token would take about {:.1f} "
               "s, and the deadline is in {:.1f} s",
               what_is_there(), wait_s, left_s)
        .WithRetryAfter(RetryDelay(wait_s - std::max(left_s, 0.0)));
  }
  return OkStatus();
}

void Admission::Enter(const Load& load, Clock::time_point now) {
  if (waiting_tokens_ == 0) taken_mark_ = now;
  if (!all_run_places_taken()) end_mark_ = now;
  num_sequences_ += load.num_sequences;
  waiting_tokens_ += load.prompt_tokens;
}

void Admission::TakeUp(int64_t prompt_tokens, double prefill_s, Clock::time_point now) {
  prefill_s_.Add(prefill_s);
  // Where prompts wait for places, how fast they are taken up says nothing of prefill.
  if (waiting_tokens_ > step_tokens_ && num_sequences_ <= num_places_) {
    taken_.Add(static_cast<double>(prompt_tokens), Seconds(now - taken_mark_));
  }
  taken_mark_ = now;
  waiting_tokens_ -= prompt_tokens;
}

void Admission::LeaveServed(Clock::time_point begun, Clock::time_point now) {
  run_s_.Add(Seconds(now - begun));
  begun_.erase(begun_.find(begun));
  if (all_run_places_taken()) ended_.Add(1, Seconds(now - end_mark_));
  end_mark_ = now;
  --num_sequences_;
}

}  // namespace phalanx
