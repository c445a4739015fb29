#include "client/structured_output.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "client/input.h"
#include "client/number_flag.h"

namespace phalanx {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kConstraints =
    "json, json_object, regex, choice, grammar, structural_tag";

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
  if (key == "grammar") {
    if (!value.is_string()) return WrongField(key, value, "a string");
    out.set_grammar(value.get<std::string>());
    return OkStatus();
  }
  if (key == "structural_tag") {
    if (!value.is_object() && !value.is_string()) {
      return WrongField(key, value, "a structural tag or its text");
    }
    out.set_structural_tag(value.is_string() ? value.get<std::string>() : value.dump());
    return OkStatus();
  }
  return WrongField(key, value, fmt::format("nothing: only {} are known", kConstraints));
}

}  // namespace

void AddStructuredOutputFlags(CLI::App& app, v1::SamplingParams& params) {
  const auto out = [&params]() -> v1::StructuredOutputs& {
    return *params.mutable_structured_outputs();
  };
  const auto add_file = [&app](const char* flag, const std::function<void(std::string)>& set,
                               const char* help) {
    return app.add_option_function<std::string>(
        flag,
        [flag, set](const std::string& path) {
          StatusOr<std::string> text = ReadInput(flag, path);
          ThrowIfWrong(text.status());
          set(*std::move(text));
        },
        help);
  };
  CLI::Option* const schema = add_file(
      "--json-schema", [out](std::string text) { out().set_json_schema(std::move(text)); },
      "a file with a JSON schema that the answer fits; -: standard input");
  CLI::Option* const grammar = add_file(
      "--grammar", [out](std::string text) { out().set_grammar(std::move(text)); },
      "a file with a grammar in EBNF that the answer fits; -: standard input");
  CLI::Option* const tag = add_file(
      "--structural-tag", [out](std::string text) { out().set_structural_tag(std::move(text)); },
      "a file with a structural tag that the answer fits; -: standard input");
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
  const std::vector<CLI::Option*> all = {schema, object, regex, choice, grammar, tag};
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
                        fmt::format("an object with one of {}", kConstraints));
  }
  const auto only = value.begin();
  return SetConstraint(only.key(), only.value(), *params.mutable_structured_outputs());
}

}  // namespace phalanx
