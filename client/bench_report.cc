#include "client/bench_report.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace phalanx {
namespace {

// `values` sorted and not empty; 0 <= fraction <= 1.
double Quantile(const std::vector<double>& values, double fraction) {
  const double position = fraction * static_cast<double>(values.size() - 1);
  const auto below = static_cast<size_t>(position);
  const size_t above = std::min(below + 1, values.size() - 1);
  const double weight = position - static_cast<double>(below);
  return values[below] * (1 - weight) + values[above] * weight;
}

}  // namespace

Summary Summarize(std::vector<double> values) {
  Summary summary;
  if (values.empty()) return summary;
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  summary.mean = std::accumulate(values.begin(), values.end(), 0.0) / count;
  double squares = 0;
  for (const double value : values) squares += (value - summary.mean) * (value - summary.mean);
  summary.std = std::sqrt(squares / count);
  summary.median = Quantile(values, 0.5);
  summary.p99 = Quantile(values, 0.99);
  return summary;
}

nlohmann::ordered_json MakeBenchReport(const std::vector<StreamedAnswer>& answers,
                                       double duration_seconds, const GoodputLimits& limits) {
  std::vector<double> ttft, tpot, itl, e2el;
  int64_t num_input_tokens = 0, num_output_tokens = 0;
  int num_good = 0;
  for (const StreamedAnswer& answer : answers) {
    if (!answer.status.ok() || answer.arrivals.empty()) continue;
    const int64_t num_tokens = answer.num_tokens();
    num_input_tokens += answer.response.usage().prompt_tokens();
    num_output_tokens += num_tokens;
    ttft.push_back(answer.ttft_ms());
    e2el.push_back(answer.e2el_ms());
    double per_token = 0;
    if (num_tokens > 1) {
      per_token = (answer.e2el_ms() - answer.ttft_ms()) / static_cast<double>(num_tokens - 1);
      tpot.push_back(per_token);
    }
    for (size_t i = 1; i < answer.arrivals.size(); ++i) {
      itl.push_back(
          std::chrono::duration<double, std::milli>(answer.arrivals[i] - answer.arrivals[i - 1])
              .count());
    }
    num_good +=
        answer.ttft_ms() <= limits.ttft_ms && (limits.tpot_ms <= 0 || per_token <= limits.tpot_ms);
  }
  const auto per_second = [&](auto count) { return static_cast<double>(count) / duration_seconds; };
  nlohmann::ordered_json report = {
      {"completed", ttft.size()},
      {"failed", answers.size() - ttft.size()},
      {"duration", duration_seconds},
      {"total_input_tokens", num_input_tokens},
      {"total_output_tokens", num_output_tokens},
      {"request_throughput", per_second(ttft.size())},
      {"request_goodput", per_second(num_good)},
      {"output_throughput", per_second(num_output_tokens)},
      {"total_token_throughput", per_second(num_input_tokens + num_output_tokens)}};
  const auto add = [&](const std::string& name, std::vector<double>& values) {
    const Summary summary = Summarize(std::move(values));
    report["mean_" + name] = summary.mean;
    report["median_" + name] = summary.median;
    report["std_" + name] = summary.std;
    report["p99_" + name] = summary.p99;
  };
  add("ttft_ms", ttft);
  add("tpot_ms", tpot);
  add("itl_ms", itl);
  add("e2el_ms", e2el);
  return report;
}

}  // namespace phalanx
