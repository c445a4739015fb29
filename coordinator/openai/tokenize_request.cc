#include "coordinator/openai/chat_messages.h"
#include "coordinator/openai/common_fields.h"
#include "coordinator/openai/requests.h"

namespace phalanx::openai {
namespace {

struct TokenizeTarget {
  UnknownFields* unknown;
  v1::TokenizeRequest request;
  v1::ChatRequest chat;  // apart from the request, whose text it would displace
  bool return_token_strs = false;
};

template <auto Setter>
Status ReadChatFlag(const JsonField& field, TokenizeTarget* target) {
  PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
  (target->chat.*Setter)(value);
  return OkStatus();
}

constexpr FieldRow<TokenizeTarget> kTokenizeRows[] = {
    {"model",
     [](const JsonField& field, TokenizeTarget* target) {
       PHALANX_ASSIGN_OR_RETURN(*target->request.mutable_model(), field.String());
       return OkStatus();
     }},
    {"prompt",
     [](const JsonField& field, TokenizeTarget* target) {
       PHALANX_ASSIGN_OR_RETURN(*target->request.mutable_text(), field.String());
       return OkStatus();
     }},
    {"messages",
     [](const JsonField& field, TokenizeTarget* target) {
       return ReadMessages(field, *target->unknown, &target->chat);
     }},
    {"tools",
     [](const JsonField& field, TokenizeTarget* target) {
       return ReadTools(field, *target->unknown, &target->chat);
     }},
    {"chat_template_kwargs",
     [](const JsonField& field, TokenizeTarget* target) {
       return ReadTemplateVariables(field, &target->chat);
     }},
    {"chat_template",
     [](const JsonField& field, TokenizeTarget*) {
       return field.Refuse("nothing: templates are the operator's");
     }},
    {"add_generation_prompt", ReadChatFlag<&v1::ChatRequest::set_add_generation_prompt>},
    {"continue_final_message", ReadChatFlag<&v1::ChatRequest::set_continue_final_message>},
    {"add_special_tokens",
     [](const JsonField& field, TokenizeTarget* target) {
       PHALANX_ASSIGN_OR_RETURN(const bool value, field.Bool());
       target->request.set_add_special_tokens(value);
       return OkStatus();
     }},
    {"return_token_strs",
     [](const JsonField& field, TokenizeTarget* target) {
       PHALANX_ASSIGN_OR_RETURN(target->return_token_strs, field.Bool());
       return OkStatus();
     }},
};

constexpr FieldRow<v1::DetokenizeRequest> kDetokenizeRows[] = {
    {"model",
     [](const JsonField& field, v1::DetokenizeRequest* request) {
       PHALANX_ASSIGN_OR_RETURN(*request->mutable_model(), field.String());
       return OkStatus();
     }},
    {"tokens",
     [](const JsonField& field, v1::DetokenizeRequest* request) {
       return ReadIds(field, request->mutable_token_ids());
     }},
};

}  // namespace

StatusOr<TokenizeCall> ReadTokenize(const Json& body, const ParseContext& context) {
  const JsonField root("", body);
  const JsonField prompt = root.Find("prompt");
  const JsonField messages = root.Find("messages");
  if (prompt.is_null() == messages.is_null()) {
    return InvalidField("prompt", prompt.is_null() ? "absent" : "given together with messages",
                        "either prompt or messages");
  }
  TokenizeTarget target;
  target.unknown = &context.unknown;
  PHALANX_RETURN_IF_ERROR(
      ReadFields<TokenizeTarget>(root, kTokenizeRows, context.unknown, &target));
  if (prompt.is_null()) {
    if (target.chat.continue_final_message() && !target.chat.has_add_generation_prompt()) {
      target.chat.set_add_generation_prompt(false);
    }
    *target.request.mutable_chat() = std::move(target.chat);
  }
  return TokenizeCall{std::move(target.request), target.return_token_strs};
}

StatusOr<v1::DetokenizeRequest> ReadDetokenize(const Json& body, const ParseContext& context) {
  v1::DetokenizeRequest request;
  const JsonField root("", body);
  PHALANX_RETURN_IF_ERROR(
      ReadFields<v1::DetokenizeRequest>(root, kDetokenizeRows, context.unknown, &request));
  const JsonField tokens = root.Find("tokens");
  if (tokens.is_null()) return tokens.Refuse("a list of token ids");
  return request;
}

}  // namespace phalanx::openai
