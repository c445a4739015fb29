#include "client/perplexity.h"

#include <algorithm>
#include <cmath>

namespace phalanx {

std::vector<Window> SlidingWindows(int64_t num_tokens, int64_t length, int64_t stride) {
  std::vector<Window> windows;
  if (num_tokens < 2) return windows;
  int64_t scored_to = 0;
  for (int64_t begin = 0; scored_to < num_tokens; begin += stride) {
    const int64_t end = std::min(begin + length, num_tokens);
    const int64_t first_scored = std::max(scored_to, begin + 1);
    // A last token that has a window to itself has nothing before it.
    if (first_scored < end) windows.push_back({begin, end, end - first_scored});
    scored_to = end;
  }
  return windows;
}

void LikelihoodSum::Add(double log_likelihood) {
  ++count_;
  sum_ += log_likelihood;
  sum_of_squares_ += log_likelihood * log_likelihood;
}

double LikelihoodSum::perplexity() const {
  return std::exp(negative_log_likelihood() / static_cast<double>(count_));
}

// By the delta method: the error of the mean, times the derivative of exp there.
double LikelihoodSum::standard_error() const {
  if (count_ < 2) return std::nan("");
  const auto n = static_cast<double>(count_);
  const double variance = std::max(0.0, (sum_of_squares_ - sum_ * sum_ / n) / (n - 1));
  return perplexity() * std::sqrt(variance / n);
}

}  // namespace phalanx
