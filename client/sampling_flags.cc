#include "client/sampling_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "client/json_integer.h"
#include "client/number_flag.h"
#include "client/structured_output.h"

namespace phalanx {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

const std::map<std::string_view, const char*>& Help() {
  static const std::map<std::string_view, const char*> help = {
      {"temperature", "0..2; 0 takes the most likely token"},
      {"top_k", "keep the k most likely tokens; 0 or -1: all"},
      {"top_p", "keep the most likely tokens up to this mass, (0, 1]"},
      {"min_p", "drop tokens below this fraction of the largest probability, [0, 1]"},
      {"presence_penalty", "-2..2, once for each token that was generated"},
      {"frequency_penalty", "-2..2, for each time that a token was generated"},
      {"repetition_penalty", "0.000001 to 10, for tokens of prompt and answer"},
      {"logit_bias", "ID=BIAS, added to the token's logit; may be repeated"},
      {"allowed_token_ids", "ids, comma-separated: nothing else is generated"},
      {"bad_words", "never generated; may be repeated"},
      {"seed", "same seed, same answer; without it the server draws one"},
      {"n", "number of answers"},
      {"max_tokens", "at most so many tokens an answer"},
      {"min_tokens", "no end before so many tokens"},
      {"stop", "end at this string; may be repeated"},
      {"stop_token_ids", "ids, comma-separated: end at any of them"},
      {"ignore_eos", "go on after the end-of-sequence token"},
      {"include_stop_str_in_output", "keep the stop string in the text"},
      {"skip_special_tokens", "leave special tokens out of the text (default)"},
      {"logprobs", "log-probabilities of so many alternatives, 0..20"},
      {"prompt_logprobs", "likewise for the prompt's tokens"},
      {"echo", "the prompt comes first in the text"},
  };
  return help;
}

Status WrongType(const FieldDescriptor& field, const nlohmann::json& value,
                 std::string_view wanted) {
  return InvalidField(field.name(),
                      value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace), wanted);
}

bool FitsFloat(const nlohmann::json& value) {
  return value.is_number() &&
         std::abs(value.get<double>()) <= double{std::numeric_limits<float>::max()};
}

Status SetScalar(const FieldDescriptor& field, const nlohmann::json& value,
                 v1::SamplingParams& params) {
  const auto& reflection = *params.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_FLOAT:
      if (!FitsFloat(value)) return WrongType(field, value, "a number of 32 bits");
      reflection.SetFloat(&params, &field, value.get<float>());
      return OkStatus();
    case FieldDescriptor::CPPTYPE_INT32: {
      const auto number = ToInteger<int32_t>(value);
      if (!number) return WrongType(field, value, "an integer of 32 bits");
      reflection.SetInt32(&params, &field, *number);
      return OkStatus();
    }
    case FieldDescriptor::CPPTYPE_UINT64: {
      const auto number = ToInteger<uint64_t>(value);
      if (!number) return WrongType(field, value, "an integer of 64 bits, not negative");
      reflection.SetUInt64(&params, &field, *number);
      return OkStatus();
    }
    default:
      PHALANX_CHECK_EQ(static_cast<int>(field.cpp_type()),
                       static_cast<int>(FieldDescriptor::CPPTYPE_BOOL));
      if (!value.is_boolean()) return WrongType(field, value, "true or false");
      reflection.SetBool(&params, &field, value.get<bool>());
      return OkStatus();
  }
}

// Replaces the list. One string stands for a list of one, as in OpenAI's `stop`.
Status SetList(const FieldDescriptor& field, const nlohmann::json& value,
               v1::SamplingParams& params) {
  const auto& reflection = *params.GetReflection();
  const bool strings = field.cpp_type() == FieldDescriptor::CPPTYPE_STRING;
  const nlohmann::json list = strings && value.is_string() ? nlohmann::json::array({value}) : value;
  const char* wanted = strings ? "a list of strings" : "a list of token ids";
  if (!list.is_array()) return WrongType(field, value, wanted);
  reflection.ClearField(&params, &field);
  for (const nlohmann::json& item : list) {
    if (strings && item.is_string()) {
      reflection.AddString(&params, &field, item.get<std::string>());
    } else if (const auto id = ToInteger<int32_t>(item); !strings && id) {
      reflection.AddInt32(&params, &field, *id);
    } else {
      return WrongType(field, item, wanted);
    }
  }
  return OkStatus();
}

Status SetLogitBias(const FieldDescriptor& field, const nlohmann::json& value,
                    v1::SamplingParams& params) {
  constexpr const char* kWanted = "an object of token id to number, e.g. {\"42\": -1.5}";
  if (!value.is_object()) return WrongType(field, value, kWanted);
  params.clear_logit_bias();
  for (const auto& [key, bias] : value.items()) {
    const auto ids = ParseTokenIds(key, field.name());
    if (!ids.ok() || ids->size() != 1 || !FitsFloat(bias)) return WrongType(field, value, kWanted);
    (*params.mutable_logit_bias())[ids->front()] = bias.get<float>();
  }
  return OkStatus();
}

template <typename Number>
void AddNumberFlag(CLI::App& app, const std::string& flag, std::function<void(Number)> set,
                   const char* help) {
  AddNumber<Number>(app, flag, {}, std::move(set), help);
}

void AddScalarFlag(CLI::App& app, const std::string& flag, const FieldDescriptor& field,
                   v1::SamplingParams& params, const char* help) {
  const auto& reflection = *params.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_FLOAT:
      AddNumberFlag<float>(
          app, flag, [&](float value) { reflection.SetFloat(&params, &field, value); }, help);
      return;
    case FieldDescriptor::CPPTYPE_INT32:
      AddNumberFlag<int32_t>(
          app, flag, [&](int32_t value) { reflection.SetInt32(&params, &field, value); }, help);
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      AddNumberFlag<uint64_t>(
          app, flag, [&](uint64_t value) { reflection.SetUInt64(&params, &field, value); }, help);
      return;
    default:
      app.add_flag_function(
          flag + ",!--no-" + flag.substr(2),
          [&](int64_t count) { reflection.SetBool(&params, &field, count > 0); }, help);
  }
}

// "ID=BIAS" or "ID:BIAS".
Status AddLogitBias(const std::string& flag, const std::string& text, v1::SamplingParams& params) {
  const size_t cut = text.find_first_of("=:");
  if (cut == std::string::npos) return InvalidField(flag, fmt::format("'{}'", text), "ID=BIAS");
  PHALANX_ASSIGN_OR_RETURN(const auto id, ParseNumber<int32_t>(flag, text.substr(0, cut), {}));
  PHALANX_ASSIGN_OR_RETURN(const auto bias, ParseNumber<float>(flag, text.substr(cut + 1), {}));
  (*params.mutable_logit_bias())[id] = bias;
  return OkStatus();
}

// An empty list would silently mean "all".
Status AddTokenIds(const std::string& flag, const std::string& text, const FieldDescriptor& field,
                   v1::SamplingParams& params) {
  PHALANX_ASSIGN_OR_RETURN(const auto ids, ParseTokenIds(text, flag));
  if (ids.empty()) return InvalidField(flag, fmt::format("'{}'", text), "at least one token id");
  for (const int32_t id : ids) params.GetReflection()->AddInt32(&params, &field, id);
  return OkStatus();
}

void AddListFlag(CLI::App& app, const std::string& flag, const FieldDescriptor& field,
                 v1::SamplingParams& params, const char* help) {
  const auto add = [&params, &field, flag](const std::string& value) {
    if (field.is_map()) return AddLogitBias(flag, value, params);
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_INT32)
      return AddTokenIds(flag, value, field, params);
    params.GetReflection()->AddString(&params, &field, value);
    return OkStatus();
  };
  app.add_option_function<std::vector<std::string>>(
         flag,
         [add](const std::vector<std::string>& values) {
           for (const std::string& value : values) ThrowIfWrong(add(value));
         },
         help)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

// The one field with an inside of its own.
bool IsStructuredOutputs(const FieldDescriptor& field) {
  return field.number() == v1::SamplingParams::kStructuredOutputsFieldNumber;
}

}  // namespace

void AddSamplingFlags(CLI::App& app, v1::SamplingParams& params) {
  const Descriptor& message = *v1::SamplingParams::descriptor();
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor& field = *message.field(i);
    if (IsStructuredOutputs(field)) continue;
    std::string flag = "--" + field.name();
    std::replace(flag.begin(), flag.end(), '_', '-');
    const auto found = Help().find(field.name());
    const char* help = found == Help().end() ? "" : found->second;
    if (field.is_repeated()) {
      AddListFlag(app, flag, field, params, help);
    } else {
      AddScalarFlag(app, flag, field, params, help);
    }
  }
  AddStructuredOutputFlags(app, params);
  for (CLI::Option* option : app.get_options()) {
    if (option->get_lnames().empty()) continue;
    std::string name = option->get_lnames().front();
    std::replace(name.begin(), name.end(), '-', '_');
    if (message.FindFieldByName(name) != nullptr) option->group("Sampling");
  }
}

Status SetSamplingParam(std::string_view name, const nlohmann::json& value,
                        v1::SamplingParams& params) {
  const FieldDescriptor* field =
      v1::SamplingParams::descriptor()->FindFieldByName(std::string(name));
  if (field == nullptr) return NotFoundError("{}: no such sampling parameter", name);
  if (value.is_null()) return OkStatus();
  if (IsStructuredOutputs(*field)) return SetStructuredOutputs(value, params);
  if (field->is_map()) return SetLogitBias(*field, value, params);
  return field->is_repeated() ? SetList(*field, value, params) : SetScalar(*field, value, params);
}

StatusOr<std::vector<int32_t>> ParseTokenIds(std::string_view text, std::string_view field) {
  std::vector<int32_t> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto is_separator = [](char c) { return c == ',' || c == ' ' || c == '\n' || c == '\t'; };
  while (at != end) {
    if (is_separator(*at)) {
      ++at;
      continue;
    }
    int32_t id = 0;
    const auto [next, error] = std::from_chars(at, end, id);
    if (error != std::errc() || (next != end && !is_separator(*next))) {
      return InvalidField(field, fmt::format("'{}'", text),
                          "token ids, separated by commas or spaces");
    }
    ids.push_back(id);
    at = next;
  }
  return ids;
}

}  // namespace phalanx
