#include "bench/load_figures.h"

#include <algorithm>

namespace phalanx::bench {

double Quantile(std::vector<double> values, double fraction) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double position = fraction * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double weight = position - static_cast<double>(below);
  return values[below] * (1 - weight) + values[above] * weight;
}

double TokenSeconds(const LoadAnswer& answer, int output_tokens) {
  return (answer.total_s() - answer.first_token_s()) / std::max(output_tokens - 1, 1);
}

LoadFigures Summarize(const std::vector<LoadAnswer>& answers, const Window& window,
                      const GoodAnswer& good, int output_tokens) {
  constexpr int kTooManyRequests = 429;
  LoadFigures figures;
  std::vector<double> first_token_s, token_s, refusal_s, retry_after_s;
  int num_good = 0;
  for (const LoadAnswer& answer : answers) {
    if (answer.end < window.begin || answer.end >= window.end) continue;
    if (answer.http_status == kTooManyRequests) {
      refusal_s.push_back(answer.total_s());
      retry_after_s.push_back(answer.retry_after_s);
    } else if (!answer.is_complete) {
      ++figures.num_failed;
    } else {
      first_token_s.push_back(answer.first_token_s());
      token_s.push_back(TokenSeconds(answer, output_tokens));
      num_good += first_token_s.back() <= good.first_token_s && token_s.back() <= good.token_s;
    }
  }
  const auto per_second = [&](auto count) { return static_cast<double>(count) / window.seconds(); };
  figures.goodput = per_second(num_good);
  figures.throughput = per_second(first_token_s.size());
  figures.refused = per_second(refusal_s.size());
  figures.first_token_median_s = Quantile(first_token_s, 0.5);
  figures.first_token_p99_s = Quantile(first_token_s, 0.99);
  figures.token_median_s = Quantile(token_s, 0.5);
  figures.token_p99_s = Quantile(token_s, 0.99);
  figures.refusal_median_s = Quantile(refusal_s, 0.5);
  figures.refusal_p99_s = Quantile(refusal_s, 0.99);
  figures.retry_after_median_s = Quantile(retry_after_s, 0.5);
  figures.retry_after_max_s = Quantile(retry_after_s, 1);
  return figures;
}

nlohmann::ordered_json ToJson(const LoadFigures& figures) {
  return {{"goodput", figures.goodput},
          {"throughput", figures.throughput},
          {"refused", figures.refused},
          {"failed", figures.num_failed},
          {"first_token_median_s", figures.first_token_median_s},
          {"first_token_p99_s", figures.first_token_p99_s},
          {"token_median_s", figures.token_median_s},
          {"token_p99_s", figures.token_p99_s},
          {"refusal_median_s", figures.refusal_median_s},
          {"refusal_p99_s", figures.refusal_p99_s},
          {"retry_after_median_s", figures.retry_after_median_s},
          {"retry_after_max_s", figures.retry_after_max_s}};
}

}  // namespace phalanx::bench
