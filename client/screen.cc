#include "client/screen.h"

#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>

#include "client/terminal.h"

namespace phalanx {
namespace {

// Of xterm and all that follow it.
constexpr std::string_view kOtherScreen = "\x1b[?1049h";
constexpr std::string_view kMainScreen = "\x1b[?1049l";
constexpr std::string_view kHideCursor = "\x1b[?25l";
constexpr std::string_view kShowCursor = "\x1b[?25h";
constexpr std::string_view kHome = "\x1b[H";
constexpr std::string_view kClearLine = "\x1b[K";
constexpr std::string_view kClearBelow = "\x1b[J";

sigset_t ScreenSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH}) {
    sigaddset(&signals, number);
  }
  return signals;
}

winsize Size() {
  winsize size{};
  ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  return size;
}

}  // namespace

void BlockScreenSignals() {
  const sigset_t signals = ScreenSignals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}

Screen::Screen() {
  const sigset_t signals = ScreenSignals();
  signals_ = signalfd(-1, &signals, SFD_CLOEXEC);
  termios now{};
  if (IsTerminal(stdin) && tcgetattr(STDIN_FILENO, &now) == 0) saved_ = now;
  Enter();
}

Screen::~Screen() {
  Leave();
  close(signals_);
}

void Screen::Enter() {
  if (saved_) {
    termios raw = *saved_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // keys at once, and unseen
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  PrintNow(std::string(kOtherScreen) + std::string(kHideCursor));
}

void Screen::Leave() const {
  PrintNow(std::string(kShowCursor) + std::string(kMainScreen));
  if (saved_) tcsetattr(STDIN_FILENO, TCSANOW, &*saved_);
}

int Screen::width() const {
  constexpr int kUsual = 80;
  const int columns = Size().ws_col;
  return columns > 0 ? columns : kUsual;
}

int Screen::height() const {
  constexpr int kUsual = 24;
  const int rows = Size().ws_row;
  return rows > 0 ? rows : kUsual;
}

void Screen::Paint(const std::vector<std::string>& lines) const {
  std::string frame(kHome);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) frame += "\r\n";
    frame += lines[i];
    // Behind a full line the cursor stands on its last column.
    if (lines[i].size() < static_cast<size_t>(width())) frame += kClearLine;
  }
  if (lines.size() < static_cast<size_t>(height())) {
    frame += "\r\n";
    frame += kClearBelow;
  }
  PrintNow(frame);
}

ScreenEvent Screen::TakeSignal() {
  signalfd_siginfo info{};
  if (read(signals_, &info, sizeof(info)) != sizeof(info)) return ScreenEvent::kTimeout;
  const int number = static_cast<int>(info.ssi_signo);
  if (number == SIGWINCH) return ScreenEvent::kResize;
  if (number == SIGTSTP) {
    Leave();
    raise(SIGSTOP);
    Enter();
    return ScreenEvent::kResize;
  }
  ended_by_ = number;
  return ScreenEvent::kSignal;
}

ScreenEvent Screen::Wait(int wake, std::chrono::milliseconds patience) {
  std::array<pollfd, 3> polled = {
      {{.fd = signals_, .events = POLLIN, .revents = 0},
       {.fd = saved_ ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0},
       {.fd = wake, .events = POLLIN, .revents = 0}}};
  if (poll(polled.data(), polled.size(), static_cast<int>(patience.count())) <= 0) {
    return ScreenEvent::kTimeout;
  }
  if (polled[0].revents != 0) return TakeSignal();
  if (polled[1].revents != 0) {
    char key = 0;
    // A terminal that is gone is the same as a wish to leave.
    if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q') return ScreenEvent::kQuit;
  }
  return polled[2].revents != 0 ? ScreenEvent::kWake : ScreenEvent::kTimeout;
}

}  // namespace phalanx
