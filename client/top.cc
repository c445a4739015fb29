#include "client/top.h"

#include <grpc/support/log.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>
#include <optional>
#include <thread>

#include "client/info_poller.h"
#include "client/number_flag.h"
#include "client/screen.h"
#include "client/terminal.h"
#include "client/top_view.h"

namespace phalanx {
namespace {

using Time = std::chrono::steady_clock::time_point;

struct TopFlags {
  ConnectionFlags connection;
  double interval_seconds = 1;
  bool once = false;

  std::chrono::milliseconds interval() const {
    return std::chrono::milliseconds(static_cast<int64_t>(1e3 * interval_seconds));
  }
};

// Two answers, because rates need them.
int PrintOnce(const TopFlags& flags) {
  const auto stub = Connect(flags.connection);
  std::optional<TopSample> before;
  for (;;) {
    grpc::ClientContext context;
    TopSample now = AskForInfo(*stub, flags.connection, context);
    if (!now.status.ok()) return ReportError(now.status, flags.connection);
    if (before) {
      constexpr int kAll = std::numeric_limits<int>::max();
      constexpr int kWidth = 120;
      for (const std::string& line : RenderTop(flags.connection.server, before, now, now.time,
                                               {.width = kWidth, .height = kAll})) {
        Print(line + '\n');
      }
      return kExitOk;
    }
    before = std::move(now);
    std::this_thread::sleep_for(flags.interval());
  }
}

int Watch(const TopFlags& flags) {
  constexpr int kSignalExit = 128;  // as a shell says of a program that a signal ended
  constexpr std::chrono::hours kNoHurry(1);
  BlockScreenSignals();
  gpr_set_log_function([](gpr_log_func_args*) {});  // its lines would run across the screen
  InfoPoller poller(flags.connection, flags.interval());
  Screen screen;
  std::optional<TopSample> before;
  std::optional<TopSample> now;
  std::optional<Time> last_answer;
  for (;;) {
    switch (screen.Wait(poller.wake(), kNoHurry)) {
      case ScreenEvent::kQuit:
        return kExitOk;
      case ScreenEvent::kSignal:
        return kSignalExit + screen.ended_by();
      case ScreenEvent::kTimeout:
        continue;
      case ScreenEvent::kResize:
        break;
      case ScreenEvent::kWake:
        for (TopSample& sample : poller.Take()) {
          before = std::exchange(now, std::move(sample));
          if (now->status.ok()) last_answer = now->time;
        }
        break;
    }
    if (!now) continue;
    screen.Paint(RenderTop(flags.connection.server, before, *now, last_answer,
                           {.width = screen.width(), .height = screen.height()}));
  }
}

}  // namespace

void AddTop(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<TopFlags>();
  CLI::App& sub =
      *app.add_subcommand("top", "Watch a service: its health, load, speed and ranks; q leaves");
  AddConnectionFlags(sub, flags->connection);
  AddNumber<double>(sub, "--interval", {0.1, 3600}, flags->interval_seconds,
                    "seconds between two looks");
  sub.add_flag("--once", flags->once,
               "print one snapshot over one interval, as is done where output is no terminal");
  sub.callback([flags, &command] {
    command = [flags] {
      return flags->once || !IsTerminal(stdout) ? PrintOnce(*flags) : Watch(*flags);
    };
  });
}

}  // namespace phalanx
