// The figures of a serving benchmark, under the names that vLLM's serving benchmark made usual.
#pragma once

#include <nlohmann/json.hpp>
#include <vector>

#include "client/streamed_answer.h"

namespace phalanx {

// Mean, median, population standard deviation and 99th percentile (linear between ranks); zeros of
// no values.
struct Summary {
  double mean = 0, median = 0, std = 0, p99 = 0;
};

Summary Summarize(std::vector<double> values);

struct GoodputLimits {
  double ttft_ms = 2000;
  double tpot_ms = 0;  // 0: no limit
};

// request_throughput, request_goodput, output_throughput and mean_, median_, std_, p99_ of ttft_ms
// (first token), tpot_ms (time per token after the first, of a request), itl_ms (between two
// messages of a stream), e2el_ms (whole request). Answers that failed count as failed only.
nlohmann::ordered_json MakeBenchReport(const std::vector<StreamedAnswer>& answers,
                                       double duration_seconds, const GoodputLimits& limits);

}  // namespace phalanx
