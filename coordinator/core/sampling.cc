#include "coordinator/core/sampling.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <unordered_set>

#include "coordinator/core/printable.h"
#include "coordinator/core/structured_output.h"
#include "text/utf8.h"

namespace phalanx {
namespace {

// Below it the softmax is a one-hot in float32 anyway; vLLM draws the line at the same place.
constexpr float kGreedyTemperature = 1e-5F;

// A logit is divided by it: below, a float32 can overflow, and the sum of the softmax is then NaN.
constexpr float kLeastRepetitionPenalty = 1e-6F;

enum class LowEnd { kAllowed, kExcluded };

struct FloatRule {
  std::string_view field;
  float low;
  float high;
  LowEnd low_end;
  std::string_view allowed;
};

Status CheckFloat(const FloatRule& rule, float value) {
  const bool above = rule.low_end == LowEnd::kAllowed ? value >= rule.low : value > rule.low;
  if (above && value <= rule.high) return OkStatus();  // NaN fails both
  return InvalidField(rule.field, value, rule.allowed);
}

Status CheckInt(std::string_view field, int32_t value, int32_t low, int32_t high) {
  if (value >= low && value <= high) return OkStatus();
  return InvalidField(field, value, fmt::format("an integer from {} to {}", low, high));
}

Status CheckCount(std::string_view field, int count, int32_t limit) {
  if (count <= limit) return OkStatus();
  return InvalidField(field, fmt::format("{} entries", count), fmt::format("at most {}", limit));
}

Status CheckTokenId(std::string_view field, int32_t id, int32_t vocab_size) {
  if (id >= 0 && id < vocab_size) return OkStatus();
  return InvalidField(field, id, fmt::format("a token id from 0 to {}", vocab_size - 1));
}

Status ResolveFilters(const v1::SamplingParams& request, const GenerationDefaults& defaults,
                      internal::ResolvedSampling* out) {
  out->set_temperature(request.has_temperature() ? request.temperature() : defaults.temperature);
  out->set_top_p(request.has_top_p() ? request.top_p() : defaults.top_p);
  out->set_min_p(request.has_min_p() ? request.min_p() : defaults.min_p);
  out->set_presence_penalty(request.presence_penalty());
  out->set_frequency_penalty(request.frequency_penalty());
  out->set_repetition_penalty(request.has_repetition_penalty() ? request.repetition_penalty()
                                                               : defaults.repetition_penalty);
  using enum LowEnd;
  const std::pair<FloatRule, float> floats[] = {
      {{"sampling.temperature", 0, 2, kAllowed, "a number from 0 to 2"}, out->temperature()},
      {{"sampling.top_p", 0, 1, kExcluded, "a number in (0, 1]"}, out->top_p()},
      {{"sampling.min_p", 0, 1, kAllowed, "a number from 0 to 1"}, out->min_p()},
      {{"sampling.presence_penalty", -2, 2, kAllowed, "a number from -2 to 2"},
       out->presence_penalty()},
      {{"sampling.frequency_penalty", -2, 2, kAllowed, "a number from -2 to 2"},
       out->frequency_penalty()},
      {{"sampling.repetition_penalty", kLeastRepetitionPenalty, 10, kAllowed,
        "a number from 0.000001 to 10"},
       out->repetition_penalty()},
  };
  for (const auto& [rule, value] : floats) PHALANX_RETURN_IF_ERROR(CheckFloat(rule, value));
  if (out->temperature() < kGreedyTemperature) out->set_temperature(0);

  const int32_t top_k = request.has_top_k() ? request.top_k() : defaults.top_k;
  if (top_k < -1) {
    return InvalidField("sampling.top_k", top_k, "an integer from 1, or 0 or -1 for no limit");
  }
  out->set_top_k(std::max(top_k, 0));
  return OkStatus();
}

Status ResolveTokenSets(const v1::SamplingParams& request, const ServedModel& model,
                        const Limits& limits, internal::ResolvedSampling* out) {
  const int32_t vocab_size = model.vocab_size();
  PHALANX_RETURN_IF_ERROR(CheckCount(
      "sampling.logit_bias", static_cast<int>(request.logit_bias().size()), limits.max_logit_bias));
  for (const auto& [id, bias] : request.logit_bias()) {
    PHALANX_RETURN_IF_ERROR(CheckTokenId("sampling.logit_bias", id, vocab_size));
    if (!(std::abs(bias) <= 100.0F)) {
      return InvalidField("sampling.logit_bias", fmt::format("{} for token {}", bias, id),
                          "a number from -100 to 100");
    }
  }
  *out->mutable_logit_bias() = request.logit_bias();

  for (const int32_t id : request.allowed_token_ids()) {
    PHALANX_RETURN_IF_ERROR(CheckTokenId("sampling.allowed_token_ids", id, vocab_size));
  }
  std::vector<int32_t> allowed(request.allowed_token_ids().begin(),
                               request.allowed_token_ids().end());
  std::sort(allowed.begin(), allowed.end());
  allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
  out->mutable_allowed_token_ids()->Add(allowed.begin(), allowed.end());

  PHALANX_RETURN_IF_ERROR(CheckCount("sampling.stop_token_ids", request.stop_token_ids_size(),
                                     limits.max_stop_token_ids));
  for (const int32_t id : request.stop_token_ids()) {
    PHALANX_RETURN_IF_ERROR(CheckTokenId("sampling.stop_token_ids", id, vocab_size));
  }
  const std::vector<int32_t>& eos = model.eos_token_ids();
  if (!request.ignore_eos()) out->mutable_eos_token_ids()->Add(eos.begin(), eos.end());
  std::vector<int32_t> stop(request.stop_token_ids().begin(), request.stop_token_ids().end());
  std::sort(stop.begin(), stop.end());
  stop.erase(std::unique(stop.begin(), stop.end()), stop.end());
  for (const int32_t id : stop) {
    const bool is_eos = !request.ignore_eos() && std::binary_search(eos.begin(), eos.end(), id);
    if (!is_eos) out->add_stop_token_ids(id);
  }
  return OkStatus();
}

Status CheckText(std::string_view field, std::string_view text, int32_t max_bytes) {
  if (text.empty()) {
    return InvalidField(field, "empty", fmt::format("1 to {} bytes of text", max_bytes));
  }
  if (text.size() > static_cast<size_t>(max_bytes)) {
    return InvalidField(field, fmt::format("{} bytes", text.size()),
                        fmt::format("1 to {} bytes of text", max_bytes));
  }
  if (const auto bad = FindInvalidUtf8(text)) {
    return InvalidField(field, fmt::format("no UTF-8 at byte {}", *bad), "UTF-8");
  }
  return OkStatus();
}

Status NeedsTokenizer(std::string_view field) {
  return InvalidField(field, "given", "nothing, since the served model has no tokenizer");
}

// A word is banned as it begins a text and as it follows a space, where that is one token sequence
// of the same length that begins with another token (vLLM's rule).
Status ResolveBadWords(const v1::SamplingParams& request, const ServedModel& model,
                       const Limits& limits, internal::ResolvedSampling* out) {
  PHALANX_RETURN_IF_ERROR(
      CheckCount("sampling.bad_words", request.bad_words_size(), limits.max_bad_words));
  for (int i = 0; i < request.bad_words_size(); ++i) {
    const std::string field = fmt::format("sampling.bad_words[{}]", i);
    if (model.tokenizer() == nullptr) return NeedsTokenizer(field);
    PHALANX_RETURN_IF_ERROR(CheckText(field, request.bad_words(i), limits.max_bad_word_bytes));
    std::string_view word = request.bad_words(i);
    word.remove_prefix(std::min(word.find_first_not_of(" \t\n\r"), word.size()));
    if (word.empty()) return InvalidField(field, "only spaces", "a word");
    constexpr EncodeOptions kPlain{.special_tokens = SpecialTokens::kOmit};
    PHALANX_ASSIGN_OR_RETURN(const std::vector<int32_t> bare,
                             model.tokenizer()->Encode(word, kPlain));
    PHALANX_ASSIGN_OR_RETURN(const std::vector<int32_t> spaced,
                             model.tokenizer()->Encode(fmt::format(" {}", word), kPlain));
    for (const std::vector<int32_t>* ids : {&bare, &spaced}) {
      if (ids == &spaced && (spaced.size() != bare.size() || spaced.front() == bare.front())) break;
      for (const int32_t id : *ids) {
        PHALANX_RETURN_IF_ERROR(CheckTokenId(field, id, model.vocab_size()));
      }
      out->add_bad_words()->mutable_token_ids()->Add(ids->begin(), ids->end());
    }
  }
  return OkStatus();
}

Status ResolveStop(const v1::SamplingParams& request, const ServedModel& model,
                   const Limits& limits, RequestParams* params) {
  PHALANX_RETURN_IF_ERROR(
      CheckCount("sampling.stop", request.stop_size(), limits.max_stop_strings));
  for (int i = 0; i < request.stop_size(); ++i) {
    const std::string field = fmt::format("sampling.stop[{}]", i);
    if (model.tokenizer() == nullptr) return NeedsTokenizer(field);
    PHALANX_RETURN_IF_ERROR(CheckText(field, request.stop(i), limits.max_stop_string_bytes));
    params->stop.push_back(request.stop(i));
  }
  params->stop_text = request.include_stop_str_in_output() ? StopText::kInclude : StopText::kDrop;
  return OkStatus();
}

// -1: none.
Status ResolveLogprobs(const v1::SamplingParams& request, const Limits& limits,
                       internal::ResolvedSampling* out) {
  if (request.has_logprobs()) {
    PHALANX_RETURN_IF_ERROR(
        CheckInt("sampling.logprobs", request.logprobs(), 0, limits.max_logprobs));
  }
  if (request.has_prompt_logprobs()) {
    PHALANX_RETURN_IF_ERROR(
        CheckInt("sampling.prompt_logprobs", request.prompt_logprobs(), 0, limits.max_logprobs));
  }
  out->set_logprobs(request.has_logprobs() ? request.logprobs() : -1);
  out->set_prompt_logprobs(request.has_prompt_logprobs() ? request.prompt_logprobs() : -1);
  return OkStatus();
}

// Refuses what would leave no token for the first step: a place in the queue and a prefill for
// nothing. Bad words of several tokens depend on what is generated.
Status CheckATokenIsLeft(const internal::ResolvedSampling& params) {
  if (params.allowed_token_ids().empty()) return OkStatus();
  std::unordered_set<int32_t> excluded;
  for (const internal::BadWord& word : params.bad_words()) {
    if (word.token_ids_size() == 1) excluded.insert(word.token_ids(0));
  }
  if (params.min_tokens() > 0) {
    excluded.insert(params.eos_token_ids().begin(), params.eos_token_ids().end());
    excluded.insert(params.stop_token_ids().begin(), params.stop_token_ids().end());
  }
  for (const int32_t id : params.allowed_token_ids()) {
    if (!excluded.contains(id)) return OkStatus();
  }
  return InvalidField("sampling.allowed_token_ids",
                      fmt::format("[{}]", fmt::join(params.allowed_token_ids(), ", ")),
                      "at least one id that neither sampling.bad_words nor, under "
                      "sampling.min_tokens, the end-of-sequence and stop ids exclude");
}

uint64_t DrawSeed() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

}  // namespace

StatusOr<RequestParams> ResolveSampling(const v1::SamplingParams& request, const ServedModel& model,
                                        const Limits& limits, DefaultMaxTokens default_max_tokens) {
  RequestParams params;
  params.default_max_tokens = default_max_tokens;
  params.echo = request.echo() ? Echo::kYes : Echo::kNo;
  params.special_tokens = request.has_skip_special_tokens() && !request.skip_special_tokens()
                              ? SpecialTokenText::kKeep
                              : SpecialTokenText::kSkip;
  PHALANX_RETURN_IF_ERROR(ResolveFilters(request, model.defaults(), &params.engine));
  PHALANX_RETURN_IF_ERROR(ResolveTokenSets(request, model, limits, &params.engine));
  PHALANX_RETURN_IF_ERROR(ResolveBadWords(request, model, limits, &params.engine));
  PHALANX_RETURN_IF_ERROR(ResolveStop(request, model, limits, &params));
  PHALANX_RETURN_IF_ERROR(ResolveLogprobs(request, limits, &params.engine));
  PHALANX_RETURN_IF_ERROR(ResolveStructuredOutput(request, model, limits, &params.engine));

  if (request.has_n()) {
    PHALANX_RETURN_IF_ERROR(CheckInt("sampling.n", request.n(), 1, limits.max_choices));
    params.num_choices = request.n();
  }
  constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
  PHALANX_RETURN_IF_ERROR(CheckInt("sampling.min_tokens", request.min_tokens(), 0, kMaxInt));
  params.engine.set_min_tokens(request.min_tokens());
  PHALANX_RETURN_IF_ERROR(CheckATokenIsLeft(params.engine));
  if (request.has_max_tokens()) {
    const int32_t low = params.echo == Echo::kYes ? 0 : 1;
    if (request.max_tokens() < low) {
      return InvalidField("sampling.max_tokens", request.max_tokens(),
                          "at least 1, or 0 together with echo");
    }
    params.max_tokens = request.max_tokens();
  } else if (model.defaults().max_new_tokens &&
             default_max_tokens == DefaultMaxTokens::kRestOfContext) {
    params.engine.set_max_tokens(*model.defaults().max_new_tokens);
  }
  params.engine.set_seed(request.has_seed() ? request.seed() : DrawSeed());
  return params;
}

Status FitToContext(int32_t num_prompt_tokens, int32_t max_model_len, RequestParams* params) {
  const int32_t asked = params->max_tokens.value_or(1);
  const int32_t room = max_model_len - num_prompt_tokens;
  if (room < 1) {
    return InvalidField("prompt", fmt::format("{} tokens", num_prompt_tokens),
                        fmt::format("at most {} tokens, so that one more fits the context of {}",
                                    max_model_len - 1, max_model_len));
  }
  if (params->max_tokens) {
    if (asked > room) {
      return InvalidField("sampling.max_tokens", asked,
                          fmt::format("at most {}: the context of {} tokens less the prompt's {}",
                                      room, max_model_len, num_prompt_tokens));
    }
    params->engine.set_max_tokens(asked);
  } else if (params->default_max_tokens == DefaultMaxTokens::kSixteen) {
    constexpr int32_t kDefault = 16;
    params->engine.set_max_tokens(std::min(std::max(kDefault, params->engine.min_tokens()), room));
  } else {
    const int32_t wanted = params->engine.max_tokens();  // the model's own limit; 0: none
    params->engine.set_max_tokens(wanted > 0 ? std::min(wanted, room) : room);
  }
  if (params->engine.min_tokens() > params->engine.max_tokens()) {
    return InvalidField("sampling.min_tokens", params->engine.min_tokens(),
                        fmt::format("at most max_tokens, {}", params->engine.max_tokens()));
  }
  return OkStatus();
}

}  // namespace phalanx
