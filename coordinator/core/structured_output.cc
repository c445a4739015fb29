#include "coordinator/core/structured_output.h"

#include <fmt/format.h>

#include <string>
#include <utility>

namespace phalanx {
namespace {

constexpr std::string_view kField = "sampling.structured_outputs";

struct Wanted {
  GrammarSpec spec;
  internal::GrammarKind kind = internal::GRAMMAR_KIND_UNSPECIFIED;
  std::string field;
};

std::string FieldOf(std::string_view constraint) {
  return fmt::format("{}.{}", kField, constraint);
}

StatusOr<Wanted> ReadConstraint(const v1::StructuredOutputs& request) {
  using Kind = GrammarSpec::Kind;
  switch (request.constraint_case()) {
    case v1::StructuredOutputs::kJsonSchema:
      return Wanted{{.kind = Kind::kJsonSchema, .source = request.json_schema()},
                    internal::GRAMMAR_KIND_JSON_SCHEMA,
                    FieldOf("json_schema")};
    case v1::StructuredOutputs::kJsonObject:
      if (!request.json_object()) return InvalidField(FieldOf("json_object"), "false", "true");
      return Wanted{
          {.kind = Kind::kJsonObject}, internal::GRAMMAR_KIND_JSON_OBJECT, FieldOf("json_object")};
    case v1::StructuredOutputs::kRegex:
      return Wanted{{.kind = Kind::kRegex, .source = request.regex()},
                    internal::GRAMMAR_KIND_REGEX,
                    FieldOf("regex")};
    case v1::StructuredOutputs::kChoice: {
      const auto& choices = request.choice().choices();
      return Wanted{{.kind = Kind::kChoice, .choices = {choices.begin(), choices.end()}},
                    internal::GRAMMAR_KIND_CHOICE,
                    FieldOf("choice")};
    }
    case v1::StructuredOutputs::CONSTRAINT_NOT_SET:
      break;
  }
  return InvalidField(kField, "empty", "one of json_schema, json_object, regex, choice");
}

}  // namespace

Status ResolveStructuredOutput(const v1::SamplingParams& request, const ServedModel& model,
                               const Limits& limits, internal::ResolvedSampling* out) {
  if (!request.has_structured_outputs()) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(Wanted wanted, ReadConstraint(request.structured_outputs()));
  if (model.tokenizer() == nullptr) {
    return InvalidField(wanted.field, "given", "nothing, since the served model has no tokenizer");
  }
  if (request.ignore_eos()) {
    return InvalidField("sampling.ignore_eos", "true", "false together with structured_outputs");
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

}  // namespace phalanx
