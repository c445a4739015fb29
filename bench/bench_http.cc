// What the HTTP server costs by itself, with a handler that does nothing: memory of idle
// connections, processor time of a streamed chunk, latency to the first byte. Beside them stands
// what the machine's bare sockets cost in the same run.
//
// The server is this process alone; its clients are a child, so that getrusage separates them.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <spdlog/spdlog.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "coordinator/http/server.h"
#include "kernels/base/check.h"

namespace phalanx::http {
namespace {

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

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
}

double CpuSeconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return Seconds(usage.ru_utime) + Seconds(usage.ru_stime);
}

double ResidentMib() {
  size_t total_pages = 0;
  size_t resident_pages = 0;
  std::ifstream("/proc/self/statm") >> total_pages >> resident_pages;
  return static_cast<double>(resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE)) /
         (1 << 20);
}

// ------------------------------------------------------------------------- what parent and child
// say

class Channel {
 public:
  explicit Channel(int fd) : fd_(fd) {}
  template <typename Value>
  void Say(const Value& value) {
    PHALANX_CHECK(::write(fd_, &value, sizeof(value)) == sizeof(value));
  }
  template <typename Value>
  Value Hear() {
    Value value{};
    PHALANX_CHECK(::read(fd_, &value, sizeof(value)) == sizeof(value));
    return value;
  }

 private:
  const int fd_;
};

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

int Connect(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  PHALANX_CHECK(fd >= 0);
  PHALANX_CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  return fd;
}

void Ask(int fd, std::string_view path) {
  const std::string request = fmt::format("GET {} HTTP/1.1\r\nHost: bench\r\n\r\n", path);
  PHALANX_CHECK(::send(fd, request.data(), request.size(), MSG_NOSIGNAL) ==
                static_cast<ssize_t>(request.size()));
}

// Until the last chunk, or the connection's end.
void ReadAnswer(int fd) {
  constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
  std::string tail;
  char bytes[4096];
  while (!tail.ends_with(kEnd)) {
    const ssize_t count = ::recv(fd, bytes, sizeof(bytes), 0);
    if (count <= 0) return;
    tail.append(bytes, static_cast<size_t>(count));
    tail.erase(0, tail.size() - std::min(tail.size(), kEnd.size()));
  }
}

// Reads from all until each had its last chunk.
void Drain(const std::vector<int>& connections) {
  constexpr std::string_view kEnd = "0\r\n\r\n";
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : connections) {
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
  }
  size_t left = connections.size();
  while (left > 0) {
    epoll_event events[64];
    const int ready = ::epoll_wait(epoll, events, 64, -1);
    for (int i = 0; i < ready; ++i) {
      char bytes[16'384];
      const ssize_t count = ::recv(events[i].data.fd, bytes, sizeof(bytes), 0);
      const std::string_view text(bytes, count > 0 ? static_cast<size_t>(count) : 0);
      if (count > 0 && !text.ends_with(kEnd)) continue;
      ::epoll_ctl(epoll, EPOLL_CTL_DEL, events[i].data.fd, nullptr);
      --left;
    }
  }
  ::close(epoll);
}

std::vector<int> OpenStreams(int port, int count) {
  std::vector<int> connections;
  for (int i = 0; i < count; ++i) {
    connections.push_back(Connect(port));
    Ask(connections.back(), "/stream");
  }
  return connections;
}

void CloseAll(const std::vector<int>& connections) {
  for (const int fd : connections) ::close(fd);
}

struct Latency {
  double median_us = 0;
  double p99_us = 0;
};

// Of `exchange`, from its begin to the first byte that is there.
template <typename Begin, typename End>
Latency Measure(int fd, int count, Begin begin_one, End end_one) {
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    const auto begin = Clock::now();
    begin_one();
    char byte = 0;
    ::recv(fd, &byte, 1, MSG_PEEK);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    end_one();
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100]};
}

void RunClients(const BenchOptions& options, Channel channel) {
  const int port = channel.Hear<int>();
  // Idle connections, each of which was used once.
  std::vector<int> idle;
  for (int i = 0; i < options.idle_connections; ++i) {
    idle.push_back(Connect(port));
    Ask(idle.back(), "/once");
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
  channel.Say(Measure(
      probe, options.probes, [&] { Ask(probe, "/once"); }, [&] { ReadAnswer(probe); }));
  drain.join();
  CloseAll(neighbours);
  // Bare sockets.
  const int bare = Connect(channel.Hear<int>());
  std::string piece(static_cast<size_t>(options.chunk_bytes), 'x');
  channel.Say(Measure(
      bare, options.probes, [&] { ::send(bare, piece.data(), piece.size(), MSG_NOSIGNAL); },
      [&] { ::recv(bare, piece.data(), piece.size(), MSG_WAITALL); }));
  while (::recv(bare, piece.data(), piece.size(), 0) > 0) {
  }
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

struct BareCosts {
  double write_us = 0;
  Latency round_trip;
};

BareCosts MeasureBareSockets(const BenchOptions& options, Channel& channel) {
  const int listening = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof(address);
  PHALANX_CHECK(::bind(listening, reinterpret_cast<sockaddr*>(&address), length) == 0);
  PHALANX_CHECK(::listen(listening, 1) == 0);
  ::getsockname(listening, reinterpret_cast<sockaddr*>(&address), &length);
  channel.Say(static_cast<int>(ntohs(address.sin_port)));
  const int fd = ::accept(listening, nullptr, nullptr);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
  std::string piece(static_cast<size_t>(options.chunk_bytes), 'x');
  for (int i = 0; i < options.probes; ++i) {
    ::recv(fd, piece.data(), piece.size(), MSG_WAITALL);
    ::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL);
  }
  BareCosts costs;
  costs.round_trip = channel.Hear<Latency>();
  constexpr int kNumWrites = 20'000;
  const double before = CpuSeconds();
  for (int i = 0; i < kNumWrites; ++i) ::send(fd, piece.data(), piece.size(), MSG_NOSIGNAL);
  costs.write_us = (CpuSeconds() - before) / kNumWrites * 1e6;
  ::close(fd);
  ::close(listening);
  return costs;
}

int RunServer(const BenchOptions& options, Channel channel) {
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
  const BareCosts bare = MeasureBareSockets(options, channel);

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
  int ends[2];
  PHALANX_CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    RunClients(options, Channel(ends[1]));
    ::_exit(0);
  }
  ::close(ends[1]);
  const int result = RunServer(options, Channel(ends[0]));
  ::waitpid(child, nullptr, 0);
  return result;
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
