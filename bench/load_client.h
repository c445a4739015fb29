// Many HTTP clients of a running service in one thread: each asks for a streamed completion and
// notes when its first token and its end came. Plain sockets and epoll, so that a thousand clients
// leave the cores to the service.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace phalanx::bench {

using LoadClock = std::chrono::steady_clock;

// One request and what came of it.
struct LoadAnswer {
  int client = 0;  // as Send was told
  LoadClock::time_point sent;
  LoadClock::time_point first_token;  // of a stream
  LoadClock::time_point end;
  int http_status = 0;       // 0: the connection broke
  bool is_complete = false;  // a stream that said [DONE]
  double retry_after_s = 0;  // 0: none was given

  double first_token_s() const;
  double total_s() const;
};

class LoadClient {
 public:
  explicit LoadClient(int port);
  ~LoadClient();
  LoadClient(const LoadClient&) = delete;
  LoadClient& operator=(const LoadClient&) = delete;

  // Over a connection that is idle, or a new one.
  void Send(int client, std::string_view request);
  // What has ended by `until`; returns sooner where something has.
  std::vector<LoadAnswer> Wait(LoadClock::time_point until);
  size_t num_open() const { return open_.size(); }

 private:
  struct Exchange {
    LoadAnswer answer;
    std::string head;  // of the answer, and of one that is no stream also its body
    std::string tail;  // the last bytes of a stream
    bool has_head = false;
    size_t expected_bytes = 0;  // of one that is no stream, with its head
  };
  enum class Progress { kMore, kEnded, kBroken };

  Progress Read(int fd, Exchange& exchange);
  static Progress Take(std::string_view bytes, Exchange& exchange);

  const int port_;
  const int epoll_;
  std::vector<int> idle_;
  std::unordered_map<int, Exchange> open_;
};

// A completion over `prompt_tokens` random ids, so that no prefix is shared. Its tokens come as
// ids, too, since random ones may have no text for a while. `key` may be empty.
struct LoadShape {
  int prompt_tokens = 32;
  int output_tokens = 32;
  int vocab_size = 0;
};
std::string CompletionRequest(const LoadShape& shape, std::string_view key, uint64_t seed);

}  // namespace phalanx::bench
