#include "worker/sampling_params.h"

#include <cmath>
#include <span>

#include "kernels/adjust_logits.h"

namespace phalanx {
namespace {

Status CheckId(std::string_view field, int32_t id, int32_t vocab_size) {
  if (id >= 0 && id < vocab_size) return OkStatus();
  return InvalidField(field, id, fmt::format("token ids from 0 to {}", vocab_size - 1));
}

Status CheckAscendingIds(std::string_view field, std::span<const int32_t> ids, int32_t vocab_size) {
  for (size_t i = 0; i < ids.size(); ++i) {
    PHALANX_RETURN_IF_ERROR(CheckId(field, ids[i], vocab_size));
    if (i > 0 && ids[i] <= ids[i - 1]) {
      return InvalidField(field, ids[i], fmt::format("an id above {} before it", ids[i - 1]));
    }
  }
  return OkStatus();
}

Status CheckFinite(std::string_view field, float value) {
  if (std::isfinite(value)) return OkStatus();
  return InvalidField(field, value, "a finite number");
}

Status ValidateFloats(const SamplingParams& params) {
  if (!(std::isfinite(params.temperature) && params.temperature >= 0)) {
    return InvalidField("temperature", params.temperature, "a finite number >= 0");
  }
  if (!(params.top_p > 0 && params.top_p <= 1)) {
    return InvalidField("top_p", params.top_p, "above 0, at most 1");
  }
  if (!(params.min_p >= 0 && params.min_p <= 1)) {
    return InvalidField("min_p", params.min_p, "from 0 to 1");
  }
  PHALANX_RETURN_IF_ERROR(CheckFinite("presence_penalty", params.presence_penalty));
  PHALANX_RETURN_IF_ERROR(CheckFinite("frequency_penalty", params.frequency_penalty));
  if (!(std::isfinite(params.repetition_penalty) && params.repetition_penalty > 0)) {
    return InvalidField("repetition_penalty", params.repetition_penalty, "a finite number > 0");
  }
  return OkStatus();
}

Status ValidateIds(const SamplingParams& params, int32_t vocab_size) {
  if (params.logit_bias.size() > size_t{kMaxBiases}) {
    return InvalidField("logit_bias", fmt::format("{} entries", params.logit_bias.size()),
                        fmt::format("up to {}", kMaxBiases));
  }
  for (size_t i = 0; i < params.logit_bias.size(); ++i) {
    const auto& [id, bias] = params.logit_bias[i];
    PHALANX_RETURN_IF_ERROR(CheckId("logit_bias", id, vocab_size));
    PHALANX_RETURN_IF_ERROR(CheckFinite("logit_bias", bias));
    if (i > 0 && id <= params.logit_bias[i - 1].first) {
      return InvalidField("logit_bias", id, "ids in ascending order, each once");
    }
  }
  PHALANX_RETURN_IF_ERROR(
      CheckAscendingIds("allowed_token_ids", params.allowed_token_ids, vocab_size));
  for (const std::vector<int32_t>& word : params.bad_words) {
    if (word.empty()) return InvalidField("bad_words", "an empty sequence", "at least one token");
    for (int32_t id : word) PHALANX_RETURN_IF_ERROR(CheckId("bad_words", id, vocab_size));
  }
  PHALANX_RETURN_IF_ERROR(CheckAscendingIds("stop_token_ids", params.stop_token_ids, vocab_size));
  return CheckAscendingIds("eos_token_ids", params.eos_token_ids, vocab_size);
}

Status CheckLogprobs(std::string_view field, int32_t value) {
  if (value >= -1 && value <= kMaxLogprobs) return OkStatus();
  return InvalidField(field, value, fmt::format("-1 (none) to {}", kMaxLogprobs));
}

}  // namespace

Status Validate(const SamplingParams& params, int32_t vocab_size) {
  PHALANX_RETURN_IF_ERROR(ValidateFloats(params));
  PHALANX_RETURN_IF_ERROR(ValidateIds(params, vocab_size));
  if (params.top_k < 0) return InvalidField("top_k", params.top_k, "0 (off) or more");
  if (params.max_tokens < 1) return InvalidField("max_tokens", params.max_tokens, "1 or more");
  if (params.min_tokens < 0 || params.min_tokens > params.max_tokens) {
    return InvalidField("min_tokens", params.min_tokens,
                        fmt::format("0 to max_tokens, which is {}", params.max_tokens));
  }
  PHALANX_RETURN_IF_ERROR(CheckLogprobs("logprobs", params.logprobs));
  return CheckLogprobs("prompt_logprobs", params.prompt_logprobs);
}

}  // namespace phalanx
