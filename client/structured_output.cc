#include "client/structured_output.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "client/input.h"
#include "client/number_flag.h"

namespace phalanx {
namespace {

using Json = nlohmann::json;

Status WrongField(std::string_view key, const Json& value, std::string_view allowed) {
  return InvalidField(fmt::format("structured_outputs.{}", key),
                      value.dump(-1, ' ', false, Json::error_handler_t::replace), allowed);
}

Status SetChoices(const Json& value, v1::StructuredOutputs& out) {
  constexpr std::string_view kAllowed = "a list of strings";
  if (!value.is_array()) return WrongField("choice", value, kAllowed);
  v1::ChoiceConstraint& choice = *out.mutable_choice();
  for (const Json& item : value) {
    if (!item.is_string()) return WrongField("choice", item, kAllowed);
    choice.add_choices(item.get<std::string>());
  }
  return OkStatus();
}

Status SetConstraint(const std::string& key, const Json& value, v1::StructuredOutputs& out) {
  if (key == "json") {
    if (!value.is_object() && !value.is_string() && !value.is_boolean()) {
      return WrongField(key, value, "a JSON schema or its text");
    }
    out.set_json_schema(value.is_string() ? value.get<std::string>() : value.dump());
    return OkStatus();
  }
  if (key == "json_object") {
    if (!value.is_boolean()) return WrongField(key, value, "true");
    out.set_json_object(value.get<bool>());
    return OkStatus();
  }
  if (key == "regex") {
    if (!value.is_string()) return WrongField(key, value, "a string");
    out.set_regex(value.get<std::string>());
    return OkStatus();
  }
  if (key == "choice") return SetChoices(value, out);
  return WrongField(key, value, "nothing: only json, json_object, regex, choice are known");
}

}  // namespace

void AddStructuredOutputFlags(CLI::App& app, v1::SamplingParams& params) {
  const auto out = [&params]() -> v1::StructuredOutputs& {
    return *params.mutable_structured_outputs();
  };
  CLI::Option* const schema = app.add_option_function<std::string>(
      "--json-schema",
      [out](const std::string& path) {
        const StatusOr<std::string> text = ReadInput("--json-schema", path);
        ThrowIfWrong(text.status());
        out().set_json_schema(*text);
      },
      "a file with a JSON schema that the answer fits; -: standard input");
  CLI::Option* const object = app.add_flag_function(
      "--json-object", [out](int64_t) { out().set_json_object(true); },
      "the answer is a JSON object");
  CLI::Option* const regex = app.add_option_function<std::string>(
      "--regex", [out](const std::string& text) { out().set_regex(text); },
      "a regular expression that the whole answer matches");
  CLI::Option* const choice = app.add_option_function<std::vector<std::string>>(
                                     "--choice",
                                     [out](const std::vector<std::string>& values) {
                                       for (const std::string& value : values)
                                         out().mutable_choice()->add_choices(value);
                                     },
                                     "the answer is this text, or that of another --choice")
                                  ->expected(1)
                                  ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  const std::vector<CLI::Option*> all = {schema, object, regex, choice};
  for (CLI::Option* const option : all) {
    option->group("Sampling");
    for (CLI::Option* const other : all) {
      if (other != option) option->excludes(other);
    }
  }
}

Status SetStructuredOutputs(const Json& value, v1::SamplingParams& params) {
  if (!value.is_object() || value.size() != 1) {
    return InvalidField("structured_outputs",
                        value.dump(-1, ' ', false, Json::error_handler_t::replace),
                        "an object with one of json, json_object, regex, choice");
  }
  const auto only = value.begin();
  return SetConstraint(only.key(), only.value(), *params.mutable_structured_outputs());
}

}  // namespace phalanx
