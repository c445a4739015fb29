// worker: one rank of a group. Rank 0 dials the coordinator; the others follow its plans.
//
// Exit codes: 0 after a drain or a stop that was asked for, 2 where the group could not start
// (wrong flag, model, memory), 1 where it broke later.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>

#include "kernels/backend_factory.h"
#include "parallel/mpi_environment.h"
#include "parallel/watched_communicator.h"
#include "worker/engine_channel.h"
#include "worker/grammar_compiler.h"
#include "worker/loss_report.h"
#include "worker/options.h"
#include "worker/watchdog.h"

namespace phalanx {
namespace {

constexpr int kStartError = 2;
constexpr int kBroken = 1;

// Neither a full pipe behind the log nor the coordinator may keep a rank of a broken group alive.
constexpr unsigned kLastWordsSeconds = 5;

// What a signal handler may touch: a lock-free flag, and it must be global to be reached.
std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void RequestStop(int) { stop_requested = true; }

// No rank leaves by itself, that would be in the middle of a step: the watchdogs pass the request
// on, and rank 0 lets the others go.
void HandleSignals() {
  struct sigaction action = {};
  action.sa_handler = RequestStop;
  for (const int number : {SIGTERM, SIGINT}) sigaction(number, &action, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

// A killed launcher must not leave its ranks behind.
void DieWithLauncher() {
  const pid_t parent = getppid();
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kBroken);  // it died before the call
}

Status CheckSize(const WorkerOptions& options, int size) {
  if (options.tensor_parallel_size == 0 || options.tensor_parallel_size == size) return OkStatus();
  return InvalidField("--tensor-parallel-size", options.tensor_parallel_size,
                      fmt::format("{}, the number of ranks that mpirun started", size));
}

void LogStart(const Group& group, const Communicator& ranks, double communicator_s,
              double total_s) {
  const PlanLimits& limits = group.scheduler.limits;
  if (group.is_oversubscribed) {
    spdlog::warn("ranks x threads exceed the CPUs of this host: expect slow steps");
  }
  if (group.is_shortened) {
    spdlog::warn("the KV pool holds {} tokens, fewer than the model reaches: context shortened",
                 limits.max_model_len);
  }
  spdlog::info(
      "start: ranks={} communicator={} sums={} threads={} blocks={} context={} step={} tokens "
      "numerics={}",
      ranks.size(), ranks.name(), group.collectives ? group.collectives->name() : ranks.name(),
      group.threads, limits.num_blocks, limits.max_model_len, limits.max_num_tokens,
      group.numerics_id);
  spdlog::info(
      "start: communicator {:.0f} ms, weights {:.0f} ms, KV pool {:.0f} ms, warm-up {:.0f} ms, in "
      "all {:.0f} ms",
      communicator_s * 1e3, group.load_s * 1e3, group.pool_s * 1e3, group.warm_up_s * 1e3,
      total_s * 1e3);
}

void LogMemory(const Backend& backend) {
  for (const MemoryUse& use : backend.Memory()) {
    spdlog::debug("memory: {:>14} bytes {} {}, {} of them", use.bytes,
                  use.where == MemoryUse::Where::kDevice ? "on the device:" : "pinned here:  ",
                  use.name, use.count);
  }
  if (const auto free = backend.FreeMemoryBytes()) {
    spdlog::debug("memory: {:>14} bytes on the device are free", *free);
  }
}

void LogOpTimes(Backend& backend) {
  for (const std::string& line : FormatOpTimes(backend.TakenTimes())) {
    spdlog::info("profile: {}", line);
  }
}

std::function<void(int64_t, int64_t)> LogProgress() {
  return [last = std::chrono::steady_clock::now()](int64_t done, int64_t total) mutable {
    const auto now = std::chrono::steady_clock::now();
    if (done < total && now - last < std::chrono::seconds(1)) return;
    last = now;
    spdlog::info("loading: {:.0f} of {:.0f} MB of rank 0's shard", static_cast<double>(done) * 1e-6,
                 static_cast<double>(total) * 1e-6);
  };
}

EngineChannelOptions DescribeGroup(const WorkerOptions& options, const Group& group,
                                   int num_ranks) {
  return {.socket = options.engine,
          .version = options.group.version,
          .num_ranks = num_ranks,
          .device = std::string(group.backend->device()),
          .isa = std::string(group.backend->isa()),
          .dtype = std::string(Name(group.model->config().dtype)),
          .numerics_id = group.numerics_id,
          .limits = group.scheduler.limits,
          .policy = group.scheduler.policy,
          .board = options.group.board,
          .step_timeout = options.group.step_timeout,
          .make_grammar_compiler = [model = options.group.model,
                                    vocab_size = group.scheduler.limits.vocab_size,
                                    limits = options.grammar_limits] {
            return CreateModelGrammarCompiler(model, vocab_size, limits);
          }};
}

// The coordinator hears of the group's end from the rank that knows why. Only where rank 0 shares
// this rank's host, as the coordinator does.
void ReportLoss(const WorkerOptions& options, const LivenessBoard& board, const Status& reason) {
  const LivenessRecord& first = board.record(0);
  if (first.rank != 0) return;
  const Status status = SendLossReport(
      {.socket = options.engine, .rank0_pid = first.pid, .reason = reason.message()});
  if (!status.ok()) spdlog::warn("the coordinator could not be told: {}", status.message());
}

// The group cannot go on and some of its ranks do not listen. Leaving with an error makes the
// launcher end those that remain, stopped ones too, a second sooner than MPI_Abort does. The other
// threads go on until the very end, so nothing that they use is taken down; the log has no buffer.
// Collectives are aborted, because a GPU that waits for a lost peer holds the process up.
[[noreturn]] void EndGroup(const LivenessBoard& board, const CollectivesInUse& collectives,
                           const Status& reason) {
  board.MarkEnded();
  collectives.Abort(reason);
  std::_Exit(kBroken);
}

std::unique_ptr<Watchdog> StartWatchdog(const WorkerOptions& options, const LivenessBoard& board,
                                        const CollectivesInUse& collectives) {
  WatchdogOptions watchdog;
  watchdog.silence = options.group.step_timeout;
  watchdog.stop_requested = &stop_requested;
  watchdog.on_fault = [&options, &board, &collectives](const Status& fault) {
    alarm(kLastWordsSeconds);
    spdlog::critical("{}", fault.message());
    ReportLoss(options, board, fault);
    EndGroup(board, collectives, fault);
  };
  watchdog.on_end = [&board, &collectives] {
    alarm(kLastWordsSeconds);
    EndGroup(board, collectives, UnavailableError("another rank ended the group"));
  };
  return Watchdog::Start(board, std::move(watchdog));
}

StatusOr<Group> Start(const WorkerOptions& options, Communicator& ranks) {
  PHALANX_RETURN_IF_ERROR(CheckSize(options, ranks.size()));  // the same on every rank
  return StartGroup(options.group, ranks);
}

// Waits for the peers, so that none is missed while it can still be noticed; what follows, the end
// of MPI, is under a timer alone.
void Leave(const WorkerOptions& options, const LivenessBoard& board, Communicator& ranks) {
  const std::chrono::milliseconds allowed = options.group.step_timeout;
  board.Publish(Activity::kLeaving, board.mine().step, allowed);
  if (const Status status = ranks.Barrier(); !status.ok()) spdlog::warn("{}", status.message());
  board.Publish(Activity::kLeft, board.mine().step, std::chrono::milliseconds(0));
  alarm(static_cast<unsigned>(allowed.count() / 1000));
}

int Run(WorkerOptions options) {
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [begin] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  HandleSignals();
  auto created = CreateMpiGroup({options.communicator, std::max(1, options.group.threads)});
  if (!created.ok()) {
    spdlog::critical("{}", created.status().message());
    return kStartError;
  }
  const LivenessBoard& board = *created->board;
  const std::unique_ptr<Communicator> watched =
      MakeWatchedCommunicator(*created->communicator, board);
  Communicator& ranks = *watched;
  const double communicator_s = seconds();
  CollectivesInUse collectives;
  const std::unique_ptr<Watchdog> watchdog = StartWatchdog(options, board, collectives);
  options.group.board = &board;
  options.group.collectives_in_use = &collectives;
  options.group.should_stop = [&board] { return stop_requested || board.stop_requested(); };
  if (ranks.rank() == 0) {
    options.group.on_load_progress = LogProgress();
    options.group.on_load_warning = [](std::string_view warning) { spdlog::warn("{}", warning); };
  }

  StatusOr<Group> started = Start(options, ranks);
  if (!started.ok()) {
    const bool is_stopped = started.status().code() == StatusCode::kCancelled;
    if (ranks.rank() == 0) {
      spdlog::log(is_stopped ? spdlog::level::info : spdlog::level::critical, "{}",
                  started.status().message());
    }
    Leave(options, board, ranks);
    return is_stopped ? 0 : kStartError;
  }
  Group& group = *started;
  Status status = WarmUp(group);
  if (status.ok() && ranks.rank() == 0) {
    LogStart(group, ranks, communicator_s, seconds());
    LogMemory(*group.backend);
    status =
        ServeEngine(DescribeGroup(options, group, ranks.size()), *group.engine, stop_requested);
  } else if (status.ok()) {
    status = group.engine->Follow();
  }
  if (status.ok()) {
    if (ranks.rank() == 0) LogOpTimes(*group.backend);
    Leave(options, board, ranks);
    return 0;
  }
  board.Publish(Activity::kFailed, board.mine().step, std::chrono::milliseconds(0));
  status = status.WithContext(fmt::format("rank {}", ranks.rank()));
  spdlog::critical("{}", status.ToString());
  ReportLoss(options, board, status);
  alarm(kLastWordsSeconds);
  collectives.Abort(status);
  ranks.Abort(status);
  return kBroken;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) {
  const auto options = phalanx::ParseWorkerOptions(argc, argv);
  if (const auto* exit = std::get_if<phalanx::ExitCode>(&options)) return exit->value;
  const auto& parsed = std::get<phalanx::WorkerOptions>(options);
  phalanx::ConfigureLog("worker", parsed.log_level, parsed.log_format);
  phalanx::PrepareEnvironment(parsed.group.device);
  if (phalanx::LaunchedByMpi()) phalanx::DieWithLauncher();
  return phalanx::Run(parsed);
}
