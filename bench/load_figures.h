// What a service made of a load: goodput, waits, refusals.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "bench/load_client.h"

namespace phalanx::bench {

// Linear between ranks; 0 of no values.
double Quantile(std::vector<double> values, double fraction);

// What makes an answer a good one.
struct GoodAnswer {
  double first_token_s = 2;
  double token_s = 0;  // at most, on average after the first
};

// Of an answer with so many tokens.
double TokenSeconds(const LoadAnswer& answer, int output_tokens);

struct Window {
  LoadClock::time_point begin;
  LoadClock::time_point end;
  double seconds() const { return std::chrono::duration<double>(end - begin).count(); }
};

struct LoadFigures {
  double goodput = 0;     // good answers a second
  double throughput = 0;  // answers a second
  double refused = 0;     // a second
  int num_failed = 0;     // neither answered nor refused with 429
  double first_token_median_s = 0, first_token_p99_s = 0;
  double token_median_s = 0, token_p99_s = 0;
  double refusal_median_s = 0, refusal_p99_s = 0;
  double retry_after_median_s = 0, retry_after_max_s = 0;
};

// Of what ended within the window.
LoadFigures Summarize(const std::vector<LoadAnswer>& answers, const Window& window,
                      const GoodAnswer& good, int output_tokens);
nlohmann::ordered_json ToJson(const LoadFigures& figures);

}  // namespace phalanx::bench
