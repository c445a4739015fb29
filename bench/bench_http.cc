// What the HTTP server costs by itself, with a handler that does nothing: memory of idle
// connections, processor time of a streamed chunk, latency to the first byte. Beside them stands
// what the machine's bare sockets cost in the same run.
//
// The server is this process alone; its clients are a child, so that getrusage separates them.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/bare_sockets.h"
#include "bench/http_client.h"
#include "bench/process_channel.h"
#include "bench/process_cost.h"
#include "coordinator/http/server.h"
#include "kernels/base/check.h"

namespace phalanx::http {
namespace {

using bench::AskBareSockets;
using bench::BareCosts;
using bench::CloseAll;
using bench::Connect;
using bench::CpuSeconds;
using bench::Drain;
using bench::GetRequest;
using bench::Latency;
using bench::MeasureFirstByte;
using bench::ProcessChannel;
using bench::ReadAnswer;
using bench::ResidentMib;
using bench::Send;
using bench::ServeBareSockets;
using Clock = std::chrono::steady_clock;

struct BenchOptions {
  int idle_connections = 10'000;
  int streams = 256;
  int latency_streams = 64;
  int chunks = 200;
  int step_us = 20'000;
  int probes = 500;
  int chunk_bytes = 220;  // a chat completion's chunk
  bool json = false;
};

bench::BareSocketOptions BareOptions(const BenchOptions& options) {
  return {.round_trips = options.probes, .bytes = static_cast<size_t>(options.chunk_bytes)};
}

// --------------------------------------------------------------------------------------- the
// server

class PieceSource final : public BodySource {
 public:
  explicit PieceSource(std::shared_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}

  PullResult Pull(std::string* out) override {
    std::lock_guard lock(mu_);
    out->append(std::exchange(data_, {}));
    if (ended_) return PullResult::kEnd;
    return out->empty() ? PullResult::kNothing : PullResult::kData;
  }
  void Done(Outcome) override {}

  void Give(const std::string& piece) {
    {
      std::lock_guard lock(mu_);
      data_ += piece;
    }
    exchange_->Wake();
  }
  void End() {
    {
      std::lock_guard lock(mu_);
      ended_ = true;
    }
    exchange_->Wake();
  }

 private:
  const std::shared_ptr<Exchange> exchange_;
  std::mutex mu_;
  std::string data_;
  bool ended_ = false;
};

// GET /stream waits for Tick; all else has its first byte at once.
class BenchHandler final : public Handler {
 public:
  explicit BenchHandler(int chunk_bytes) : piece_(static_cast<size_t>(chunk_bytes), 'x') {}

  void Handle(std::shared_ptr<Exchange> exchange) override {
    auto source = std::make_shared<PieceSource>(exchange);
    const bool ticked = exchange->request().path == "/stream";
    exchange->Stream({.content_type = "text/event-stream"}, source);
    if (ticked) {
      std::lock_guard lock(mu_);
      sources_.push_back(std::move(source));
    } else {
      source->Give(piece_);
      source->End();
    }
  }

  void WaitForStreams(int count) {
    while (true) {
      {
        std::lock_guard lock(mu_);
        if (sources_.size() == static_cast<size_t>(count)) return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  void Tick() {
    std::lock_guard lock(mu_);
    for (const auto& source : sources_) source->Give(piece_);
  }
  void EndStreams() {
    std::lock_guard lock(mu_);
    for (const auto& source : sources_) source->End();
    sources_.clear();
  }

 private:
  const std::string piece_;
  std::mutex mu_;
  std::vector<std::shared_ptr<PieceSource>> sources_;
};

// -------------------------------------------------------------------------------------- the
// clients

std::vector<int> OpenStreams(int port, int count) {
  std::vector<int> connections;
  for (int i = 0; i < count; ++i) {
    connections.push_back(Connect(port));
    Send(connections.back(), GetRequest("/stream"));
  }
  return connections;
}

void RunClients(const BenchOptions& options, ProcessChannel channel) {
  const int port = channel.Hear<int>();
  // Idle connections, each of which was used once.
  std::vector<int> idle;
  for (int i = 0; i < options.idle_connections; ++i) {
    idle.push_back(Connect(port));
    Send(idle.back(), GetRequest("/once"));
    ReadAnswer(idle.back());
  }
  channel.Say('i');
  channel.Hear<char>();
  CloseAll(idle);
  // Streams.
  const std::vector<int> streams = OpenStreams(port, options.streams);
  Drain(streams);
  channel.Say('s');
  CloseAll(streams);
  // Latency beside streams.
  const std::vector<int> neighbours = OpenStreams(port, options.latency_streams);
  std::thread drain([&] { Drain(neighbours); });
  channel.Hear<char>();
  const int probe = Connect(port);
  channel.Say(MeasureFirstByte(
      probe, options.probes, [&] { Send(probe, GetRequest("/once")); },
      [&] { ReadAnswer(probe); }));
  drain.join();
  CloseAll(neighbours);
  AskBareSockets(BareOptions(options), channel);
}

// -------------------------------------------------------------------------------------- the parent

// Gives every stream a chunk a step.
void TickFor(BenchHandler& handler, int chunks, int step_us) {
  auto next = Clock::now();
  for (int i = 0; i < chunks; ++i) {
    handler.Tick();
    next += std::chrono::microseconds(step_us);
    std::this_thread::sleep_until(next);
  }
}

int RunServer(const BenchOptions& options, ProcessChannel channel) {
  spdlog::set_level(spdlog::level::warn);
  const auto handler = std::make_shared<BenchHandler>(options.chunk_bytes);
  ServerOptions server_options;
  server_options.port = 0;
  const auto server = Server::Start(server_options, handler);
  PHALANX_CHECK(server.ok());
  const double resident_before = ResidentMib();
  channel.Say((*server)->port());
  channel.Hear<char>();
  const double idle_mib = ResidentMib() - resident_before;
  channel.Say('n');

  handler->WaitForStreams(options.streams);
  const double cpu_before = CpuSeconds();
  TickFor(*handler, options.chunks, options.step_us);
  const double cpu_us = (CpuSeconds() - cpu_before) / options.chunks / options.streams * 1e6;
  handler->EndStreams();
  channel.Hear<char>();

  handler->WaitForStreams(options.latency_streams);
  std::atomic<bool> probed = false;
  std::thread ticks([&] {
    while (!probed) TickFor(*handler, 1, options.step_us);
    handler->EndStreams();
  });
  channel.Say('l');
  const auto first_byte = channel.Hear<Latency>();
  probed = true;
  ticks.join();
  const BareCosts bare = ServeBareSockets(BareOptions(options), channel);

  const double idle_kib = idle_mib * 1024 / options.idle_connections;
  if (options.json) {
    const nlohmann::json result = {{"idle_connections", options.idle_connections},
                                   {"idle_mib", idle_mib},
                                   {"streams", options.streams},
                                   {"cpu_us_per_chunk", cpu_us},
                                   {"bare_write_us", bare.write_us},
                                   {"latency_streams", options.latency_streams},
                                   {"first_byte_median_us", first_byte.median_us},
                                   {"first_byte_p99_us", first_byte.p99_us},
                                   {"bare_round_trip_median_us", bare.round_trip.median_us},
                                   {"bare_round_trip_p99_us", bare.round_trip.p99_us}};
    fmt::print("{}\n", result.dump());
  } else {
    fmt::print("idle connections     {:>8}  {:.1f} MiB, {:.1f} KiB each\n",
               options.idle_connections, idle_mib, idle_kib);
    fmt::print("streams              {:>8}  {:.2f} us of CPU a chunk; a bare write {:.2f} us\n",
               options.streams, cpu_us, bare.write_us);
    fmt::print(
        "first byte beside    {:>8}  median {:.0f} us, p99 {:.0f} us; a bare round trip median "
        "{:.0f} us, p99 {:.0f} us\n",
        options.latency_streams, first_byte.median_us, first_byte.p99_us, bare.round_trip.median_us,
        bare.round_trip.p99_us);
  }
  return 0;
}

int Run(const BenchOptions& options) {
  return bench::RunAsTwoProcesses(
      [&](ProcessChannel channel) { RunClients(options, channel); },
      [&](ProcessChannel channel) { return RunServer(options, channel); });
}

}  // namespace
}  // namespace phalanx::http

int main(int argc, char** argv) {
  phalanx::http::BenchOptions options;
  CLI::App app{"The HTTP server's own costs"};
  app.add_option("--idle-connections", options.idle_connections)->check(CLI::Range(1, 16'000));
  app.add_option("--streams", options.streams)->check(CLI::Range(1, 10'000));
  app.add_option("--latency-streams", options.latency_streams)->check(CLI::Range(1, 10'000));
  app.add_option("--chunks", options.chunks)->check(CLI::PositiveNumber);
  app.add_option("--step-us", options.step_us)->check(CLI::PositiveNumber);
  app.add_option("--probes", options.probes)->check(CLI::PositiveNumber);
  app.add_option("--chunk-bytes", options.chunk_bytes)->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  return phalanx::http::Run(options);
}
