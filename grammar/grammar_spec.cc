#include "grammar/grammar_spec.h"

#include <nlohmann/json.hpp>

#include "grammar/expression_size.h"

namespace phalanx {
namespace {

// Nesting of the JSON text itself: subschemas lie in objects and lists of their own.
constexpr int kJsonLevelsPerSchema = 3;

StatusOr<nlohmann::json> ParseSchema(const std::string& text, int max_depth) {
  bool too_deep = false;
  const int max_json_depth = kJsonLevelsPerSchema * max_depth;
  const auto check = [&](int depth, nlohmann::json::parse_event_t, const nlohmann::json&) {
    too_deep = too_deep || depth > max_json_depth;
    return !too_deep;
  };
  nlohmann::json schema = nlohmann::json::parse(text, check, /*allow_exceptions=*/false);
  if (too_deep) {
    return InvalidArgumentError("is nested deeper than {} subschemas, allowed: up to that",
                                max_depth);
  }
  if (schema.is_discarded()) return InvalidArgumentError("is not JSON, allowed: a JSON schema");
  return schema;
}

StatusOr<int64_t> CountStates(const GrammarSpec& spec, const GrammarLimits& limits) {
  switch (spec.kind) {
    case GrammarSpec::Kind::kJsonObject:
      return int64_t{1};
    case GrammarSpec::Kind::kJsonSchema: {
      PHALANX_ASSIGN_OR_RETURN(const nlohmann::json schema,
                               ParseSchema(spec.source, limits.max_schema_depth));
      return SchemaStates(schema, limits.max_schema_depth, limits.max_repetitions);
    }
    case GrammarSpec::Kind::kRegex:
      if (spec.source.empty()) return InvalidArgumentError("is empty, allowed: an expression");
      return ExpressionStates(spec.source, limits.max_schema_depth, limits.max_repetitions);
    case GrammarSpec::Kind::kStructuralTag:  // its parts were checked before it was made
      return static_cast<int64_t>(spec.source.size());
    case GrammarSpec::Kind::kChoice:
      break;
  }
  if (spec.choices.empty()) return InvalidArgumentError("is empty, allowed: at least one string");
  int64_t states = 0;
  for (const std::string& choice : spec.choices) {
    if (choice.empty()) return InvalidArgumentError("has an empty string, allowed: none");
    states += static_cast<int64_t>(choice.size());
  }
  return states;
}

}  // namespace

Status CheckGrammarSpec(const GrammarSpec& spec, const GrammarLimits& limits,
                        std::string_view field) {
  const auto named = [&](const Status& status) {
    return InvalidArgumentError("{}: {}", field, status.message()).WithField(field);
  };
  size_t bytes = spec.source.size();
  for (const std::string& choice : spec.choices) bytes += choice.size();
  if (bytes > limits.max_source_bytes) {
    return InvalidField(field, fmt::format("{} bytes long", bytes),
                        fmt::format("up to {} bytes", limits.max_source_bytes));
  }
  const StatusOr<int64_t> states = CountStates(spec, limits);
  if (!states.ok()) return named(states.status());
  if (*states > limits.max_states) {
    return named(InvalidArgumentError(
        "may need {} states with its repetitions written out, allowed: up to {}", *states,
        limits.max_states));
  }
  return OkStatus();
}

}  // namespace phalanx
