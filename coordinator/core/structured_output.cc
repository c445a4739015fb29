#include "coordinator/core/structured_output.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "coordinator/core/structural_tag.h"

namespace phalanx {
namespace {

constexpr std::string_view kField = "sampling.structured_outputs";

std::string FieldOf(std::string_view constraint) {
  return fmt::format("{}.{}", kField, constraint);
}

StatusOr<WantedGrammar> ReadConstraint(const v1::StructuredOutputs& request, const Limits& limits) {
  using Kind = GrammarSpec::Kind;
  switch (request.constraint_case()) {
    case v1::StructuredOutputs::kJsonSchema:
      return WantedGrammar{{.kind = Kind::kJsonSchema, .source = request.json_schema()},
                           internal::GRAMMAR_KIND_JSON_SCHEMA,
                           FieldOf("json_schema")};
    case v1::StructuredOutputs::kJsonObject:
      if (!request.json_object()) return InvalidField(FieldOf("json_object"), "false", "true");
      return WantedGrammar{
          {.kind = Kind::kJsonObject}, internal::GRAMMAR_KIND_JSON_OBJECT, FieldOf("json_object")};
    case v1::StructuredOutputs::kRegex:
      return WantedGrammar{{.kind = Kind::kRegex, .source = request.regex()},
                           internal::GRAMMAR_KIND_REGEX,
                           FieldOf("regex")};
    case v1::StructuredOutputs::kChoice: {
      const auto& choices = request.choice().choices();
      return WantedGrammar{{.kind = Kind::kChoice, .choices = {choices.begin(), choices.end()}},
                           internal::GRAMMAR_KIND_CHOICE,
                           FieldOf("choice")};
    }
    case v1::StructuredOutputs::kGrammar:
      return WantedGrammar{{.kind = Kind::kEbnf, .source = request.grammar()},
                           internal::GRAMMAR_KIND_EBNF,
                           FieldOf("grammar")};
    case v1::StructuredOutputs::kStructuralTag: {
      const std::string field = FieldOf("structural_tag");
      PHALANX_ASSIGN_OR_RETURN(std::string tag,
                               ToTagOfFormats(field, request.structural_tag(), limits));
      return WantedGrammar{{.kind = Kind::kStructuralTag, .source = std::move(tag)},
                           internal::GRAMMAR_KIND_STRUCTURAL_TAG,
                           field};
    }
    case v1::StructuredOutputs::CONSTRAINT_NOT_SET:
      break;
  }
  return InvalidField(kField, "empty",
                      "one of json_schema, json_object, regex, choice, grammar, structural_tag");
}

}  // namespace

Status SetGrammar(WantedGrammar wanted, const v1::SamplingParams& request, const ServedModel& model,
                  const Limits& limits, internal::ResolvedSampling* out) {
  if (model.tokenizer() == nullptr) {
    return InvalidField(wanted.field, "given", "nothing, since the served model has no tokenizer");
  }
  if (request.ignore_eos()) {
    return InvalidField("sampling.ignore_eos", "true",
                        "false together with structured_outputs or a tool_choice that asks for a "
                        "call");
  }
  if (model.eos_token_ids().empty()) {
    return InvalidField(wanted.field, "given",
                        "nothing, since the served model names no end-of-sequence token");
  }
  PHALANX_RETURN_IF_ERROR(CheckGrammarSpec(wanted.spec, limits.grammar, wanted.field));
  internal::Grammar* grammar = out->mutable_grammar();
  grammar->set_kind(wanted.kind);
  grammar->set_source(std::move(wanted.spec.source));
  grammar->mutable_choices()->Add(wanted.spec.choices.begin(), wanted.spec.choices.end());
  grammar->set_field(std::move(wanted.field));
  return OkStatus();
}

Status ResolveStructuredOutput(const v1::SamplingParams& request, const ServedModel& model,
                               const Limits& limits, internal::ResolvedSampling* out) {
  if (!request.has_structured_outputs()) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(WantedGrammar wanted,
                           ReadConstraint(request.structured_outputs(), limits));
  return SetGrammar(std::move(wanted), request, model, limits, out);
}

}  // namespace phalanx
