#include "client/bench_requests.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace phalanx {
namespace {

using Engine = std::mt19937_64;

std::uniform_int_distribution<int32_t> Lengths(int32_t tokens, double range_ratio) {
  constexpr double kMost = std::numeric_limits<int32_t>::max();
  const double low = std::floor(tokens * (1 - range_ratio));
  const double high = std::min(std::ceil(tokens * (1 + range_ratio)), kMost);
  return std::uniform_int_distribution<int32_t>(std::max(static_cast<int32_t>(low), 1),
                                                static_cast<int32_t>(high));
}

}  // namespace

std::vector<v1::GenerateRequest> MakeBenchRequests(const BenchLoad& load, int32_t vocab_size) {
  Engine engine(load.seed);
  std::uniform_int_distribution<int32_t> id(0, vocab_size - 1);
  auto prompt_length = Lengths(load.prompt_tokens, load.range_ratio);
  auto output_length = Lengths(load.output_tokens, load.range_ratio);
  std::vector<int32_t> prefix(static_cast<size_t>(load.prefix_tokens));
  for (int32_t& token : prefix) token = id(engine);
  std::vector<v1::GenerateRequest> requests(static_cast<size_t>(load.num_prompts));
  for (v1::GenerateRequest& request : requests) {
    auto& ids = *request.mutable_token_ids()->mutable_ids();
    ids.Assign(prefix.begin(), prefix.end());
    for (int32_t left = prompt_length(engine); left > 0; --left) ids.Add(id(engine));
    v1::SamplingParams& sampling = *request.mutable_sampling();
    sampling.set_max_tokens(output_length(engine));
    sampling.set_ignore_eos(true);
    sampling.set_temperature(static_cast<float>(load.temperature));
    sampling.set_seed(load.seed);
  }
  return requests;
}

}  // namespace phalanx
