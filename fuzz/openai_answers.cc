// Answers as clients read them: whatever text a model writes, however it was cut into messages, the
// server-sent events and the whole answer parse back to the same text, calls and bytes.
//
// An input is two bytes of options, one that says how the text is cut, and the text.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/collect.h"
#include "coordinator/core/tool_call_output.h"
#include "coordinator/openai/chat_format.h"
#include "coordinator/openai/completion_format.h"
#include "fuzz/event_stream.h"
#include "kernels/base/check.h"
#include "text/utf8.h"

namespace {

using nlohmann::json;
namespace v1 = phalanx::v1;
namespace openai = phalanx::openai;

struct Options {
  bool chat;
  bool tools;
  bool logprobs;
  bool forced;  // the calls
  openai::AnswerOptions answer;
};

Options ReadOptions(uint8_t first, uint8_t second) {
  const auto bit = [](uint8_t byte, int index) { return ((byte >> index) & 1) != 0; };
  return {.chat = bit(first, 0),
          .tools = bit(first, 1),
          .logprobs = bit(first, 2),
          .forced = bit(first, 3),
          .answer = {.stream = true,
                     .include_usage = bit(second, 0),
                     .continuous_usage_stats = bit(second, 1),
                     .return_token_ids = bit(second, 2)}};
}

std::unique_ptr<openai::AnswerFormat> MakeFormat(const Options& options) {
  std::unique_ptr<openai::AnswerFormat> format;
  if (options.chat) {
    openai::ChatCall call;
    call.answer = options.answer;
    call.logprobs = options.logprobs;
    format = std::make_unique<openai::ChatFormat>(call);
  } else {
    openai::CompletionCall call;
    call.answer = options.answer;
    if (options.logprobs) call.sampling.set_logprobs(1);
    call.requests.emplace_back();
    format = std::make_unique<openai::CompletionFormat>(call);
  }
  format->Begin({.id = "req-1", .created = 1, .model = "m\"\n", .system_fingerprint = "fp"},
                {{1, 2}});
  return format;
}

bool HasCalls(const Options& options) { return options.chat && options.tools; }

phalanx::ToolCallOutput MakeCalls(const Options& options) {
  const auto choice = options.forced ? v1::ToolChoice::kRequired : v1::ToolChoice::CHOICE_NOT_SET;
  phalanx::ToolCallOutput calls(
      {.parsing = phalanx::ToolParsing::kAllCalls, .choice = choice, .limits = {}}, "req-1/0");
  if (options.forced) calls.TrustFormat();
  return calls;
}

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLogprobs[] = {
    -0.5F, -kInfinity, kInfinity, std::numeric_limits<float>::quiet_NaN(), 0.0F, -1e30F, 1e-42F};

// Messages of whole characters; each is one token, whose bytes need not be UTF-8.
std::vector<v1::StreamResponse> Cut(const std::string& text, const Options& options,
                                    size_t max_bytes) {
  std::vector<v1::StreamResponse> messages;
  phalanx::ToolCallOutput calls = MakeCalls(options);
  for (size_t begin = 0; begin < text.size() || messages.empty();) {
    size_t end = std::min(text.size(), begin + 1 + (begin * 7 + 3) % max_bytes);
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    v1::StreamResponse& message = messages.emplace_back();
    if (HasCalls(options)) {
      calls.Append(text.substr(begin, end - begin), &message);
    } else {
      message.set_text_delta(text.substr(begin, end - begin));
    }
    message.add_token_ids(static_cast<int32_t>(begin));
    if (options.logprobs) {
      v1::TokenLogprob* token = message.add_logprobs();
      token->set_token(text.substr(begin, (end - begin + 1) / 2));
      const float logprob = kLogprobs[begin % std::size(kLogprobs)];
      token->set_logprob(logprob);
      v1::TopLogprob* top = token->add_top();
      top->set_token(text.substr(end));
      top->set_logprob(-logprob);
    }
    begin = std::max(end, begin + 1);
  }
  messages.front().set_id("req-1");
  messages.front().set_num_prompt_tokens(2);
  if (HasCalls(options)) calls.Finish(&messages.back());
  messages.back().set_finish_reason(HasCalls(options) ? calls.ReasonFor(v1::FINISH_REASON_STOP)
                                                      : v1::FINISH_REASON_STOP);
  return messages;
}

// What a client has put together.
struct Answer {
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;  // names and arguments
  std::string finish_reason;
  std::string token_bytes;  // of log-probabilities
  size_t num_tokens = 0;

  bool operator==(const Answer&) const = default;
};

void ReadLogprobs(const json& logprobs, Answer* answer) {
  if (logprobs.is_null()) return;
  if (logprobs.contains("tokens")) {
    answer->num_tokens += logprobs["tokens"].size();
    for (const char* list : {"token_logprobs", "top_logprobs", "text_offset"}) {
      PHALANX_CHECK_EQ(logprobs[list].size(), logprobs["tokens"].size());
    }
    return;
  }
  for (const json& token : logprobs["content"]) {
    PHALANX_CHECK(token["logprob"].is_number_float());
    for (const json& byte : token["bytes"]) {
      answer->token_bytes += static_cast<char>(byte.get<uint8_t>());
    }
    ++answer->num_tokens;
  }
}

// A choice of either kind of answer; `said` is where its text and calls are.
void ReadChoice(const json& choice, const json& said, Answer* answer) {
  for (const char* key : {"text", "content"}) {
    if (said.contains(key) && said[key].is_string()) {
      answer->content += said[key].get<std::string>();
    }
  }
  for (const json& call : said.value("tool_calls", json::array())) {
    const size_t index = call.value("index", answer->calls.size());
    if (index == answer->calls.size()) answer->calls.emplace_back();
    PHALANX_CHECK(index < answer->calls.size());
    const json& function = call["function"];
    answer->calls[index].first += function.value("name", "");
    answer->calls[index].second += function.value("arguments", "");
  }
  ReadLogprobs(choice["logprobs"], answer);
  if (choice["finish_reason"].is_string()) answer->finish_reason = choice["finish_reason"];
}

Answer ReadStream(const std::string& stream) {
  std::vector<std::string> events = phalanx::fuzz::ParseEvents(stream);
  PHALANX_CHECK(!events.empty() && events.back() == "[DONE]");
  events.pop_back();
  Answer answer;
  for (const std::string& event : events) {
    const json chunk = json::parse(event);
    PHALANX_CHECK(chunk["model"] == "m\"\n");
    for (const json& choice : chunk["choices"]) {
      ReadChoice(choice, choice.value("delta", choice), &answer);
    }
  }
  return answer;
}

Answer ReadWhole(const std::string& body) {
  const json whole = json::parse(body);
  PHALANX_CHECK_EQ(whole["choices"].size(), size_t{1});
  const json& choice = whole["choices"][0];
  Answer answer;
  ReadChoice(choice, choice.value("message", choice), &answer);
  return answer;
}

Answer Expected(const std::string& text, const Options& options,
                const std::vector<v1::StreamResponse>& messages) {
  Answer answer;
  answer.finish_reason = "stop";
  if (HasCalls(options)) {
    v1::StreamResponse all;
    phalanx::ToolCallOutput calls = MakeCalls(options);
    calls.Append(text, &all);
    calls.Finish(&all);
    answer.content = all.text_delta();
    for (const v1::ToolCallDelta& call : all.tool_calls()) {
      answer.calls.emplace_back(call.name(), call.arguments_json());
    }
    if (calls.ReasonFor(v1::FINISH_REASON_STOP) == v1::FINISH_REASON_TOOL_CALLS) {
      answer.finish_reason = "tool_calls";
    }
  } else {
    answer.content = text;
  }
  for (const v1::StreamResponse& message : messages) {
    answer.num_tokens += static_cast<size_t>(message.logprobs_size());
    if (!options.chat) continue;
    for (const auto& token : message.logprobs()) answer.token_bytes += token.token();
  }
  return answer;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHeadBytes = 3;
  if (size < kHeadBytes) return 0;
  const Options options = ReadOptions(data[0], data[1]);
  std::string text;
  phalanx::AppendLossyUtf8({reinterpret_cast<const char*>(data) + kHeadBytes, size - kHeadBytes},
                           &text);
  const std::vector<v1::StreamResponse> messages = Cut(text, options, 1 + data[2] % 64);

  std::string stream;
  v1::GenerateResponse whole;
  const auto streamed = MakeFormat(options);
  for (const v1::StreamResponse& message : messages) {
    streamed->AppendMessage(0, message, &stream);
    v1::StreamResponse copy = message;
    phalanx::AddMessage(&copy, &whole);
  }
  streamed->AppendEnd(&stream);
  const Answer expected = Expected(text, options, messages);
  PHALANX_CHECK(ReadStream(stream) == expected);
  PHALANX_CHECK(ReadWhole(MakeFormat(options)->Whole(std::span(&whole, 1))) == expected);
  return 0;
}
