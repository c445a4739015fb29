#include "coordinator/openai/structured_fields.h"

namespace phalanx::openai {
namespace {

// The constraint's message, where no other field has made it; errors of the request path about
// `core` will name `word`.
StatusOr<v1::StructuredOutputs*> Claim(const JsonField& field, const Renaming& word, Call* call) {
  if (call->sampling.has_structured_outputs()) {
    return InvalidField(field.path(), "given",
                        fmt::format("nothing beside {}", call->words.back().to));
  }
  call->words.push_back(word);
  return call->sampling.mutable_structured_outputs();
}

// A field that is JSON or the text of some, as the text.
StatusOr<std::string> JsonText(const JsonField& field, std::string_view what) {
  const Json& json = field.json();
  if (!json.is_object() && !json.is_string())
    return field.Refuse(fmt::format("{} or its text", what));
  return json.is_string() ? json.get<std::string>() : json.dump();
}

Status SetSchema(const JsonField& field, std::string_view word, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const std::string schema, JsonText(field, "a JSON schema"));
  PHALANX_ASSIGN_OR_RETURN(v1::StructuredOutputs * out,
                           Claim(field, {"sampling.structured_outputs.json_schema", word}, call));
  out->set_json_schema(schema);
  return OkStatus();
}

Status SetRegex(const JsonField& field, std::string_view word, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const std::string regex, field.String());
  PHALANX_ASSIGN_OR_RETURN(v1::StructuredOutputs * out,
                           Claim(field, {"sampling.structured_outputs.regex", word}, call));
  out->set_regex(regex);
  return OkStatus();
}

Status SetGrammar(const JsonField& field, std::string_view word, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const std::string grammar, field.String());
  PHALANX_ASSIGN_OR_RETURN(v1::StructuredOutputs * out,
                           Claim(field, {"sampling.structured_outputs.grammar", word}, call));
  out->set_grammar(grammar);
  return OkStatus();
}

Status SetStructuralTag(const JsonField& field, std::string_view word, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(const std::string tag, JsonText(field, "a structural tag"));
  PHALANX_ASSIGN_OR_RETURN(
      v1::StructuredOutputs * out,
      Claim(field, {"sampling.structured_outputs.structural_tag", word}, call));
  out->set_structural_tag(tag);
  return OkStatus();
}

Status SetChoice(const JsonField& field, std::string_view word, Call* call) {
  PHALANX_RETURN_IF_ERROR(field.CheckArray("a list of strings"));
  PHALANX_ASSIGN_OR_RETURN(v1::StructuredOutputs * out,
                           Claim(field, {"sampling.structured_outputs.choice", word}, call));
  v1::ChoiceConstraint& choice = *out->mutable_choice();
  for (size_t i = 0; i < field.json().size(); ++i) {
    PHALANX_ASSIGN_OR_RETURN(*choice.add_choices(), field.At(i).String());
  }
  return OkStatus();
}

Status SetJsonObject(const JsonField& field, std::string_view word, Call* call) {
  PHALANX_ASSIGN_OR_RETURN(v1::StructuredOutputs * out,
                           Claim(field, {"sampling.structured_outputs.json_object", word}, call));
  out->set_json_object(true);
  return OkStatus();
}

Status RefuseTrue(const JsonField& field, Call*) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  return value ? field.Refuse("false: not supported") : OkStatus();
}

// ------------------------------------------------------------------------------ response_format

constexpr std::string_view kSchemaPath = "response_format.json_schema.schema";

constexpr FieldRow<Call> kSchemaRows[] = {
    {"schema",
     [](const JsonField& field, Call* call) { return SetSchema(field, kSchemaPath, call); }},
    // Of the whole, without effect here: every schema is kept to the letter.
    {"name", [](const JsonField& field, Call*) { return field.String().status(); }},
    {"description", [](const JsonField& field, Call*) { return field.String().status(); }},
    {"strict", [](const JsonField& field, Call*) { return field.Bool().status(); }},
};

Status ReadSchemaFormat(const JsonField& format, Call* call) {
  const JsonField wrapper = format.Find("json_schema");
  PHALANX_RETURN_IF_ERROR(wrapper.CheckObject("an object with a schema"));
  PHALANX_RETURN_IF_ERROR(ReadFields<Call>(wrapper, kSchemaRows, *call->unknown, call));
  const JsonField schema = wrapper.Find("schema");
  return schema.is_null() ? schema.Refuse("a JSON schema") : OkStatus();
}

Status ReadResponseFormat(const JsonField& field, Call* call) {
  constexpr std::string_view kAllowed =
      "an object with type text, json_object, json_schema or structural_tag";
  constexpr std::string_view kTypes = "text, json_object, json_schema or structural_tag";
  PHALANX_RETURN_IF_ERROR(field.CheckObject(kAllowed));
  const JsonField type = field.Find("type");
  PHALANX_ASSIGN_OR_RETURN(const std::string name, type.String());
  if (name != "structural_tag") {  // whose other fields are the tag
    constexpr std::string_view kNames[] = {"type", "json_schema"};
    PHALANX_RETURN_IF_ERROR(CheckNames(field, kNames, *call->unknown));
  }
  if (name == "text") return OkStatus();
  if (name == "json_object") return SetJsonObject(field, "response_format", call);
  if (name == "json_schema") return ReadSchemaFormat(field, call);
  if (name == "structural_tag") return SetStructuralTag(field, "response_format", call);
  return type.Refuse(kTypes);
}

// --------------------------------------------------------------------------- structured_outputs

constexpr std::string_view kConstraints =
    "one of json, json_object, regex, choice, grammar, structural_tag";

constexpr FieldRow<Call> kStructuredRows[] = {
    {"json", [](const JsonField& field,
                Call* call) { return SetSchema(field, "structured_outputs.json", call); }},
    {"json_object",
     [](const JsonField& field, Call* call) {
       PHALANX_ASSIGN_OR_RETURN(const bool wanted, field.Bool());
       if (!wanted) return field.Refuse("true");
       return SetJsonObject(field, "structured_outputs.json_object", call);
     }},
    {"regex", [](const JsonField& field,
                 Call* call) { return SetRegex(field, "structured_outputs.regex", call); }},
    {"choice", [](const JsonField& field,
                  Call* call) { return SetChoice(field, "structured_outputs.choice", call); }},
    {"grammar", [](const JsonField& field,
                   Call* call) { return SetGrammar(field, "structured_outputs.grammar", call); }},
    {"structural_tag",
     [](const JsonField& field, Call* call) {
       return SetStructuralTag(field, "structured_outputs.structural_tag", call);
     }},
    {"disable_fallback", Accept<Call>},  // there is one library here, and no other to fall back to
    {"disable_any_whitespace", RefuseTrue},
    {"disable_additional_properties", RefuseTrue},
    {"whitespace_pattern",
     [](const JsonField& field, Call*) { return field.Refuse("nothing: not supported"); }},
};

Status ReadStructuredOutputs(const JsonField& field, Call* call) {
  PHALANX_RETURN_IF_ERROR(field.CheckObject("an object"));
  PHALANX_RETURN_IF_ERROR(ReadFields<Call>(field, kStructuredRows, *call->unknown, call));
  return call->sampling.has_structured_outputs() ? OkStatus() : field.Refuse(kConstraints);
}

constexpr FieldRow<Call> kRows[] = {
    {"response_format", ReadResponseFormat},
    {"structured_outputs", ReadStructuredOutputs},
    {"guided_json",
     [](const JsonField& field, Call* call) { return SetSchema(field, "guided_json", call); }},
    {"guided_regex",
     [](const JsonField& field, Call* call) { return SetRegex(field, "guided_regex", call); }},
    {"guided_choice",
     [](const JsonField& field, Call* call) { return SetChoice(field, "guided_choice", call); }},
    {"guided_grammar",
     [](const JsonField& field, Call* call) { return SetGrammar(field, "guided_grammar", call); }},
    {"guided_decoding_backend", Accept<Call>},
    {"guided_whitespace_pattern",
     [](const JsonField& field, Call*) { return field.Refuse("nothing: not supported"); }},
};

}  // namespace

std::span<const FieldRow<Call>> StructuredRows() { return kRows; }

}  // namespace phalanx::openai
