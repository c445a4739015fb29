#include "coordinator/openai/small_endpoints.h"

#include "coordinator/openai/errors.h"
#include "coordinator/openai/json_writer.h"
#include "coordinator/openai/requests.h"

namespace phalanx::openai {
namespace {

void AppendModel(std::string_view id, const v1::ModelInfo& info, int64_t created,
                 std::string* out) {
  *out += "{\"id\":";
  AppendJsonString(id, out);
  *out += ",\"object\":\"model\",\"created\":";
  AppendInt(created, out);
  *out += ",\"owned_by\":\"phalanx\",\"root\":";
  AppendJsonString(info.id(), out);
  *out += ",\"parent\":null,\"max_model_len\":";
  AppendInt(info.max_model_len(), out);
  *out += '}';
}

}  // namespace

StatusOr<std::string> TokenizeBody(const Frontend& frontend, const Json& body,
                                   const ParseContext& context) {
  constexpr Renaming kWords[] = {{"chat.", ""}, {"text", "prompt"}};
  PHALANX_ASSIGN_OR_RETURN(const TokenizeCall call, ReadTokenize(body, context));
  const StatusOr<v1::TokenizeResponse> response = frontend.Tokenize(call.request);
  if (!response.ok()) return InWordsOfApi(response.status(), kWords);
  std::string out = "{\"count\":";
  AppendInt(response->token_ids_size(), &out);
  out += ",\"max_model_len\":";
  AppendInt(response->max_model_len(), &out);
  out += ",\"tokens\":";
  const auto& ids = response->token_ids();
  AppendInts({ids.data(), static_cast<size_t>(ids.size())}, &out);
  out += ",\"token_strs\":";
  if (call.return_token_strs) {
    out += '[';
    for (const int32_t id : ids) {
      if (out.back() != '[') out += ',';
      AppendJsonString(frontend.model().tokenizer()->IdToToken(id).value_or(""), &out);
    }
    out += ']';
  } else {
    out += "null";
  }
  out += '}';
  return out;
}

StatusOr<std::string> DetokenizeBody(const Frontend& frontend, const Json& body,
                                     const ParseContext& context) {
  constexpr Renaming kWords[] = {{"token_ids", "tokens"}};
  PHALANX_ASSIGN_OR_RETURN(const v1::DetokenizeRequest request, ReadDetokenize(body, context));
  const StatusOr<v1::DetokenizeResponse> response = frontend.Detokenize(request);
  if (!response.ok()) return InWordsOfApi(response.status(), kWords);
  std::string out = "{\"prompt\":";
  AppendJsonString(response->text(), &out);
  out += '}';
  return out;
}

StatusOr<std::string> ModelsBody(const Frontend& frontend, int64_t created) {
  PHALANX_ASSIGN_OR_RETURN(const v1::ModelInfo info, frontend.GetModelInfo({}));
  std::string out = "{\"object\":\"list\",\"data\":[";
  for (const std::string& name : frontend.model().names()) {
    if (out.back() != '[') out += ',';
    AppendModel(name, info, created, &out);
  }
  out += "]}";
  return out;
}

StatusOr<std::string> ModelBody(const Frontend& frontend, std::string_view id, int64_t created) {
  v1::GetModelInfoRequest request;
  request.set_model(std::string(id));
  PHALANX_ASSIGN_OR_RETURN(const v1::ModelInfo info, frontend.GetModelInfo(request));
  std::string out;
  AppendModel(id, info, created, &out);
  return out;
}

std::string VersionBody(const Frontend& frontend) {
  std::string out = "{\"version\":";
  AppendJsonString(frontend.GetServerInfo().version(), &out);
  out += '}';
  return out;
}

}  // namespace phalanx::openai
