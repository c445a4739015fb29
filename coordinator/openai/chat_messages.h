// The messages and tools of a chat.
#pragma once

#include "coordinator/openai/json_field.h"
#include "coordinator/openai/unknown_fields.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx::openai {

// Content may be a string or a list of text parts, which are joined with line feeds as vLLM does;
// the role developer is system. INVALID_ARGUMENT names the message's field; images and audio are
// refused by name.
Status ReadMessages(const JsonField& field, UnknownFields& unknown, v1::ChatRequest* request);

// chat_template_kwargs: more variables for the template.
Status ReadTemplateVariables(const JsonField& field, v1::ChatRequest* request);

// Each tool goes on as the client wrote it: its text is shown to the model.
Status ReadTools(const JsonField& field, UnknownFields& unknown, v1::ChatRequest* request);

}  // namespace phalanx::openai
