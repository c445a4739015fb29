#include "worker/engine_wire.h"

#include <algorithm>
#include <utility>

namespace phalanx {
namespace {

template <typename Repeated>
std::vector<int32_t> ToVector(const Repeated& values) {
  return {values.begin(), values.end()};
}

template <typename Repeated>
std::vector<int32_t> ToSortedSet(const Repeated& values) {
  std::vector<int32_t> ids(values.begin(), values.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

internal::EngineFinish ToWire(FinishReason finish) {
  switch (finish) {
    case FinishReason::kNone:
      return internal::ENGINE_FINISH_NONE;
    case FinishReason::kEos:
      return internal::ENGINE_FINISH_EOS;
    case FinishReason::kStopToken:
      return internal::ENGINE_FINISH_STOP_TOKEN;
    case FinishReason::kLength:
      return internal::ENGINE_FINISH_LENGTH;
    case FinishReason::kCancelled:
      return internal::ENGINE_FINISH_CANCELLED;
  }
  return internal::ENGINE_FINISH_ERROR;
}

void ToWire(const TokenLogprobs& logprobs, internal::TokenInfo& out) {
  out.set_token_id(logprobs.token_id);
  out.set_logprob(logprobs.logprob);
  out.set_rank(logprobs.rank);
  for (const TokenAlternative& alternative : logprobs.top) {
    internal::Alternative& top = *out.add_top();
    top.set_token_id(alternative.token_id);
    top.set_logprob(alternative.logprob);
  }
}

}  // namespace

EngineRequest FromWire(internal::Submit submit) {
  const internal::ResolvedSampling& sampling = submit.sampling();
  EngineRequest request;
  request.id = submit.request();
  request.group = submit.group();
  request.prompt_ids = ToVector(submit.prompt_ids());
  request.emitted_ids = ToVector(submit.emitted_ids());
  request.priority = submit.priority();
  request.fair_start = submit.fair_start();
  request.share = submit.share();
  request.cache_salt = submit.cache_salt();
  SamplingParams& params = request.params;
  params.temperature = sampling.temperature();
  params.top_k = sampling.top_k();
  params.top_p = sampling.top_p();
  params.min_p = sampling.min_p();
  params.presence_penalty = sampling.presence_penalty();
  params.frequency_penalty = sampling.frequency_penalty();
  params.repetition_penalty = sampling.repetition_penalty();
  params.logit_bias.assign(sampling.logit_bias().begin(), sampling.logit_bias().end());
  std::sort(params.logit_bias.begin(), params.logit_bias.end());
  params.allowed_token_ids = ToSortedSet(sampling.allowed_token_ids());
  for (const internal::BadWord& word : sampling.bad_words()) {
    params.bad_words.push_back(ToVector(word.token_ids()));
  }
  params.seed = sampling.seed();
  params.choice = static_cast<uint32_t>(sampling.choice());
  params.max_tokens = sampling.max_tokens();
  params.min_tokens = sampling.min_tokens();
  params.stop_token_ids = ToSortedSet(sampling.stop_token_ids());
  params.eos_token_ids = ToSortedSet(sampling.eos_token_ids());
  params.logprobs = sampling.logprobs();
  params.prompt_logprobs = sampling.prompt_logprobs();
  return request;
}

std::optional<GrammarSpec> GrammarFromWire(const internal::ResolvedSampling& sampling) {
  if (!sampling.has_grammar()) return std::nullopt;
  const internal::Grammar& grammar = sampling.grammar();
  GrammarSpec spec{.source = grammar.source(),
                   .choices = {grammar.choices().begin(), grammar.choices().end()}};
  switch (grammar.kind()) {
    case internal::GRAMMAR_KIND_JSON_SCHEMA:
      spec.kind = GrammarSpec::Kind::kJsonSchema;
      break;
    case internal::GRAMMAR_KIND_REGEX:
      spec.kind = GrammarSpec::Kind::kRegex;
      break;
    case internal::GRAMMAR_KIND_CHOICE:
      spec.kind = GrammarSpec::Kind::kChoice;
      break;
    case internal::GRAMMAR_KIND_EBNF:
      spec.kind = GrammarSpec::Kind::kEbnf;
      break;
    case internal::GRAMMAR_KIND_STRUCTURAL_TAG:
      spec.kind = GrammarSpec::Kind::kStructuralTag;
      break;
    default:
      spec.kind = GrammarSpec::Kind::kJsonObject;
  }
  return spec;
}

internal::RequestOutput ToWire(const EngineOutput& output) {
  if (!output.status.ok()) return ErrorOutput(output.token.request, output.status);
  internal::RequestOutput wire;
  wire.set_request(output.token.request);
  wire.set_first_index(output.token.index);
  internal::TokenInfo& token = *wire.add_tokens();
  ToWire(output.logprobs, token);
  token.set_token_id(output.token.token_id);
  wire.set_finish(ToWire(output.token.finish));
  if (output.token.finish == FinishReason::kStopToken) {
    wire.set_stop_token_id(output.token.token_id);
  }
  wire.set_cached_tokens(output.token.cached_tokens);
  wire.set_queue_ns(output.queue_ns);
  wire.set_prefill_ns(output.prefill_ns);
  for (const TokenLogprobs& logprobs : output.prompt) ToWire(logprobs, *wire.add_prompt());
  return wire;
}

internal::RequestOutput ErrorOutput(uint64_t request, const Status& status) {
  internal::RequestOutput wire;
  wire.set_request(request);
  wire.set_finish(internal::ENGINE_FINISH_ERROR);
  wire.set_error(status.message());
  wire.set_error_code(static_cast<int32_t>(status.code()));
  wire.set_error_field(status.field());
  return wire;
}

internal::EngineStats ToWire(const SchedulerStats& stats, std::span<const RankStats> ranks,
                             uint64_t last_step) {
  internal::EngineStats wire;
  wire.set_last_step(last_step);
  wire.set_num_running(stats.num_running);
  wire.set_num_waiting(stats.num_waiting);
  wire.set_num_free_blocks(stats.num_free_blocks);
  wire.set_num_cached_blocks(stats.num_cached_blocks);
  wire.set_num_places(stats.num_places);
  wire.set_num_preemptions(stats.num_preemptions);
  wire.set_num_made_way(stats.num_made_way);
  wire.set_prefix_cache_queries(stats.prefix_cache_queries);
  wire.set_prefix_cache_hits(stats.prefix_cache_hits);
  for (const RankStats& rank : ranks) {
    internal::RankStats& out = *wire.add_ranks();
    out.set_rank(rank.rank);
    out.set_steps(rank.steps);
    out.set_step_ns(rank.step_ns);
    out.set_collective_ns(rank.collective_ns);
    out.set_resident_bytes(rank.resident_bytes);
    out.set_kv_cache_bytes(rank.kv_cache_bytes);
    if (!rank.device) continue;
    out.mutable_device()->set_reserved_bytes(rank.device->reserved_bytes);
    out.mutable_device()->set_free_bytes(rank.device->free_bytes);
  }
  internal::StepTokens& steps = *wire.mutable_step_tokens();
  steps.mutable_bounds()->Add(kStepTokenBounds.begin(), kStepTokenBounds.end());
  steps.mutable_counts()->Add(stats.step_tokens.counts.begin(), stats.step_tokens.counts.end());
  steps.set_sum(stats.step_tokens.sum);
  return wire;
}

}  // namespace phalanx
