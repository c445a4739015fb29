// The whole terminal for a program that shows something that changes, given back on every way out.
#pragma once

#include <termios.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace phalanx {

// Blocks the signals that end or suspend a program, and those of a new window size, for this thread
// and those that it starts: before the first of them, so that the screen alone hears of them.
void BlockScreenSignals();

enum class ScreenEvent {
  kTimeout,
  kWake,    // the descriptor that was waited for can be read
  kResize,  // paint again; also after the program was suspended
  kQuit,    // the key q
  kSignal,  // one that ends the program: see ended_by()
};

// Of standard output, which must be a terminal; keys come from standard input where that is one.
// One at a time, after BlockScreenSignals().
class Screen {
 public:
  Screen();
  ~Screen();
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  int width() const;
  int height() const;
  // Shows the lines in place of what was there.
  void Paint(const std::vector<std::string>& lines) const;
  // Until something happens; `wake` is a descriptor to wait for, too.
  ScreenEvent Wait(int wake, std::chrono::milliseconds patience);
  int ended_by() const { return ended_by_; }  // the signal, after kSignal

 private:
  void Enter();
  void Leave() const;
  ScreenEvent TakeSignal();

  int signals_;                   // a signalfd
  std::optional<termios> saved_;  // of standard input; none: it is no terminal
  int ended_by_ = 0;
};

}  // namespace phalanx
