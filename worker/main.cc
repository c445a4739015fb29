// worker: one rank of a group. Rank 0 dials the coordinator; the others follow its plans.
//
// Exit codes: 0 after a drain, 2 where the group could not start (wrong flag, model, memory), 1
// where it broke later.
#include <signal.h>
#include <spdlog/spdlog.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <string>

#include "parallel/mpi_environment.h"
#include "worker/engine_channel.h"
#include "worker/options.h"

namespace phalanx {
namespace {

constexpr int kStartError = 2;
constexpr int kBroken = 1;

// What a signal handler may touch: a lock-free flag, and it must be global to be reached.
std::atomic<bool> stop_requested = false;
static_assert(std::atomic<bool>::is_always_lock_free);

void RequestStop(int) { stop_requested = true; }

// Signals that mpirun passes on reach all ranks; only rank 0 acts, or the others would leave in the
// middle of a step.
void HandleSignals(int rank) {
  struct sigaction action = {};
  action.sa_handler = rank == 0 ? RequestStop : SIG_IGN;
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
      "start: ranks={} communicator={} threads={} blocks={} context={} step={} tokens numerics={}",
      ranks.size(), ranks.name(), group.threads, limits.num_blocks, limits.max_model_len,
      limits.max_num_tokens, group.numerics_id);
  spdlog::info(
      "start: communicator {:.0f} ms, weights {:.0f} ms, KV pool {:.0f} ms, in all {:.0f} ms",
      communicator_s * 1e3, group.load_s * 1e3, group.pool_s * 1e3, total_s * 1e3);
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
          .limits = group.scheduler.limits};
}

int Run(WorkerOptions options) {
  const auto begin = std::chrono::steady_clock::now();
  const auto seconds = [begin] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  auto communicator =
      CreateMpiCommunicator({options.communicator, std::max(1, options.group.threads)});
  if (!communicator.ok()) {
    spdlog::critical("{}", communicator.status().message());
    return kStartError;
  }
  Communicator& ranks = **communicator;
  const double communicator_s = seconds();
  HandleSignals(ranks.rank());
  if (ranks.rank() == 0) {
    options.group.on_load_progress = LogProgress();
    options.group.on_load_warning = [](std::string_view warning) { spdlog::warn("{}", warning); };
  }

  Status status = CheckSize(options, ranks.size());  // the same on every rank
  StatusOr<Group> started =
      status.ok() ? StartGroup(options.group, ranks) : StatusOr<Group>(status);
  if (!started.ok()) {
    if (ranks.rank() == 0) spdlog::critical("{}", started.status().message());
    return kStartError;
  }
  Group& group = *started;
  if (ranks.rank() == 0) {
    LogStart(group, ranks, communicator_s, seconds());
    status =
        ServeEngine(DescribeGroup(options, group, ranks.size()), *group.engine, stop_requested);
  } else {
    status = group.engine->Follow();
  }
  if (status.ok()) return 0;
  spdlog::critical("rank={} {}", ranks.rank(), status.ToString());
  ranks.Abort(status);
  return kBroken;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) {
  const auto options = phalanx::ParseOptions(argc, argv);
  if (const auto* exit = std::get_if<phalanx::ExitCode>(&options)) return exit->value;
  const auto& parsed = std::get<phalanx::WorkerOptions>(options);
  phalanx::ConfigureLog("worker", parsed.log_level, parsed.log_format);
  if (phalanx::LaunchedByMpi()) phalanx::DieWithLauncher();
  return phalanx::Run(parsed);
}
