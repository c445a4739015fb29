#include "coordinator/core/tool_choice.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "coordinator/core/json_check.h"
#include "coordinator/core/printable.h"
#include "coordinator/core/structured_output.h"

namespace phalanx {
namespace {

using Json = nlohmann::ordered_json;  // arguments are generated in the order of the properties

constexpr std::string_view kField = "tool_choice";

struct Tool {
  std::string name;
  Json parameters;
};

StatusOr<Tool> ReadTool(const std::string& text, const std::string& field, const Limits& limits) {
  PHALANX_RETURN_IF_ERROR(CheckJsonObject(field, text, limits));
  const Json tool = Json::parse(text);
  const auto function = tool.find("function");
  if (function == tool.end() || !function->is_object() || !function->contains("name") ||
      !function->at("name").is_string()) {
    return InvalidField(field, "without a function that has a name", "a tool with one");
  }
  return Tool{.name = function->at("name").get<std::string>(),
              .parameters = function->value("parameters", Json())};
}

// OpenAI's meaning of a function without parameters: it has none.
Json SchemaOf(const Tool& tool) {
  if (!tool.parameters.is_null()) return tool.parameters;
  return {{"type", "object"}, {"properties", Json::object()}};
}

Json CallTag(const Tool& tool) {
  return {{"type", "tag"},
          {"begin",
           fmt::format("<tool_call>\n{{\"name\": {}, \"arguments\": ", Json(tool.name).dump())},
          {"content", {{"type", "json_schema"}, {"json_schema", SchemaOf(tool)}}},
          {"end", "}\n</tool_call>"}};
}

Status CheckCombination(const v1::ChatRequest& request, const Limits& limits) {
  if (request.tool_choice().choice_case() == v1::ToolChoice::CHOICE_NOT_SET) {
    return InvalidField(kField, "empty", "required, function or none");
  }
  if (request.tool_choice().has_required() && !request.tool_choice().required()) {
    return InvalidField("tool_choice.required", "false", "true");
  }
  if (request.tool_choice().has_none()) {
    if (!request.tool_choice().none()) return InvalidField("tool_choice.none", "false", "true");
    return OkStatus();
  }
  if (request.tools_json().empty()) {
    return InvalidField(kField, "given", "nothing where there are no tools");
  }
  if (request.tools_json_size() > limits.max_tools) {
    return InvalidField("tools_json", fmt::format("{} entries", request.tools_json_size()),
                        fmt::format("at most {}", limits.max_tools));
  }
  if (request.sampling().has_structured_outputs()) {
    return InvalidField(kField, "given", "nothing beside structured_outputs");
  }
  return OkStatus();
}

ToolParsing ParsingOf(const v1::ChatRequest& request) {
  if (request.tools_json().empty() || request.tool_choice().none()) return ToolParsing::kOff;
  const bool one_call = request.has_parallel_tool_calls() && !request.parallel_tool_calls();
  return one_call ? ToolParsing::kFirstCall : ToolParsing::kAllCalls;
}

}  // namespace

Status ResolveToolChoice(const v1::ChatRequest& request, const ServedModel& model,
                         const Limits& limits, RequestParams* out) {
  if (request.has_tool_choice()) PHALANX_RETURN_IF_ERROR(CheckCombination(request, limits));
  out->tool_calls = {.parsing = ParsingOf(request),
                     .choice = request.tool_choice().choice_case(),
                     .limits = limits};
  if (!out->tool_calls.are_forced()) return OkStatus();
  const v1::ToolChoice& choice = request.tool_choice();
  Json tags = Json::array();
  for (int i = 0; i < request.tools_json_size(); ++i) {
    const std::string field = fmt::format("tools_json[{}]", i);
    PHALANX_ASSIGN_OR_RETURN(const Tool tool, ReadTool(request.tools_json(i), field, limits));
    if (choice.has_function() && tool.name != choice.function()) continue;
    const GrammarSpec schema{.kind = GrammarSpec::Kind::kJsonSchema,
                             .source = SchemaOf(tool).dump()};
    PHALANX_RETURN_IF_ERROR(
        CheckGrammarSpec(schema, limits.grammar, field + ".function.parameters"));
    tags.push_back(CallTag(tool));
  }
  if (tags.empty()) {
    return InvalidField(kField, Printable(choice.function()), "the name of one of the tools");
  }
  const bool one_call = choice.has_function() ||
                        (request.has_parallel_tool_calls() && !request.parallel_tool_calls());
  const Json format = {{"type", "tags_with_separator"},
                       {"separator", "\n"},
                       {"at_least_one", true},
                       {"stop_after_first", one_call},
                       {"tags", std::move(tags)}};
  return SetGrammar(
      {.spec = {.kind = GrammarSpec::Kind::kStructuralTag,
                .source = Json({{"type", "structural_tag"}, {"format", format}}).dump()},
       .kind = internal::GRAMMAR_KIND_STRUCTURAL_TAG,
       .field = "tools_json"},
      request.sampling(), model, limits, &out->engine);
}

}  // namespace phalanx
