// Decides from the liveness board whether the group is broken, and who is to blame.
//
// Three things end a group: a process that is gone, a process that does not run at all (stopped),
// and a rank that makes no progress within the time that it allowed itself. Ranks move in lockstep,
// so one that stands still makes all stand still; to blame is first who does not run, then who is
// not waiting in a collective, then who entered the fewest.
//
// Pure but for the board: time is what the caller says has passed, so a group that was stopped as a
// whole and goes on loses nothing.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "kernels/base/status.h"
#include "parallel/liveness.h"

namespace phalanx {

struct LivenessJudgeOptions {
  // A process that does not run for so long counts as lost; 0: no limit, for progress neither.
  std::chrono::milliseconds silence{60'000};
  // How long the others leave it to the lowest rank that can speak for the group.
  std::chrono::milliseconds grace{2'000};
  std::string host;
  // What is known of the process of a record that ended or does not run, e.g. "signal 9 (Killed)";
  // may be empty.
  std::function<std::string(int index)> describe = [](int) { return std::string(); };
};

class LivenessJudge {
 public:
  // `board` must outlive it.
  LivenessJudge(const LivenessBoard& board, LivenessJudgeOptions options);

  // Once it is this rank's turn to end the group: why, UNAVAILABLE naming rank, host, pid, step and
  // activity. A rank that goes on before anybody's turn came is forgiven. `elapsed` has passed
  // since the last call; `gone[i]` says that the process of record i has ended.
  std::optional<Status> Look(std::chrono::milliseconds elapsed, const std::vector<bool>& gone);

  struct Stall {
    std::chrono::milliseconds since{0};  // 0: all is well
    std::string reason;                  // names rank, host, pid, step and activity
  };
  // As of the last look: for how long a rank has been silent, or has made no progress beyond the
  // time that its work should take. Much sooner than it counts as a fault, and ends nothing.
  Stall FindStall() const;
  // Look() without a verdict.
  void Observe(std::chrono::milliseconds elapsed);

 private:
  using Milliseconds = std::chrono::milliseconds;
  struct Seen {
    Pace pace{};
    uint64_t beats = 0;
    Milliseconds without_progress{0};
    Milliseconds without_beat{0};
  };
  struct Fault {
    int culprit = -1;  // index; -1: nobody in particular
    Status status;
  };

  std::optional<Fault> FindFault(const std::vector<bool>& gone) const;
  Fault BlameSilence(Milliseconds silent, const std::vector<bool>& gone) const;
  bool IsPresent(int index, const std::vector<bool>& gone) const;
  bool IsRunning(int index) const;
  Fault Blame(int index, const std::string& what) const;
  std::string Where(int index) const;
  // The lowest rank of this host that can act and is not to blame.
  int Spokesman(int culprit, const std::vector<bool>& gone) const;

  const LivenessBoard& board_;
  const LivenessJudgeOptions options_;
  std::vector<Seen> seen_;      // [board.size()]
  std::optional<Fault> fault_;  // the first one, for as long as there is any
  Milliseconds since_fault_{0};
};

}  // namespace phalanx
