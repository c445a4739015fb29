#include "client/answer_json.h"

#include <algorithm>
#include <cctype>

namespace phalanx {
namespace {

using Json = nlohmann::ordered_json;

// The bytes beside the text, because a token may end within a character.
Json TokenJson(int32_t token_id, float logprob, const std::string& token) {
  Json bytes = Json::array();
  for (const char byte : token) bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token_id", token_id}, {"logprob", logprob}, {"token", token}, {"bytes", bytes}};
}

template <typename Logprobs>
Json LogprobsJson(const Logprobs& logprobs) {
  Json list = Json::array();
  for (const v1::TokenLogprob& entry : logprobs) {
    Json item = TokenJson(entry.token_id(), entry.logprob(), entry.token());
    item["rank"] = entry.rank();
    item["top"] = Json::array();
    for (const v1::TopLogprob& top : entry.top())
      item["top"].push_back(TokenJson(top.token_id(), top.logprob(), top.token()));
    list.push_back(std::move(item));
  }
  return list;
}

// "stop" for FINISH_REASON_STOP, null for none.
Json FinishReasonJson(v1::FinishReason reason) {
  constexpr std::string_view kPrefix = "FINISH_REASON_";
  if (reason == v1::FINISH_REASON_UNSPECIFIED) return nullptr;
  std::string name = v1::FinishReason_Name(reason).substr(kPrefix.size());
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

// OpenAI's form, which a batch takes back in its messages.
Json ToolCallsJson(const v1::Choice& choice) {
  Json list = Json::array();
  for (const v1::ToolCall& call : choice.tool_calls()) {
    list.push_back({{"id", call.id()},
                    {"type", "function"},
                    {"function", {{"name", call.name()}, {"arguments", call.arguments_json()}}}});
  }
  return list;
}

Json ChoiceJson(const v1::Choice& choice) {
  Json json = {
      {"text", choice.text()},
      {"token_ids", std::vector<int32_t>(choice.token_ids().begin(), choice.token_ids().end())},
      {"logprobs", choice.logprobs().empty() ? Json() : LogprobsJson(choice.logprobs())},
      {"finish_reason", FinishReasonJson(choice.finish_reason())},
      {"stop_reason", choice.stop_reason().empty() ? Json() : Json(choice.stop_reason())}};
  if (!choice.reasoning_content().empty()) json["reasoning_content"] = choice.reasoning_content();
  if (!choice.tool_calls().empty()) json["tool_calls"] = ToolCallsJson(choice);
  return json;
}

}  // namespace

Json ToJson(const StreamedAnswer& answer) {
  const v1::GenerateResponse& response = answer.response;
  Json json = {{"id", response.id()}};
  if (!response.request_id().empty()) json["request_id"] = response.request_id();
  json.update(ChoiceJson(response.choices().empty() ? v1::Choice() : response.choices(0)));
  if (response.choices_size() > 1) {
    json["choices"] = Json::array();
    for (const v1::Choice& choice : response.choices()) {
      Json item = {{"index", choice.index()}};
      item.update(ChoiceJson(choice));
      json["choices"].push_back(std::move(item));
    }
  }
  if (!response.prompt_logprobs().empty())
    json["prompt_logprobs"] = LogprobsJson(response.prompt_logprobs());
  const v1::Usage& usage = response.usage();
  json["usage"] = {{"prompt_tokens", usage.prompt_tokens()},
                   {"completion_tokens", usage.completion_tokens()},
                   {"total_tokens", usage.prompt_tokens() + usage.completion_tokens()},
                   {"cached_tokens", usage.cached_tokens()},
                   {"seed", usage.seed()}};
  json["timings"] = {{"queue_ms", response.timings().queue_ms()},
                     {"prefill_ms", response.timings().prefill_ms()},
                     {"decode_ms", response.timings().decode_ms()},
                     {"ttft_ms", answer.ttft_ms()},
                     {"e2el_ms", answer.e2el_ms()},
                     {"decode_tokens_per_s", nullptr}};
  if (const std::optional<double> rate = answer.decode_tokens_per_s()) {
    json["timings"]["decode_tokens_per_s"] = *rate;
  }
  return json;
}

Json ToJson(const Status& status) {
  Json json = {{"code", Name(status.code())}, {"message", status.message()}};
  if (!status.field().empty()) json["field"] = status.field();
  return json;
}

std::string ToLine(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace phalanx
