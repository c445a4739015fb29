#include "coordinator/openai/answer_format.h"

#include <algorithm>

#include "coordinator/openai/json_writer.h"

namespace phalanx::openai {

void AppendUsage(const UsageCount& usage, std::string* out) {
  *out += "{\"prompt_tokens\":";
  AppendInt(usage.prompt_tokens, out);
  *out += ",\"completion_tokens\":";
  AppendInt(usage.completion_tokens, out);
  *out += ",\"total_tokens\":";
  AppendInt(usage.prompt_tokens + usage.completion_tokens, out);
  *out += ",\"prompt_tokens_details\":{\"cached_tokens\":";
  AppendInt(usage.cached_tokens, out);
  *out += "}}";
}

void AppendHead(std::string_view id_prefix, std::string_view object, const AnswerHead& head,
                std::string* out) {
  *out += "\"id\":\"";
  AppendEscaped(id_prefix, out);
  AppendEscaped(head.id, out);
  *out += "\",\"object\":";
  AppendJsonString(object, out);
  *out += ",\"created\":";
  AppendInt(head.created, out);
  *out += ",\"model\":";
  AppendJsonString(head.model, out);
  *out += ",\"system_fingerprint\":";
  AppendJsonString(head.system_fingerprint, out);
}

void AppendFinishReason(v1::FinishReason reason, std::string* out) {
  switch (reason) {
    case v1::FINISH_REASON_STOP:
      *out += "\"stop\"";
      return;
    case v1::FINISH_REASON_LENGTH:
      *out += "\"length\"";
      return;
    case v1::FINISH_REASON_TOOL_CALLS:
      *out += "\"tool_calls\"";
      return;
    case v1::FINISH_REASON_CANCELLED:
      *out += "\"abort\"";
      return;
    default:
      *out += "null";
  }
}

void AppendStopReason(const std::string& reason,
                      const google::protobuf::RepeatedPtrField<std::string>& stop,
                      std::string* out) {
  if (reason.empty()) {
    *out += "null";
  } else if (std::find(stop.begin(), stop.end(), reason) != stop.end()) {
    AppendJsonString(reason, out);
  } else {
    *out += reason;
  }
}

}  // namespace phalanx::openai
