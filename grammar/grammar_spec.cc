#include "grammar/grammar_spec.h"

#include <nlohmann/json.hpp>

#include "grammar/ebnf_size.h"
#include "grammar/expression_size.h"
#include "grammar/structural_tag_size.h"
#include "kernels/base/json_bounds.h"

namespace phalanx {
namespace {

// Nesting of the JSON text itself: subschemas lie in objects and lists of their own.
constexpr int kJsonLevelsPerSchema = 3;

// `what` stands in errors for what the text should be.
StatusOr<nlohmann::json> ParseTree(const std::string& text, int max_depth, std::string_view what) {
  const auto max_json_depth = static_cast<size_t>(kJsonLevelsPerSchema * max_depth);
  const std::optional<JsonFault> fault =
      FindJsonFault(text, {.max_depth = max_json_depth, .duplicates = DuplicateKeys::kAllowed});
  if (!fault) return nlohmann::json::parse(text);
  if (fault->kind == JsonFault::Kind::kTooDeep) {
    return InvalidArgumentError("is nested deeper than {} subschemas, allowed: up to that",
                                max_depth);
  }
  return InvalidArgumentError("is not JSON, allowed: {}", what);
}

StatusOr<int64_t> CountStates(const GrammarSpec& spec, const GrammarLimits& limits) {
  switch (spec.kind) {
    case GrammarSpec::Kind::kJsonObject:
      return int64_t{1};
    case GrammarSpec::Kind::kJsonSchema: {
      PHALANX_ASSIGN_OR_RETURN(const nlohmann::json schema,
                               ParseTree(spec.source, limits.max_schema_depth, "a JSON schema"));
      return SchemaStates(schema, limits.max_schema_depth, limits.max_repetitions);
    }
    case GrammarSpec::Kind::kRegex:
      if (spec.source.empty()) return InvalidArgumentError("is empty, allowed: an expression");
      return ExpressionStates(spec.source, limits.max_schema_depth, limits.max_repetitions);
    case GrammarSpec::Kind::kEbnf:
      if (spec.source.empty()) return InvalidArgumentError("is empty, allowed: a grammar in EBNF");
      return EbnfStates(spec.source, limits.max_schema_depth, limits.max_repetitions);
    case GrammarSpec::Kind::kStructuralTag: {
      // A schema may lie at the bottom of the deepest tag.
      PHALANX_ASSIGN_OR_RETURN(
          const nlohmann::json tag,
          ParseTree(spec.source, 2 * limits.max_schema_depth, "a structural tag"));
      return StructuralTagStates(tag, limits.max_schema_depth, limits.max_repetitions);
    }
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
