// What the coordinator's HTTP front costs over the whole request path: memory of idle connections,
// processor time of a streamed token, time to the first byte, time from a client's end to the
// cancellation that frees its blocks with the next step. A fake worker group that answers at once
// stands behind it, so that all of it is the front's. Beside them stands what the machine's
// bare sockets cost in the same run.
//
// The coordinator is this process alone; worker group and clients are a child, so that getrusage
// separates them.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "app/log.h"
#include "bench/bare_sockets.h"
#include "bench/http_client.h"
#include "bench/process_channel.h"
#include "bench/process_cost.h"
#include "bench/steady_group.h"
#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"
#include "coordinator/grpc/engine_listener.h"
#include "coordinator/http/server.h"
#include "coordinator/openai/openai_handler.h"

namespace phalanx::bench {
namespace {

struct FrontOptions {
  std::string model = "launch/demo/model";
  int idle_connections = 10'000;
  int streams = 256;
  int latency_streams = 64;
  int tokens = 200;
  int step_us = 20'000;
  int probes = 500;
  bool json = false;

  BareSocketOptions bare() const { return {.round_trips = probes}; }
};

struct Where {
  int port = 0;
  int32_t vocab_size = 0;
  char socket[108] = {};
};

struct Results {
  double start_mib = 0;
  double idle_mib = 0;
  double cpu_us = 0;
  Latency first_byte;
  Latency cancel_streamed;
  Latency cancel_whole;
  BareCosts bare;
};

enum class AnswerKind { kWhole, kStreamed };

std::string Request(int max_tokens, AnswerKind kind = AnswerKind::kStreamed) {
  const nlohmann::json body = {{"messages", {{{"role", "user"}, {"content", "What is 17 + 25?"}}}},
                               {"stream", kind == AnswerKind::kStreamed},
                               {"max_tokens", max_tokens}};
  return PostRequest("/v1/chat/completions", body.dump());
}

std::vector<int> OpenStreams(int port, int count, const std::string& request) {
  std::vector<int> connections;
  for (int i = 0; i < count; ++i) {
    connections.push_back(Connect(port));
    Send(connections.back(), request);
  }
  return connections;
}

// ------------------------------------------------------------------------------------- the child

void HoldIdleConnections(int port, int count, ProcessChannel& channel) {
  std::vector<int> idle;
  for (int i = 0; i < count; ++i) {
    idle.push_back(Connect(port));
    Send(idle.back(), GetRequest("/health"));
    ReadShortAnswer(idle.back());
  }
  channel.Say('i');
  channel.Hear<char>();
  CloseAll(idle);
}

void Stream(int port, const FrontOptions& options, SteadyGroup& group, ProcessChannel& channel) {
  const std::vector<int> streams = OpenStreams(port, options.streams, Request(options.tokens));
  group.WaitForRequests(static_cast<size_t>(options.streams));
  channel.Say('r');
  channel.Hear<char>();
  std::thread drain([&] { Drain(streams); });
  group.Run(options.tokens, options.step_us);
  drain.join();
  channel.Say('s');
  CloseAll(streams);
}

void ProbeBesideStreams(int port, const FrontOptions& options, SteadyGroup& group,
                        ProcessChannel& channel) {
  const std::string probe_request = Request(1);
  const int probe = Connect(port);
  Latency latency;
  std::atomic<bool> probed = false;
  std::thread neighbours([&] {
    while (!probed) {
      const std::vector<int> streams =
          OpenStreams(port, options.latency_streams, Request(options.tokens));
      group.WaitForRequests(static_cast<size_t>(options.latency_streams));
      std::thread drain([&] { Drain(streams); });
      group.Run(options.tokens, options.step_us);
      drain.join();
      CloseAll(streams);
    }
  });
  latency = MeasureFirstByte(
      probe, options.probes, [&] { Send(probe, probe_request); }, [&] { ReadAnswer(probe); });
  probed = true;
  neighbours.join();
  ::close(probe);
  channel.Say(latency);
}

// From the end of a client that waits for its answer to the cancellation at the worker group.
Latency MeasureCancel(int port, const FrontOptions& options, AnswerKind kind, int64_t* num_cancels,
                      SteadyGroup& group) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  for (int i = 0; i < options.probes; ++i) {
    const int fd = Connect(port);
    Send(fd, Request(options.tokens, kind));
    group.WaitForRequests(1);
    const auto begin = Clock::now();
    ::close(fd);
    group.WaitForCancels(++*num_cancels);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  return LatencyOf(std::move(times));
}

void RunChild(const FrontOptions& options, ProcessChannel channel) {
  const auto where = channel.Hear<Where>();
  HoldIdleConnections(where.port, options.idle_connections, channel);
  constexpr int32_t kMaxPromptTokens = 64;
  SteadyGroup group({.socket = where.socket,
                     .vocab_size = where.vocab_size,
                     .max_model_len = options.tokens + kMaxPromptTokens,
                     .max_num_seqs = options.streams + options.latency_streams});
  Stream(where.port, options, group, channel);
  ProbeBesideStreams(where.port, options, group, channel);
  int64_t num_cancels = 0;
  for (const AnswerKind kind : {AnswerKind::kStreamed, AnswerKind::kWhole}) {
    channel.Say(MeasureCancel(where.port, options, kind, &num_cancels, group));
  }
  AskBareSockets(options.bare(), channel);
}

// ------------------------------------------------------------------------------------ the parent

Results Measure(const FrontOptions& options, const Where& where, ProcessChannel& channel) {
  Results results;
  results.start_mib = ResidentMib();
  channel.Say(where);
  channel.Hear<char>();
  results.idle_mib = ResidentMib() - results.start_mib;
  channel.Say('n');
  channel.Hear<char>();
  const double before = CpuSeconds();
  channel.Say('g');
  channel.Hear<char>();
  results.cpu_us = 1e6 * (CpuSeconds() - before) / options.tokens / options.streams;
  results.first_byte = channel.Hear<Latency>();
  results.cancel_streamed = channel.Hear<Latency>();
  results.cancel_whole = channel.Hear<Latency>();
  results.bare = ServeBareSockets(options.bare(), channel);
  return results;
}

void Print(const FrontOptions& options, const Results& results) {
  const BareCosts& bare = results.bare;
  if (options.json) {
    const nlohmann::json out = {{"idle_connections", options.idle_connections},
                                {"start_mib", results.start_mib},
                                {"idle_mib", results.idle_mib},
                                {"streams", options.streams},
                                {"cpu_us_per_token", results.cpu_us},
                                {"bare_write_us", bare.write_us},
                                {"latency_streams", options.latency_streams},
                                {"first_byte_median_us", results.first_byte.median_us},
                                {"first_byte_p99_us", results.first_byte.p99_us},
                                {"cancel_streamed_median_us", results.cancel_streamed.median_us},
                                {"cancel_streamed_p99_us", results.cancel_streamed.p99_us},
                                {"cancel_whole_median_us", results.cancel_whole.median_us},
                                {"cancel_whole_p99_us", results.cancel_whole.p99_us},
                                {"bare_round_trip_median_us", bare.round_trip.median_us},
                                {"bare_round_trip_p99_us", bare.round_trip.p99_us}};
    fmt::print("{}\n", out.dump());
    return;
  }
  fmt::print("idle connections  {:>6}  {:.1f} MiB on top of {:.1f} MiB\n", options.idle_connections,
             results.idle_mib, results.start_mib);
  fmt::print("streams           {:>6}  {:.1f} us of CPU a token; a bare write {:.2f} us\n",
             options.streams, results.cpu_us, bare.write_us);
  fmt::print(
      "first byte beside {:>6}  median {:.0f} us, p99 {:.0f} us; a bare round trip {:.0f} us and "
      "{:.0f} us\n",
      options.latency_streams, results.first_byte.median_us, results.first_byte.p99_us,
      bare.round_trip.median_us, bare.round_trip.p99_us);
  fmt::print(
      "end to cancel             streamed {:.0f} us and {:.0f} us, whole {:.0f} us and {:.0f} us\n",
      results.cancel_streamed.median_us, results.cancel_streamed.p99_us,
      results.cancel_whole.median_us, results.cancel_whole.p99_us);
}

int RunCoordinator(const FrontOptions& options, ProcessChannel channel) {
  ConfigureLog("bench_front", "critical", LogFormat::kText);
  const auto model = ServedModel::Load({.model_dir = options.model});
  if (!model.ok()) {
    fmt::print(stderr, "{}\n", model.status().message());
    return 2;
  }
  std::string dir = (std::filesystem::temp_directory_path() / "phalanx-bench-XXXXXX").string();
  PHALANX_CHECK(mkdtemp(dir.data()) != nullptr);
  const std::string socket = dir + "/engine.sock";
  {
    Frontend frontend(**model, {});
    TaskQueue queue(64);
    http::ServerOptions server_options;
    server_options.port = 0;
    const auto server =
        http::Server::Start(server_options, openai::MakeOpenAiHandler(frontend, queue));
    PHALANX_CHECK(server.ok());
    const auto listener = EngineListener::Start(socket, frontend.dispatcher());
    PHALANX_CHECK(listener.ok());
    Where where{.port = (*server)->port(), .vocab_size = (*model)->vocab_size()};
    socket.copy(where.socket, sizeof(where.socket) - 1);
    Print(options, Measure(options, where, channel));
  }
  std::filesystem::remove_all(dir);
  return 0;
}

// Each side holds one descriptor of every connection.
Status AllowDescriptors(int connections) {
  constexpr int kOthers = 256;
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const auto needed = static_cast<rlim_t>(connections + kOthers);
  if (limit.rlim_cur >= needed) return OkStatus();
  limit.rlim_cur = std::min(needed, limit.rlim_max);
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == needed) return OkStatus();
  return InvalidArgumentError("--idle-connections: is {}, allowed: what `ulimit -Hn` ({}) holds",
                              connections, limit.rlim_max);
}

int Main(int argc, char** argv) {
  FrontOptions options;
  CLI::App app("What the coordinator's HTTP front costs.");
  app.add_option("--model", options.model, "model folder")->capture_default_str();
  app.add_option("--idle-connections", options.idle_connections)->check(CLI::Range(1, 16'000));
  app.add_option("--streams", options.streams)->check(CLI::Range(1, 500));
  app.add_option("--latency-streams", options.latency_streams)->check(CLI::Range(1, 500));
  app.add_option("--tokens", options.tokens, "of each stream")->check(CLI::Range(2, 100'000));
  app.add_option("--step-us", options.step_us)->check(CLI::PositiveNumber);
  app.add_option("--probes", options.probes)->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  if (const Status status = AllowDescriptors(options.idle_connections); !status.ok()) {
    fmt::print(stderr, "{}\n", status.message());
    return 2;
  }
  return bench::RunAsTwoProcesses(
      [&](ProcessChannel channel) { RunChild(options, channel); },
      [&](ProcessChannel channel) { return RunCoordinator(options, channel); });
}

}  // namespace
}  // namespace phalanx::bench

int main(int argc, char** argv) { return phalanx::bench::Main(argc, argv); }
