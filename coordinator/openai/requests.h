// From the body of a generating request to what the request path takes.
#pragma once

#include "coordinator/openai/call.h"
#include "coordinator/openai/json_field.h"

namespace phalanx::openai {

struct TokenizeCall {
  v1::TokenizeRequest request;
  bool return_token_strs = false;
};

// All: INVALID_ARGUMENT or UNIMPLEMENTED naming the field. Ranges are the request path's to check.
StatusOr<ChatCall> ReadChat(const Json& body, const ParseContext& context);
StatusOr<CompletionCall> ReadCompletion(const Json& body, const ParseContext& context);
StatusOr<TokenizeCall> ReadTokenize(const Json& body, const ParseContext& context);
StatusOr<v1::DetokenizeRequest> ReadDetokenize(const Json& body, const ParseContext& context);

}  // namespace phalanx::openai
