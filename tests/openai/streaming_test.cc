// Server-sent events, byte for byte.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/openai/api_fixture.h"

namespace phalanx {
namespace {

using testing::Api;
using ::testing::ElementsAreArray;
using testing::FakeExchange;
using ::testing::HasSubstr;

// "data: " lines with the answer's own id replaced by ID.
std::string Normal(std::string text) {
  for (const std::string_view prefix : {"chatcmpl-req-", "cmpl-req-"}) {
    for (size_t at = 0; (at = text.find(prefix, at)) != std::string::npos;) {
      const size_t begin = at + prefix.size() - 4;
      text.replace(begin, text.find('"', begin) - begin, "ID");
      at = begin;
    }
  }
  return text;
}

constexpr std::string_view kChatHead =
    R"(data: {"id":"chatcmpl-ID","object":"chat.completion.chunk","created":1700000000,"model":"demo","system_fingerprint":"fp_FP")";
constexpr std::string_view kTextHead =
    R"(data: {"id":"cmpl-ID","object":"text_completion","created":1700000000,"model":"demo","system_fingerprint":"fp_FP")";

std::string Golden(std::string_view head, const std::vector<std::string>& chunks) {
  std::string text;
  for (const std::string& chunk : chunks) text += std::string(head) + "," + chunk + "}\n\n";
  return text + "data: [DONE]\n\n";
}

std::string WithoutFingerprint(std::string text) {
  constexpr std::string_view kKey = "\"fp_";
  for (size_t at = 0; (at = text.find(kKey, at)) != std::string::npos; ++at) {
    const size_t begin = at + kKey.size();
    text.replace(begin, text.find('"', begin) - begin, "FP");
  }
  return text;
}

class StreamingApiTest : public ::testing::Test {
 protected:
  StreamingApiTest() { api_.AttachEngine(); }

  // A piece for each token, so that the chunks do not depend on timing.
  std::string Converse(FakeExchange& exchange, const internal::Submit& submit,
                       const std::vector<int32_t>& ids, internal::EngineFinish finish) {
    std::string body;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool last = i + 1 == ids.size();
      api_.Send(submit.request(), static_cast<int32_t>(i), {ids[i]},
                last ? finish : internal::ENGINE_FINISH_NONE);
      body += last ? exchange.WaitBody() : exchange.WaitPiece();
    }
    return WithoutFingerprint(Normal(body));
  }

  Api api_;
};

TEST_F(StreamingApiTest, Chat) {
  const auto exchange =
      api_.Post("/v1/chat/completions",
                R"({"messages":[{"role":"user","content":"hi"}],"stream":true,"max_tokens":8})");
  const internal::Submit submit = api_.PopSubmit();
  EXPECT_FALSE(exchange->is_answered()) << "the head goes out with the first token";
  const auto ids = api_.Encode("a \"b\"\n");
  std::vector<std::string> chunks;
  const std::string body = Converse(*exchange, submit, ids, internal::ENGINE_FINISH_LENGTH);
  EXPECT_EQ(exchange->WaitHead().status, 200);
  EXPECT_EQ(exchange->WaitHead().content_type, "text/event-stream; charset=utf-8");
  for (size_t i = 0; i < ids.size(); ++i) {
    const std::string text =
        nlohmann::json(api_.frontend().model().tokenizer()->Decode(std::span(&ids[i], 1)).value())
            .dump();
    chunks.push_back(R"("choices":[{"index":0,"delta":{)" +
                     std::string(i == 0 ? R"("role":"assistant",)" : "") + R"("content":)" + text +
                     R"(},"logprobs":null,"finish_reason":null}])");
  }
  chunks.push_back(
      R"("choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length","stop_reason":null}])");
  EXPECT_EQ(body, Golden(kChatHead, chunks));
}

TEST_F(StreamingApiTest, ThinkingIsApart) {
  const auto api = Api::OfThinkingModel();
  api->AttachEngine();
  const auto exchange = api->Post("/v1/chat/completions",
                                  R"({"messages":[{"role":"user","content":"hi"}],"stream":true})");
  const internal::Submit submit = api->PopSubmit();
  const auto ids = api->Encode("<think>a</think>b");
  ASSERT_EQ(ids.size(), 4U);
  std::string body;
  api->Send(submit.request(), 0, {ids[0], ids[1]}, internal::ENGINE_FINISH_NONE);
  body += exchange->WaitPiece();
  api->Send(submit.request(), 2, {ids[2], ids[3]}, internal::ENGINE_FINISH_LENGTH);
  body += exchange->WaitBody();
  EXPECT_EQ(
      WithoutFingerprint(Normal(body)),
      Golden(
          kChatHead,
          {R"("choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"a"},"logprobs":null,"finish_reason":null}])",
           R"("choices":[{"index":0,"delta":{"content":"b"},"logprobs":null,"finish_reason":null}])",
           R"("choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length","stop_reason":null}])"}));
}

TEST_F(StreamingApiTest, UsageComesLastAndIsNullBefore) {
  const auto exchange = api_.Post(
      "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}})");
  const internal::Submit submit = api_.PopSubmit();
  internal::RequestOutput output;
  output.set_request(submit.request());
  output.add_tokens()->set_token_id(api_.Encode("a")[0]);
  output.set_cached_tokens(16);
  output.set_finish(internal::ENGINE_FINISH_EOS);
  api_.Send(output);
  const std::string prompt = std::to_string(submit.prompt_ids_size());
  const std::string total = std::to_string(submit.prompt_ids_size() + 1);
  EXPECT_EQ(
      WithoutFingerprint(Normal(exchange->WaitBody())),
      Golden(
          kChatHead,
          {R"("choices":[{"index":0,"delta":{"role":"assistant","content":"a"},"logprobs":null,"finish_reason":null}],"usage":null)",
           R"("choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop","stop_reason":null}],"usage":null)",
           R"("choices":[],"usage":{"prompt_tokens":)" + prompt +
               R"(,"completion_tokens":1,"total_tokens":)" + total +
               R"(,"prompt_tokens_details":{"cached_tokens":16}})"}));
}

TEST_F(StreamingApiTest, ContinuousUsage) {
  const auto exchange = api_.Post(
      "/v1/completions",
      R"({"prompt":[5,6,7],"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}})");
  const internal::Submit submit = api_.PopSubmit();
  const auto ids = api_.Encode("ab");
  const auto usage = [](int completion) {
    return R"("usage":{"prompt_tokens":3,"completion_tokens":)" + std::to_string(completion) +
           R"(,"total_tokens":)" + std::to_string(3 + completion) +
           R"(,"prompt_tokens_details":{"cached_tokens":0}})";
  };
  const int32_t a = api_.Encode("a")[0];
  const int32_t b = api_.Encode("b")[0];
  EXPECT_EQ(
      Converse(*exchange, submit, {a, b}, internal::ENGINE_FINISH_LENGTH),
      Golden(
          kTextHead,
          {R"("choices":[{"index":0,"text":"a","logprobs":null,"finish_reason":null,"stop_reason":null}],)" +
               usage(1),
           R"("choices":[{"index":0,"text":"b","logprobs":null,"finish_reason":"length","stop_reason":null}],)" +
               usage(2),
           R"("choices":[],)" + usage(2)}));
}

TEST_F(StreamingApiTest, ToolCallsComeWhole) {
  const auto exchange =
      api_.Post("/v1/chat/completions",
                R"({"messages":[{"role":"user","content":"weather?"}],"stream":true,
          "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]})");
  const internal::Submit submit = api_.PopSubmit();
  api_.Answer(submit,
              "So\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1}}\n</tool_call>\n"
              "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>",
              internal::ENGINE_FINISH_STOP_TOKEN);
  const std::string body = exchange->WaitBody();
  std::string content;
  std::string arguments[2];
  std::vector<nlohmann::json> firsts;
  std::string finish;
  for (size_t at = 0; (at = body.find("data: {", at)) != std::string::npos; ++at) {
    const auto chunk = nlohmann::json::parse(body.substr(at + 6, body.find('\n', at) - at - 6));
    const auto& choice = chunk["choices"][0];
    if (choice["finish_reason"].is_string()) finish = choice["finish_reason"];
    const auto& delta = choice["delta"];
    if (delta.contains("content") && delta["content"].is_string()) content += delta["content"];
    if (!delta.contains("tool_calls")) continue;
    const auto& call = delta["tool_calls"][0];
    if (call.contains("id")) firsts.push_back(call);
    arguments[call["index"].get<size_t>()] += call["function"]["arguments"];
  }
  EXPECT_EQ(content, "So\n");
  ASSERT_EQ(firsts.size(), 2U);
  EXPECT_EQ(firsts[0]["type"], "function");
  EXPECT_EQ(firsts[0]["function"]["name"], "f");
  EXPECT_EQ(firsts[1]["function"]["name"], "g");
  EXPECT_NE(firsts[0]["id"], firsts[1]["id"]);
  EXPECT_EQ(arguments[0], R"({"a": 1})");
  EXPECT_EQ(arguments[1], "{}");
  EXPECT_EQ(finish, "tool_calls");
}

// The id, type and name at the first brace; then a piece for each token.
TEST_F(StreamingApiTest, AForcedCallComesInPieces) {
  const auto exchange = api_.Post(
      "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"a"}],"stream":true,"tool_choice":"required",
          "tools":[{"type":"function","function":{"name":"f"}}],
          "stream_options":{"include_usage":true,"continuous_usage_stats":true}})");
  const internal::Submit submit = api_.PopSubmit();
  std::vector<int32_t> ids = api_.Encode("<tool_call>\n{\"name\": \"f\", \"arguments\": ");
  const auto num_head = static_cast<int64_t>(ids.size());
  for (const char* piece : {"{", "\"", "a", "\"", ":", "1", "}", "}"}) {
    ids.push_back(api_.Encode(piece)[0]);
  }
  const std::string body = Converse(*exchange, submit, ids, internal::ENGINE_FINISH_EOS);
  std::vector<std::string> pieces;
  int64_t num_tokens = 0;
  for (size_t at = 0; (at = body.find("data: {", at)) != std::string::npos; ++at) {
    const auto chunk = nlohmann::json::parse(body.substr(at + 6, body.find('\n', at) - at - 6));
    EXPECT_GE(chunk["usage"]["completion_tokens"], num_tokens);
    num_tokens = chunk["usage"]["completion_tokens"];
    if (chunk["choices"].empty()) continue;
    const auto& delta = chunk["choices"][0]["delta"];
    if (!delta.contains("tool_calls")) continue;
    const auto& call = delta["tool_calls"][0];
    EXPECT_EQ(call["index"], 0);
    EXPECT_EQ(call.contains("id"), pieces.empty());
    EXPECT_EQ(call.contains("type"), pieces.empty());
    EXPECT_EQ(call["function"].value("name", ""), pieces.empty() ? "f" : "");
    if (pieces.empty()) {
      EXPECT_EQ(num_tokens, num_head + 1);
    }
    pieces.push_back(call["function"]["arguments"]);
  }
  EXPECT_THAT(pieces, ::testing::ElementsAre("", "{", "\"", "a", "\"", ":", "1", "}"));
  EXPECT_THAT(body, HasSubstr(R"("finish_reason":"tool_calls")"));
  EXPECT_EQ(num_tokens, static_cast<int64_t>(ids.size()));
}

TEST_F(StreamingApiTest, AnErrorBeforeTheFirstTokenHasAStatus) {
  const auto exchange = api_.Post("/v1/completions", R"({"prompt":"a","stream":true})");
  const internal::Submit submit = api_.PopSubmit();
  api_.DropEngine();
  EXPECT_EQ(exchange->WaitHead().status, 503);
  EXPECT_FALSE(exchange->HeaderOf("Retry-After").empty());
}

TEST_F(StreamingApiTest, AnErrorAfterTheFirstTokenIsTheLastEvent) {
  const auto exchange = api_.Post("/v1/completions", R"({"prompt":"a","stream":true})");
  const internal::Submit submit = api_.PopSubmit();
  api_.Send(submit.request(), 0, {api_.Encode("a")[0]});
  EXPECT_THAT(exchange->WaitPiece(), HasSubstr("\"text\":\"a\""));
  api_.DropEngine();
  const std::string rest = exchange->WaitBody();
  EXPECT_THAT(rest, ::testing::StartsWith("data: {\"error\":{\"message\":\"worker group lost"));
  EXPECT_THAT(rest, ::testing::EndsWith("\"code\":503}}\n\n"));
}

TEST_F(StreamingApiTest, OnePromptsFailureEndsTheOthers) {
  const auto exchange = api_.Post("/v1/completions", R"({"prompt":["a","b"],"stream":true})");
  const internal::Submit first = api_.PopSubmit();
  const internal::Submit second = api_.PopSubmit();
  api_.Send(first.request(), 0, {api_.Encode("a")[0]});
  exchange->WaitPiece();
  internal::RequestOutput failed;
  failed.set_request(second.request());
  failed.set_finish(internal::ENGINE_FINISH_ERROR);
  failed.set_error("broken");
  api_.Send(failed);
  EXPECT_THAT(exchange->WaitBody(), HasSubstr("\"code\":500"));
  EXPECT_EQ(api_.PopCancel(), first.request());
  EXPECT_TRUE(api_.frontend().WaitForStreams(std::chrono::seconds(5)));
}

TEST_F(StreamingApiTest, AReaderWhoLeavesIsCancelled) {
  const auto exchange = api_.Post("/v1/completions", R"({"prompt":"a","stream":true})");
  const internal::Submit submit = api_.PopSubmit();
  api_.Send(submit.request(), 0, {api_.Encode("a")[0]});
  exchange->WaitPiece();
  exchange->GoAway();
  EXPECT_EQ(api_.PopCancel(), submit.request());
  EXPECT_TRUE(api_.frontend().WaitForStreams(std::chrono::seconds(5)));
}

TEST_F(StreamingApiTest, AReaderWhoLeavesEarlyIsCancelled) {
  for (const char* stream : {"true", "false"}) {
    const auto exchange = api_.Post(
        "/v1/completions", R"({"prompt":["a","b"],"n":2,"stream":)" + std::string(stream) + "}");
    std::vector<uint64_t> requests;
    for (int i = 0; i < 4; ++i) requests.push_back(api_.PopSubmit().request());
    exchange->GoAway();
    std::vector<uint64_t> cancelled;
    for (int i = 0; i < 4; ++i) cancelled.push_back(api_.PopCancel());
    EXPECT_THAT(cancelled, ::testing::UnorderedElementsAreArray(requests));
    EXPECT_TRUE(api_.frontend().WaitForStreams(std::chrono::seconds(5)));
  }
}

TEST_F(StreamingApiTest, ChoicesAndPromptsShareOneStream) {
  const auto exchange = api_.Post("/v1/completions",
                                  R"({"prompt":[[5,6],[7]],"n":2,"stream":true,"max_tokens":1,
                                      "stream_options":{"include_usage":true}})");
  const char* texts[] = {"a", "b", "c", "d"};
  for (const char* text : texts) {
    api_.Send(api_.PopSubmit().request(), 0, {api_.Encode(text)[0]},
              internal::ENGINE_FINISH_LENGTH);
  }
  const std::string body = exchange->WaitBody();
  for (int i = 0; i < 4; ++i) {
    EXPECT_THAT(body, HasSubstr(R"({"index":)" + std::to_string(i) + R"(,"text":")" + texts[i]));
  }
  EXPECT_THAT(body, HasSubstr(R"("choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4)"));
}

}  // namespace
}  // namespace phalanx
