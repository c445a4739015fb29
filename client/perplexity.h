// Perplexity of a text: exp of the mean negative log-likelihood of its tokens (Jelinek, Mercer,
// Bahl and Baker 1977), each token with the context that a sliding window leaves it.
#pragma once

#include <cstdint>
#include <vector>

namespace phalanx {

// Tokens [begin, end) of the text, the last num_scored of which count.
struct Window {
  int64_t begin = 0;
  int64_t end = 0;
  int64_t num_scored = 0;
};

// Windows of at most `length` tokens, each `stride` behind the one before, up to the one that holds
// the last token. No token counts twice; those without a token before them in their window do not
// count: the first one, and with stride == length the first one of each window. length: at least 2;
// stride: 1 to length. Fewer than 2 tokens: no window.
std::vector<Window> SlidingWindows(int64_t num_tokens, int64_t length, int64_t stride);

// Sums log-likelihoods, natural logarithms, in double.
class LikelihoodSum {
 public:
  void Add(double log_likelihood);

  int64_t count() const { return count_; }
  double negative_log_likelihood() const { return -sum_; }
  double perplexity() const;  // NaN of nothing
  // Of the perplexity, were the tokens independent of each other; NaN of fewer than two.
  double standard_error() const;

 private:
  int64_t count_ = 0;
  double sum_ = 0;
  double sum_of_squares_ = 0;
};

}  // namespace phalanx
