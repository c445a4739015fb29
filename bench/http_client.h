// HTTP clients for benchmarks: plain blocking sockets on the loopback interface.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace phalanx::bench {

int Connect(int port);
void Send(int fd, std::string_view text);
std::string GetRequest(std::string_view path);
std::string PostRequest(std::string_view path, std::string_view json);
// Until the last chunk of a chunked body, or the connection's end.
void ReadAnswer(int fd);
// Reads a head and what its Content-Length says. The connection must be there.
void ReadShortAnswer(int fd);
// Reads from all until each had its last chunk.
void Drain(const std::vector<int>& connections);
void CloseAll(const std::vector<int>& connections);

struct Latency {
  double median_us = 0;
  double p99_us = 0;
};

// `times` in microseconds, at least one.
Latency LatencyOf(std::vector<double> times);

// From the call of `begin` to the first byte that is there, `count` times; `end` takes the rest.
template <typename Begin, typename End>
Latency MeasureFirstByte(int fd, int count, Begin begin, End end) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    const auto start = Clock::now();
    begin();
    char byte = 0;
    ::recv(fd, &byte, 1, MSG_PEEK);
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    end();
  }
  return LatencyOf(std::move(times));
}

}  // namespace phalanx::bench
