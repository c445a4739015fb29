#include "bench/load_client.h"

#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <random>

#include "bench/http_client.h"
#include "kernels/base/check.h"

namespace phalanx::bench {
namespace {

double NumberAfter(std::string_view text, std::string_view name) {
  const size_t at = text.find(name);
  if (at == std::string_view::npos) return 0;
  double number = 0;
  std::from_chars(text.data() + at + name.size(), text.data() + text.size(), number);
  return number;
}

double SecondsBetween(LoadClock::time_point begin, LoadClock::time_point end) {
  return std::chrono::duration<double>(end - begin).count();
}

}  // namespace

double LoadAnswer::first_token_s() const { return SecondsBetween(sent, first_token); }
double LoadAnswer::total_s() const { return SecondsBetween(sent, end); }

LoadClient::LoadClient(int port) : port_(port), epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  PHALANX_CHECK(epoll_ >= 0);
}

LoadClient::~LoadClient() {
  CloseAll(idle_);
  for (const auto& [fd, exchange] : open_) ::close(fd);
  ::close(epoll_);
}

void LoadClient::Send(int client, std::string_view request) {
  int fd = -1;
  if (idle_.empty()) {
    fd = Connect(port_);
    epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
    PHALANX_CHECK(::epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event) == 0);
  } else {
    fd = idle_.back();
    idle_.pop_back();
  }
  Exchange& exchange = open_[fd];
  exchange.answer.client = client;
  exchange.answer.sent = LoadClock::now();
  bench::Send(fd, request);
}

std::vector<LoadAnswer> LoadClient::Wait(LoadClock::time_point until) {
  std::vector<LoadAnswer> ended;
  while (ended.empty()) {
    const auto left = until - LoadClock::now();
    if (left <= LoadClock::duration::zero()) return ended;
    const auto left_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(left).count();
    constexpr int64_t kSecond = 1'000'000'000;
    const timespec timeout{.tv_sec = left_ns / kSecond, .tv_nsec = left_ns % kSecond};
    epoll_event events[256];
    const int ready = ::epoll_pwait2(epoll_, events, 256, &timeout, nullptr);
    for (int i = 0; i < ready; ++i) {
      const int fd = events[i].data.fd;
      const auto found = open_.find(fd);
      if (found == open_.end()) {  // an idle one that the server closed
        std::erase(idle_, fd);
        ::close(fd);
        continue;
      }
      const Progress progress = Read(fd, found->second);
      if (progress == Progress::kMore) continue;
      found->second.answer.end = LoadClock::now();
      if (progress == Progress::kBroken) found->second.answer.http_status = 0;
      ended.push_back(found->second.answer);
      open_.erase(found);
      if (progress == Progress::kEnded) {
        idle_.push_back(fd);
      } else {
        ::close(fd);
      }
    }
  }
  return ended;
}

LoadClient::Progress LoadClient::Read(int fd, Exchange& exchange) {
  char bytes[16'384];
  const ssize_t count = ::recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
  if (count < 0 && errno == EAGAIN) return Progress::kMore;
  if (count <= 0) return Progress::kBroken;
  return Take({bytes, static_cast<size_t>(count)}, exchange);
}

LoadClient::Progress LoadClient::Take(std::string_view bytes, Exchange& exchange) {
  LoadAnswer& answer = exchange.answer;
  if (!exchange.has_head) {
    exchange.head += bytes;
    const size_t end = exchange.head.find("\r\n\r\n");
    if (end == std::string::npos) return Progress::kMore;
    exchange.has_head = true;
    const std::string_view head(exchange.head.data(), end);
    answer.http_status = static_cast<int>(NumberAfter(head, "HTTP/1.1 "));
    answer.retry_after_s = NumberAfter(head, "Retry-After: ");
    const size_t begin = end + 4;
    if (head.find("Content-Length: ") != std::string_view::npos) {
      exchange.expected_bytes = begin + static_cast<size_t>(NumberAfter(head, "Content-Length: "));
    }
    bytes = std::string_view(exchange.head).substr(begin);
  } else if (exchange.expected_bytes > 0) {
    exchange.head += bytes;
  }
  if (exchange.expected_bytes > 0) {
    return exchange.head.size() < exchange.expected_bytes ? Progress::kMore : Progress::kEnded;
  }
  if (bytes.empty()) return Progress::kMore;
  if (answer.first_token == LoadClock::time_point{}) answer.first_token = LoadClock::now();
  constexpr std::string_view kEnd = "\r\n0\r\n\r\n";
  constexpr std::string_view kDone = "data: [DONE]\n\n";
  exchange.tail += bytes;
  const size_t kept = std::min(exchange.tail.size(), kEnd.size() + kDone.size());
  exchange.tail.erase(0, exchange.tail.size() - kept);
  if (!exchange.tail.ends_with(kEnd)) return Progress::kMore;
  answer.is_complete = exchange.tail.find(kDone) != std::string::npos;
  return Progress::kEnded;
}

std::string CompletionRequest(const LoadShape& shape, std::string_view key, uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::uniform_int_distribution<int> id(0, shape.vocab_size - 1);
  std::string ids = fmt::format("{}", id(engine));
  for (int i = 1; i < shape.prompt_tokens; ++i) ids += fmt::format(",{}", id(engine));
  const std::string body = fmt::format(
      R"({{"prompt":[{}],"max_tokens":{},"temperature":0,"ignore_eos":true,"return_token_ids":true,"stream":true}})",
      ids, shape.output_tokens);
  const std::string authorization =
      key.empty() ? "" : fmt::format("Authorization: Bearer {}\r\n", key);
  return fmt::format(
      "POST /v1/completions HTTP/1.1\r\nHost: bench\r\n{}Content-Type: application/json\r\n"
      "Content-Length: {}\r\n\r\n{}",
      authorization, body.size(), body);
}

}  // namespace phalanx::bench
