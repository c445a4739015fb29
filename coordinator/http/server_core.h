// What all connections of a server share, whatever their loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "coordinator/http/exchange.h"
#include "coordinator/http/server_options.h"

namespace phalanx::http {

// Thread-safe. How many connections there are, those included that are only being turned away.
class ConnectionCount {
 public:
  size_t value() const { return count_.load(std::memory_order_relaxed); }
  void Add() { ++count_; }
  void Remove() {
    if (--count_ > 0) return;
    std::lock_guard lock(mu_);  // so that no waiter is between its test and its sleep
    none_left_.notify_all();
  }
  // False: some were left at the deadline.
  bool WaitUntilNone(std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mu_);
    return none_left_.wait_until(lock, deadline, [this] { return count_ == 0; });
  }

 private:
  std::atomic<size_t> count_ = 0;
  std::mutex mu_;
  std::condition_variable none_left_;
};

// Thread-safe. How many connections each address has.
class AddressCounts {
 public:
  // The count with this one.
  size_t Add(const std::string& address) {
    const std::lock_guard lock(mu_);
    return ++counts_[address];
  }
  void Remove(const std::string& address) {
    const std::lock_guard lock(mu_);
    const auto found = counts_.find(address);
    if (--found->second == 0) counts_.erase(found);
  }

 private:
  std::mutex mu_;
  std::unordered_map<std::string, size_t> counts_;  // guarded by mu_
};

struct ServerCore {
  ServerCore(ServerOptions the_options, std::shared_ptr<Handler> the_handler)
      : options(std::move(the_options)), handler(std::move(the_handler)) {}

  const ServerOptions options;
  const std::shared_ptr<Handler> handler;
  ConnectionCount connections;
  AddressCounts addresses;
  std::atomic<size_t> body_bytes = 0;  // of max_body_memory_bytes
};

}  // namespace phalanx::http
