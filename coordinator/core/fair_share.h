// In what order requests of different keys are served: start-time fair queueing (Goyal, Vin and
// Cheng 1996) over tokens. A key's next request starts, in virtual time, where its last one ended
// or where service is now; and it ends so many tokens later: the prompt's, and for the answer as
// many as the key's answers have had lately, which is put right as the answer comes. Without that a
// key that asks for hundreds of answers at once would have them for the price of their prompts.
// Whoever has used less goes first, nobody saves up while idle, and a key alone is served in order
// of arrival.
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
  // Of the key among all that were seen; from 1.
  uint64_t Number(const std::string& key) {
    return numbers_.try_emplace(key, numbers_.size() + 1).first->second;
  }
  // What the key's next answer is likely to have, of `most` tokens; 0 before there were any
  // answers.
  int64_t ExpectedOutput(const std::string& key, int64_t most) const {
    const auto mean = mean_outputs_.find(key);
    const double expected = mean == mean_outputs_.end() ? mean_output_ : mean->second;
    return std::min(most, static_cast<int64_t>(expected));
  }
  // An answer of the key has ended.
  void LearnOutput(const std::string& key, int64_t tokens) {
    constexpr double kWeight = 0.1;
    const auto output = static_cast<double>(tokens);
    const auto [mean, is_first] = mean_outputs_.emplace(key, output);
    if (!is_first) mean->second += kWeight * (output - mean->second);
    mean_output_ += kWeight * (output - mean_output_);
  }
  // The virtual start of a request of `tokens` as far as is known.
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
  // It got so many tokens more than Enter was told; negative: fewer.
  void Charge(const std::string& key, int64_t tokens) { ends_[key] += tokens; }
  // The request that started at `start` is being served.
  void Served(int64_t start) { now_ = std::max(now_, start); }

 private:
  int64_t now_ = 0;
  // By key, whose number is the operator's.
  std::unordered_map<std::string, uint64_t> numbers_;
  std::unordered_map<std::string, int64_t> ends_;
  std::unordered_map<std::string, double> mean_outputs_;
  double mean_output_ = 0;  // of all keys
};

}  // namespace phalanx
