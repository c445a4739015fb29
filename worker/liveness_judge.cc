#include "worker/liveness_judge.h"

#include <algorithm>
#include <utility>

namespace phalanx {
namespace {

// Beats come every 200 ms; a machine under load may delay them.
constexpr std::chrono::milliseconds kLateBeat{1500};

Activity ActivityOf(const LivenessRecord& record) {
  return static_cast<Activity>(record.activity.load(std::memory_order_relaxed));
}

// Less is no stall: idle ranks show progress once a second.
constexpr std::chrono::milliseconds kLeastStall{1500};

double Seconds(std::chrono::milliseconds time) { return static_cast<double>(time.count()) * 1e-3; }

}  // namespace

LivenessJudge::LivenessJudge(const LivenessBoard& board, LivenessJudgeOptions options)
    : board_(board), options_(std::move(options)), seen_(static_cast<size_t>(board.size())) {}

std::optional<Status> LivenessJudge::Look(Milliseconds elapsed, const std::vector<bool>& gone) {
  Observe(elapsed);
  std::optional<Fault> fault = FindFault(gone);
  if (!fault) {
    // Ranks count time each for itself: one may see a deadline pass that another sees kept.
    fault_.reset();
    return std::nullopt;
  }
  if (!fault_) {
    fault_ = std::move(fault);
    since_fault_ = Milliseconds(0);
  } else {
    since_fault_ += elapsed;
  }
  // The host of the group's rank 0 goes first: the coordinator is there.
  const bool is_first_host = board_.record(0).rank.load(std::memory_order_relaxed) == 0;
  const bool is_my_turn = is_first_host && Spokesman(fault_->culprit, gone) == board_.index();
  if (!is_my_turn && since_fault_ < options_.grace) return std::nullopt;
  return fault_->status;
}

void LivenessJudge::Observe(Milliseconds elapsed) {
  for (int i = 0; i < board_.size(); ++i) {
    const LivenessRecord& record = board_.record(i);
    Seen& seen = seen_[static_cast<size_t>(i)];
    const Pace pace = record.pace.load(std::memory_order_acquire);
    const uint64_t beats = record.beats.load(std::memory_order_relaxed);
    seen.without_progress =
        pace.progress == seen.pace.progress ? seen.without_progress + elapsed : Milliseconds(0);
    seen.without_beat = beats == seen.beats ? seen.without_beat + elapsed : Milliseconds(0);
    seen.pace = pace;
    seen.beats = beats;
  }
}

LivenessJudge::Stall LivenessJudge::FindStall() const {
  const std::vector<bool> gone(seen_.size());  // a dead rank is silent, too
  Milliseconds silent{0};
  Milliseconds late{0};
  int silent_index = -1;
  int late_index = -1;
  for (int i = 0; i < board_.size(); ++i) {
    if (!IsPresent(i, gone)) continue;
    const Seen& seen = seen_[static_cast<size_t>(i)];
    if (i != board_.index() && seen.without_beat > silent) {
      silent = seen.without_beat;
      silent_index = i;
    }
    const Milliseconds allowed(seen.pace.allowed_ms);
    if (allowed.count() == 0) continue;
    const Milliseconds beyond = seen.without_progress - (allowed - options_.silence);
    if (beyond > late) {
      late = beyond;
      late_index = i;
    }
  }
  const Milliseconds since = std::max(silent, late);
  if (since < kLeastStall) return {};
  const Fault fault =
      silent >= late
          ? Blame(silent_index, fmt::format("has been silent for {:.1f} s", Seconds(silent)))
          : BlameSilence(seen_[static_cast<size_t>(late_index)].without_progress, gone);
  return {.since = since, .reason = std::string(fault.status.message())};
}

bool LivenessJudge::IsPresent(int index, const std::vector<bool>& gone) const {
  return !gone[static_cast<size_t>(index)] && ActivityOf(board_.record(index)) != Activity::kLeft;
}

bool LivenessJudge::IsRunning(int index) const {
  return index == board_.index() || seen_[static_cast<size_t>(index)].without_beat < kLateBeat;
}

int LivenessJudge::Spokesman(int culprit, const std::vector<bool>& gone) const {
  for (int i = 0; i < board_.size(); ++i) {
    if (i != culprit && IsPresent(i, gone) && IsRunning(i)) return i;
  }
  return board_.index();
}

std::string LivenessJudge::Where(int index) const {
  const LivenessRecord& record = board_.record(index);
  return fmt::format("in step {} ({})", record.step.load(std::memory_order_relaxed),
                     Name(ActivityOf(record)));
}

LivenessJudge::Fault LivenessJudge::Blame(int index, const std::string& what) const {
  const LivenessRecord& record = board_.record(index);
  const int pid = record.pid.load(std::memory_order_relaxed);
  const std::string known = options_.describe(index);
  return {index, UnavailableError("rank {} (host {}, pid {}) {} {}{}{}",
                                  record.rank.load(std::memory_order_relaxed), options_.host, pid,
                                  what, Where(index), known.empty() ? "" : ": ", known)};
}

std::optional<LivenessJudge::Fault> LivenessJudge::FindFault(const std::vector<bool>& gone) const {
  for (int i = 0; i < board_.size(); ++i) {
    const Activity activity = ActivityOf(board_.record(i));
    if (!gone[static_cast<size_t>(i)] || activity == Activity::kLeft) continue;
    return Blame(i, activity == Activity::kFailed ? "ended after an error" : "died");
  }
  if (options_.silence.count() == 0) return std::nullopt;
  for (int i = 0; i < board_.size(); ++i) {
    if (!IsPresent(i, gone)) continue;
    const Seen& seen = seen_[static_cast<size_t>(i)];
    if (i != board_.index() && seen.without_beat >= options_.silence) {
      return Blame(i, fmt::format("has been silent for {:.1f} s", Seconds(seen.without_beat)));
    }
    const Milliseconds allowed(seen.pace.allowed_ms);
    if (allowed.count() != 0 && seen.without_progress >= allowed) {
      return BlameSilence(seen.without_progress, gone);
    }
  }
  return std::nullopt;
}

LivenessJudge::Fault LivenessJudge::BlameSilence(Milliseconds silent,
                                                 const std::vector<bool>& gone) const {
  std::vector<int> present;
  for (int i = 0; i < board_.size(); ++i) {
    if (IsPresent(i, gone)) present.push_back(i);
  }
  for (const int i : present) {
    if (IsRunning(i)) continue;
    const Milliseconds since = seen_[static_cast<size_t>(i)].without_beat;
    return Blame(i, fmt::format("has been silent for {:.1f} s", Seconds(since)));
  }
  const std::string stuck = fmt::format("has made no progress for {:.1f} s", Seconds(silent));
  for (const int i : present) {
    if (board_.record(i).is_waiting.load(std::memory_order_relaxed) == 0) return Blame(i, stuck);
  }
  const auto entered = [this](int i) {
    return board_.record(i).collectives.load(std::memory_order_relaxed);
  };
  const auto [least, most] = std::minmax_element(
      present.begin(), present.end(), [&](int a, int b) { return entered(a) < entered(b); });
  if (entered(*least) != entered(*most)) return Blame(*least, stuck);
  return {-1, UnavailableError("no rank of host {} has made progress for {:.1f} s {}: {}",
                               options_.host, Seconds(silent), Where(present.front()),
                               board_.size() < board_.group_size()
                                   ? "all wait for ranks of other hosts"
                                   : "all wait in the same collective")};
}

}  // namespace phalanx
