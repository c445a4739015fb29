// In what order requests of different keys are served: start-time fair queueing (Goyal, Vin and
// Cheng 1996) over tokens. A key's next request starts, in virtual time, where its last one ended
// or where service is now; and it ends so many tokens later. Whoever has used less goes first,
// nobody saves up while idle, and a key alone is served in order of arrival.
//
// Pure. Not thread-safe.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>

namespace phalanx {

class FairShare {
 public:
  // The virtual start of a request of `tokens` so far.
  int64_t Enter(const std::string& key, int64_t tokens) {
    const int64_t start = NextStart(key);
    ends_[key] = start + tokens;
    return start;
  }
  // Where the key's next request would start.
  int64_t NextStart(const std::string& key) const {
    const auto end = ends_.find(key);
    return end == ends_.end() ? now_ : std::max(end->second, now_);
  }
  // It got so many tokens more than Enter knew of.
  void Charge(const std::string& key, int64_t tokens) { ends_[key] += tokens; }
  // The request that started at `start` is being served.
  void Served(int64_t start) { now_ = std::max(now_, start); }

 private:
  int64_t now_ = 0;
  std::unordered_map<std::string, int64_t> ends_;  // by key, whose number is the operator's
};

}  // namespace phalanx
