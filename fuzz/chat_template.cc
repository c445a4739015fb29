// Chat templates: whatever the text is, parsing and rendering end within the limits, with a text or
// an error, and the same one each time.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/base/check.h"
#include "text/chat_rendering.h"
#include "text/jinja/json_value.h"
#include "text/utf8.h"

namespace {

using phalanx::ConversationTemplate;
using phalanx::StatusCode;
using phalanx::StatusOr;
using phalanx::jinja::Dict;

// Small, so that the limits are met often.
constexpr phalanx::jinja::Limits kLimits{.steps = 20'000, .depth = 16, .output_bytes = 64 << 10};

constexpr std::string_view kVariables = R"({
  "messages": [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  Grüße, 世界 <b>&\n"},
    {"role": "assistant", "content": null, "reasoning_content": "well", "tool_calls": [
      {"id": "c1", "type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": [2.5, null]}}}]},
    {"role": "tool", "tool_call_id": "c1", "content": "12345678901234567890123"},
    {"role": "assistant", "content": "ends here"}],
  "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
  "add_generation_prompt": false, "bos_token": "<s>", "eos_token": "</s>"})";

Dict MakeVariables(std::string_view continued) {
  const auto variables = phalanx::jinja::ValueFromJson("variables", kVariables);
  Dict dict = variables->dict();
  if (!continued.empty()) {
    dict.Set("continue_final_message", phalanx::jinja::Value::String(std::string(continued)));
  }
  return dict;
}

// The two ways in which a template may be refused: it is wrong, or it passes a limit.
bool IsRefusal(const phalanx::Status& status) {
  return status.code() == StatusCode::kInvalidArgument ||
         status.code() == StatusCode::kResourceExhausted;
}

void CheckRendering(const ConversationTemplate& conversation, const Dict& variables) {
  const phalanx::jinja::RenderOptions options{
      .limits = kLimits, .clock = [] { return phalanx::jinja::Clock::result_type(); }};
  const StatusOr<std::string> text = conversation.Render(variables, options);
  const StatusOr<std::string> again = conversation.Render(variables, options);
  PHALANX_CHECK(text.status() == again.status());
  if (!text.ok()) {
    PHALANX_CHECK(IsRefusal(text.status()));
    return;
  }
  PHALANX_CHECK(*text == *again);
  PHALANX_CHECK(text->size() <= kLimits.output_bytes);
  PHALANX_CHECK(!phalanx::FindInvalidUtf8(*text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Dict whole = MakeVariables("");
  static const Dict continued = MakeVariables("content");
  auto conversation =
      ConversationTemplate::Parse(std::string(reinterpret_cast<const char*>(data), size));
  if (!conversation.ok()) {
    PHALANX_CHECK(IsRefusal(conversation.status()));
    return 0;
  }
  static_cast<void>(conversation->parsed().JoinsToText("arguments"));
  CheckRendering(*conversation, whole);
  CheckRendering(*conversation, continued);
  return 0;
}
