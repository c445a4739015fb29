#include "coordinator/openai/common_fields.h"

#include <charconv>
#include <vector>

#include "coordinator/openai/structured_fields.h"
#include "coordinator/openai/unsupported.h"

namespace phalanx::openai {
namespace {

using v1::SamplingParams;

template <auto Setter>
Status ReadFloat(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const float value, field.Float());
  (call->sampling.*Setter)(value);
  return OkStatus();
}

template <auto Setter>
Status ReadInt(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const int32_t value, field.Int32());
  (call->sampling.*Setter)(value);
  return OkStatus();
}

template <auto Setter>
Status ReadBool(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  (call->sampling.*Setter)(value);
  return OkStatus();
}

template <auto Mutable>
Status ReadIdList(const JsonField& field, Call* call) {
  return ReadIds(field, (call->sampling.*Mutable)());
}

template <auto Member>
Status ReadText(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(call->*Member, field.String());
  return OkStatus();
}

// vLLM's meaning of -1: as if absent. Compared as JSON, 2^64 - 1 would equal it.
Status ReadSeed(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const uint64_t seed, field.Seed());
  const bool is_absent = !field.json().is_number_unsigned() && field.json() == -1;
  if (!is_absent) call->sampling.set_seed(seed);
  return OkStatus();
}

Status ReadPromptLogprobs(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const int32_t count, field.Int32());
  call->sampling.set_prompt_logprobs(count);
  return OkStatus();
}

Status ReadStop(const JsonField& field, Call* call) {
  if (field.json().is_string()) {
    call->sampling.add_stop(field.json().get<std::string>());
    return OkStatus();
  }
  PHALANX_RETURN_IF_ERROR(field.CheckArray("a string or a list of strings"));
  for (size_t i = 0; i < field.json().size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(*call->sampling.add_stop(), field.At(i).String());
  }
  return OkStatus();
}

Status ReadBadWords(const JsonField& field, Call* call) {
  PHALANX_RETURN_IF_ERROR(field.CheckArray("a list of strings"));
  for (size_t i = 0; i < field.json().size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(*call->sampling.add_bad_words(), field.At(i).String());
  }
  return OkStatus();
}

// The keys are token ids in decimal.
Status ReadLogitBias(const JsonField& field, Call* call) {
  PHALANX_RETURN_IF_ERROR(field.CheckObject("an object from token ids to numbers"));
  for (const auto& [key, value] : field.json().items()) {
    const JsonField entry = field.At(key);
    int32_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size()) {
      return InvalidField(entry.path(), "no token id", "token ids as keys");
    }
    PHALANX_ASSIGN_OR_RETURN(const float bias, entry.Float());
    if (!call->sampling.mutable_logit_bias()->insert({id, bias}).second) {
      return InvalidField(entry.path(), fmt::format("token {} again", id), "each token once");
    }
  }
  return OkStatus();
}

Status ReadStream(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(call->answer.stream, field.Bool());
  return OkStatus();
}

constexpr FieldRow<Call> kStreamOptionRows[] = {
    {"include_usage",
     [](const JsonField& field, Call* call) {
       PHALANX_ASSIGN_OR_RETURN(call->answer.include_usage, field.Bool());
       return OkStatus();
     }},
    {"continuous_usage_stats",
     [](const JsonField& field, Call* call) {
       PHALANX_ASSIGN_OR_RETURN(call->answer.continuous_usage_stats, field.Bool());
       return OkStatus();
     }},
    {"include_obfuscation", Accept<Call>},
};

Status ReadStreamOptions(const JsonField& field, Call* call) {
  PHALANX_RETURN_IF_ERROR(field.CheckObject("an object"));
  call->has_stream_options = true;
  PHALANX_RETURN_IF_ERROR(ReadFields<Call>(field, kStreamOptionRows, *call->unknown, call));
  call->answer.continuous_usage_stats &= call->answer.include_usage;  // as in vLLM
  return OkStatus();
}

Status ReadReturnTokenIds(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(call->answer.return_token_ids, field.Bool());
  return OkStatus();
}

Status ReadPriority(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(call->priority, field.Int32());
  return OkStatus();
}

Status ReadCacheSalt(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(call->cache_salt, field.String());
  return call->cache_salt.empty() ? field.Refuse("text that is not empty") : OkStatus();
}

Status ReadBestOf(const JsonField& field, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(call->best_of, field.Int32());
  return OkStatus();
}

Status CheckString(const JsonField& field, Call*) { return field.String().status(); }

constexpr FieldRow<Call> kRows[] = {
    {"model", ReadText<&Call::model>},
    {"frequency_penalty", ReadFloat<&SamplingParams::set_frequency_penalty>},
    {"presence_penalty", ReadFloat<&SamplingParams::set_presence_penalty>},
    {"repetition_penalty", ReadFloat<&SamplingParams::set_repetition_penalty>},
    {"temperature", ReadFloat<&SamplingParams::set_temperature>},
    {"top_p", ReadFloat<&SamplingParams::set_top_p>},
    {"top_k", ReadInt<&SamplingParams::set_top_k>},
    {"min_p", ReadFloat<&SamplingParams::set_min_p>},
    {"logit_bias", ReadLogitBias},
    {"allowed_token_ids", ReadIdList<&SamplingParams::mutable_allowed_token_ids>},
    {"bad_words", ReadBadWords},
    {"seed", ReadSeed},
    {"n", ReadInt<&SamplingParams::set_n>},
    {"best_of", ReadBestOf},
    {"max_tokens", ReadInt<&SamplingParams::set_max_tokens>},
    {"min_tokens", ReadInt<&SamplingParams::set_min_tokens>},
    {"stop", ReadStop},
    {"stop_token_ids", ReadIdList<&SamplingParams::mutable_stop_token_ids>},
    {"ignore_eos", ReadBool<&SamplingParams::set_ignore_eos>},
    {"include_stop_str_in_output", ReadBool<&SamplingParams::set_include_stop_str_in_output>},
    {"skip_special_tokens", ReadBool<&SamplingParams::set_skip_special_tokens>},
    {"prompt_logprobs", ReadPromptLogprobs},
    {"stream", ReadStream},
    {"stream_options", ReadStreamOptions},
    {"return_token_ids", ReadReturnTokenIds},
    {"priority", ReadPriority},
    {"request_id", ReadText<&Call::request_id>},
    {"cache_salt", ReadCacheSalt},
    // Known, without effect here.
    {"user", CheckString},
    {"metadata", Accept<Call>},
    {"store", Accept<Call>},
    {"service_tier", Accept<Call>},
    {"safety_identifier", Accept<Call>},
    {"prompt_cache_key", Accept<Call>},
    {"length_penalty", Accept<Call>},  // of beam search only
    {"session_id", CheckString},
    {"stream_interval", Accept<Call>},  // how vLLM cuts a stream; here a slow reader's pieces grow
    {"truncation_side", Accept<Call>},  // of truncate_prompt_tokens only
};

}  // namespace

std::span<const FieldRow<Call>> CommonRows() {
  static const std::vector<FieldRow<Call>> rows = [] {
    std::vector<FieldRow<Call>> all(std::begin(kRows), std::end(kRows));
    all.insert(all.end(), StructuredRows().begin(), StructuredRows().end());
    all.insert(all.end(), UnsupportedRows().begin(), UnsupportedRows().end());
    return all;
  }();
  return rows;
}

Status ReadIds(const JsonField& field, google::protobuf::RepeatedField<int32_t>* ids) {
  PHALANX_RETURN_IF_ERROR(field.CheckArray("a list of token ids"));
  for (size_t i = 0; i < field.json().size(); ++i) {
    if (!field.json()[i].is_number_integer()) return field.At(i).Refuse("a token id");
    PHALANX_ASSIGN_OR_RETURN(const int32_t id, field.At(i).Int32());
    ids->Add(id);
  }
  return OkStatus();
}

Status CheckCommon(const Call& call) {
  if (call.has_stream_options && !call.answer.stream) {
    return InvalidField("stream_options", "given", "nothing, unless stream is true");
  }
  if (call.answer.stream && call.sampling.has_prompt_logprobs()) {
    return InvalidField("prompt_logprobs", call.sampling.prompt_logprobs(),
                        "nothing where stream is true");
  }
  const int32_t n = call.sampling.has_n() ? call.sampling.n() : 1;
  if (call.best_of && *call.best_of != n) {
    return InvalidField("best_of", *call.best_of, fmt::format("n, which is {}", n));
  }
  return OkStatus();
}

}  // namespace phalanx::openai
