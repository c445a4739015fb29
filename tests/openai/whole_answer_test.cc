#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "coordinator/core/frontend.h"
#include "tests/openai/api_fixture.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::Api;
using testing::FakeExchange;
using ::testing::StartsWith;

class WholeAnswerTest : public ::testing::Test {
 protected:
  WholeAnswerTest() { api_.AttachEngine(); }

  json Body(FakeExchange& exchange) {
    EXPECT_EQ(exchange.WaitHead().status, 200) << exchange.WaitBody();
    EXPECT_EQ(exchange.WaitHead().content_type, "application/json");
    return json::parse(exchange.WaitBody());
  }

  Api api_;
};

TEST_F(WholeAnswerTest, Chat) {
  const auto exchange = api_.Post(
      "/v1/chat/completions", R"({"model":"alias","messages":[{"role":"user","content":"hi"}]})");
  const internal::Submit submit = api_.PopSubmit();
  api_.Answer(submit, "Hello there");
  json body = Body(*exchange);
  const auto tokens = static_cast<int>(api_.Encode("Hello there").size());
  EXPECT_THAT(body["id"].get<std::string>(), StartsWith("chatcmpl-req-"));
  EXPECT_EQ("chatcmpl-" + exchange->HeaderOf("X-Request-Id"), body["id"]);
  EXPECT_THAT(body["system_fingerprint"].get<std::string>(), StartsWith("fp_"));
  body.erase("id");
  body.erase("system_fingerprint");
  const int prompt = submit.prompt_ids_size();
  EXPECT_EQ(body, (json{{"object", "chat.completion"},
                        {"created", 1700000000},
                        {"model", "demo"},
                        {"choices",
                         {{{"index", 0},
                           {"message",
                            {{"role", "assistant"},
                             {"content", "Hello there"},
                             {"refusal", nullptr},
                             {"tool_calls", json::array()}}},
                           {"logprobs", nullptr},
                           {"finish_reason", "length"},
                           {"stop_reason", nullptr}}}},
                        {"usage",
                         {{"prompt_tokens", prompt},
                          {"completion_tokens", tokens},
                          {"total_tokens", prompt + tokens},
                          {"prompt_tokens_details", {{"cached_tokens", 0}}}}}}));
}

TEST_F(WholeAnswerTest, Completion) {
  const auto exchange = api_.Post("/v1/completions", R"({"prompt":[5,6],"return_token_ids":true})");
  const internal::Submit submit = api_.PopSubmit();
  EXPECT_EQ(submit.sampling().max_tokens(), 16);
  const int32_t id = api_.Encode("a")[0];
  api_.Send(submit.request(), 0, {id}, internal::ENGINE_FINISH_LENGTH);
  json body = Body(*exchange);
  EXPECT_THAT(body["id"].get<std::string>(), StartsWith("cmpl-req-"));
  body.erase("id");
  body.erase("system_fingerprint");
  EXPECT_EQ(body, (json{{"object", "text_completion"},
                        {"created", 1700000000},
                        {"model", "demo"},
                        {"choices",
                         {{{"index", 0},
                           {"text", "a"},
                           {"logprobs", nullptr},
                           {"finish_reason", "length"},
                           {"stop_reason", nullptr},
                           {"prompt_logprobs", nullptr},
                           {"token_ids", {id}},
                           {"prompt_token_ids", {5, 6}}}}},
                        {"usage",
                         {{"prompt_tokens", 2},
                          {"completion_tokens", 1},
                          {"total_tokens", 3},
                          {"prompt_tokens_details", {{"cached_tokens", 0}}}}}}));
}

TEST_F(WholeAnswerTest, PromptsTimesChoices) {
  const auto exchange =
      api_.Post("/v1/completions", R"({"prompt":["a","b"],"n":2,"max_tokens":1})");
  std::vector<internal::Submit> submits;
  for (int i = 0; i < 4; ++i) submits.push_back(api_.PopSubmit());
  for (const int i : {3, 0, 2, 1}) {
    api_.Send(submits[static_cast<size_t>(i)].request(), 0,
              {api_.Encode(std::string(1, static_cast<char>('w' + i)))[0]},
              internal::ENGINE_FINISH_LENGTH);
  }
  const json body = Body(*exchange);
  ASSERT_EQ(body["choices"].size(), 4U);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(body["choices"][i]["index"], i);
    EXPECT_EQ(body["choices"][i]["text"], std::string(1, static_cast<char>('w' + i)));
  }
  EXPECT_EQ(body["usage"]["completion_tokens"], 4);
}

TEST_F(WholeAnswerTest, OneFailureCancelsTheRest) {
  const auto exchange = api_.Post("/v1/completions", R"({"prompt":["a","b"]})");
  const internal::Submit first = api_.PopSubmit();
  const internal::Submit second = api_.PopSubmit();
  internal::RequestOutput failed;
  failed.set_request(second.request());
  failed.set_finish(internal::ENGINE_FINISH_ERROR);
  failed.set_error("prompt: is 99 blocks, allowed: 10");
  failed.set_error_code(3);
  failed.set_error_field("prompt");
  api_.Send(failed);
  EXPECT_EQ(exchange->WaitHead().status, 400);
  EXPECT_EQ(json::parse(exchange->WaitBody())["error"]["param"], "prompt");
  EXPECT_EQ(api_.PopCancel(), first.request());
  EXPECT_TRUE(api_.frontend().WaitForStreams(std::chrono::seconds(5)));
}

TEST_F(WholeAnswerTest, AWorkersFaultIs500WithTheId) {
  const auto exchange = api_.Post("/v1/completions", R"({"prompt":"a"})");
  const internal::Submit submit = api_.PopSubmit();
  internal::RequestOutput failed;
  failed.set_request(submit.request());
  failed.set_finish(internal::ENGINE_FINISH_ERROR);
  failed.set_error("broken");
  api_.Send(failed);
  EXPECT_EQ(exchange->WaitHead().status, 500);
  EXPECT_EQ(exchange->HeaderOf("X-Should-Retry"), "false");
  const auto message = json::parse(exchange->WaitBody())["error"]["message"].get<std::string>();
  EXPECT_THAT(message, StartsWith("req-"));
  EXPECT_THAT(message, ::testing::HasSubstr(exchange->HeaderOf("X-Request-Id")));
}

internal::TokenInfo Token(int32_t id, float logprob, const std::vector<int32_t>& top = {}) {
  internal::TokenInfo token;
  token.set_token_id(id);
  token.set_logprob(logprob);
  token.set_rank(1);
  for (const int32_t other : top) {
    token.add_top()->set_token_id(other);
    token.mutable_top(token.top_size() - 1)->set_logprob(-2);
  }
  return token;
}

TEST_F(WholeAnswerTest, EchoHasThePromptsLogprobsBeforeTheOthers) {
  for (const std::string prompt : {"Wörld: a b c", "a"}) {  // the last is one token
    const auto exchange = api_.Post(
        "/v1/completions",
        json{{"prompt", prompt}, {"echo", true}, {"logprobs", 1}, {"max_tokens", 1}}.dump());
    const internal::Submit submit = api_.PopSubmit();
    EXPECT_EQ(submit.sampling().prompt_logprobs(), 1);
    const int32_t x = api_.Encode("x")[0];
    internal::RequestOutput output;
    output.set_request(submit.request());
    for (int i = 1; i < submit.prompt_ids_size(); ++i) {
      *output.add_prompt() = Token(submit.prompt_ids(i), -1, {x});
    }
    *output.add_tokens() = Token(x, -0.5F, {x});
    output.set_finish(internal::ENGINE_FINISH_LENGTH);
    api_.Send(output);
    const json body = Body(*exchange);
    const json& choice = body["choices"][0];
    EXPECT_EQ(choice["text"], prompt + "x");
    const json& logprobs = choice["logprobs"];
    const auto n = static_cast<size_t>(submit.prompt_ids_size()) + 1;
    for (const char* key : {"tokens", "token_logprobs", "top_logprobs", "text_offset"}) {
      ASSERT_EQ(logprobs[key].size(), n) << key;
    }
    EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
    EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
    EXPECT_EQ(logprobs["token_logprobs"].back(), -0.5);
    EXPECT_TRUE(choice["prompt_logprobs"][0].is_null());
    EXPECT_EQ(choice["prompt_logprobs"].size(), n - 1);
  }
}

TEST_F(WholeAnswerTest, EchoAloneNeedsNoWorker) {
  const auto exchange =
      api_.Post("/v1/completions", R"({"prompt":"ab","echo":true,"max_tokens":0})");
  const json body = Body(*exchange);
  EXPECT_EQ(body["choices"][0]["text"], "ab");
  EXPECT_EQ(body["usage"]["completion_tokens"], 0);
  EXPECT_FALSE(api_.has_submit());
}

TEST_F(WholeAnswerTest, ChatLogprobs) {
  const auto exchange = api_.Post(
      "/v1/chat/completions",
      R"({"messages":[{"role":"user","content":"hi"}],"logprobs":true,"top_logprobs":2})");
  const internal::Submit submit = api_.PopSubmit();
  EXPECT_EQ(submit.sampling().logprobs(), 2);
  const int32_t a = api_.Encode("a")[0];
  const int32_t b = api_.Encode("b")[0];
  internal::RequestOutput output;
  output.set_request(submit.request());
  *output.add_tokens() = Token(a, -0.25F, {a, b});
  output.set_finish(internal::ENGINE_FINISH_LENGTH);
  api_.Send(output);
  EXPECT_EQ(Body(*exchange)["choices"][0]["logprobs"],
            json::parse(R"({"content":[{"token":"a","logprob":-0.25,"bytes":[97],"top_logprobs":[
                {"token":"a","logprob":-2.0,"bytes":[97]},{"token":"b","logprob":-2.0,"bytes":[98]}]}]})"));
}

TEST_F(WholeAnswerTest, StopReasons) {
  const auto finish = [this](const std::string& fields, const std::string& text,
                             internal::EngineFinish how, int32_t stop_id) {
    const auto exchange = api_.Post("/v1/completions", R"({"prompt":"a",)" + fields + "}");
    const internal::Submit submit = api_.PopSubmit();
    internal::RequestOutput output;
    output.set_request(submit.request());
    for (const int32_t id : api_.Encode(text)) output.add_tokens()->set_token_id(id);
    output.set_finish(how);
    output.set_stop_token_id(stop_id);
    api_.Send(output);
    const json choice = Body(*exchange)["choices"][0];
    return json{choice["finish_reason"], choice["stop_reason"]};
  };
  EXPECT_EQ(finish(R"("stop":"b")", "abc", internal::ENGINE_FINISH_NONE, 0), (json{"stop", "b"}));
  EXPECT_EQ(finish(R"("stop_token_ids":[7])", "a", internal::ENGINE_FINISH_STOP_TOKEN, 7),
            (json{"stop", 7}));
  EXPECT_EQ(finish(R"("stop":"7")", "a7", internal::ENGINE_FINISH_NONE, 0), (json{"stop", "7"}));
  EXPECT_EQ(finish(R"("n":1)", "a", internal::ENGINE_FINISH_EOS, 0), (json{"stop", nullptr}));
  EXPECT_EQ(finish(R"("n":1)", "a", internal::ENGINE_FINISH_CANCELLED, 0),
            (json{"abort", nullptr}));
}

TEST_F(WholeAnswerTest, ToolCalls) {
  const std::string base =
      R"({"messages":[{"role":"user","content":"w?"}],"tools":[{"type":"function","function":{"name":"f"}}])";
  const std::string call =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1.50}}\n</tool_call>";
  const auto ask = [&](const std::string& fields, const std::string& text) {
    const auto exchange = api_.Post("/v1/chat/completions", base + fields + "}");
    api_.Answer(api_.PopSubmit(), text, internal::ENGINE_FINISH_EOS);
    return Body(*exchange)["choices"][0];
  };
  json choice = ask("", call + "\n" + call);
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_TRUE(choice["message"]["content"].is_null());
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 2U);
  const json& first = choice["message"]["tool_calls"][0];
  EXPECT_EQ(first["type"], "function");
  EXPECT_THAT(first["id"].get<std::string>(), StartsWith("call_"));
  EXPECT_EQ(first["function"], (json{{"name", "f"}, {"arguments", "{\"a\": 1.50}"}}));
  EXPECT_NE(first["id"], choice["message"]["tool_calls"][1]["id"]);

  choice = ask(R"(,"parallel_tool_calls":false)", "Well: " + call + "\n" + call);
  EXPECT_EQ(choice["message"]["content"], "Well: ");
  EXPECT_EQ(choice["message"]["tool_calls"].size(), 1U);

  choice = ask(R"(,"tool_choice":"none")", call);
  EXPECT_EQ(choice["message"]["content"], call);
  EXPECT_EQ(choice["finish_reason"], "stop");

  choice = ask("", "<tool_call>\n{broken}\n</tool_call>");
  EXPECT_EQ(choice["message"]["content"], "<tool_call>\n{broken}\n</tool_call>");
  EXPECT_TRUE(choice["message"]["tool_calls"].empty());
  EXPECT_EQ(choice["finish_reason"], "stop");
}

// OpenAI's finish reasons: "stop" where the client named the function.
TEST_F(WholeAnswerTest, CallsThatWereAskedFor) {
  const std::string base =
      R"({"messages":[{"role":"user","content":"w?"}],"tools":[{"type":"function","function":{"name":"f"}}],)";
  const std::string call = "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>";
  const auto ask = [&](const std::string& choice, const std::string& text,
                       internal::EngineFinish finish) {
    const auto exchange =
        api_.Post("/v1/chat/completions", base + "\"tool_choice\":" + choice + "}");
    const internal::Submit submit = api_.PopSubmit();
    EXPECT_EQ(submit.sampling().grammar().kind(), internal::GRAMMAR_KIND_STRUCTURAL_TAG);
    EXPECT_FALSE(submit.sampling().grammar().has_start_after());
    api_.Answer(submit, text, finish);
    return Body(*exchange)["choices"][0];
  };
  const std::string named = R"({"type":"function","function":{"name":"f"}})";
  json choice = ask("\"required\"", call + "\n" + call, internal::ENGINE_FINISH_EOS);
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], "");
  EXPECT_EQ(choice["message"]["tool_calls"].size(), 2U);

  choice = ask("\"required\"", call + "\n<tool_call>", internal::ENGINE_FINISH_LENGTH);
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["message"]["tool_calls"].size(), 1U);

  choice = ask("\"required\"", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": [",
               internal::ENGINE_FINISH_LENGTH);
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["message"]["content"], "");
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["arguments"], "{\"a\": [");

  choice = ask(named, call, internal::ENGINE_FINISH_EOS);
  EXPECT_EQ(choice["finish_reason"], "stop");
  EXPECT_EQ(choice["message"]["content"], "");
  EXPECT_EQ(choice["message"]["tool_calls"][0]["function"]["name"], "f");
}

TEST_F(WholeAnswerTest, ThinkingIsApart) {
  const auto api = Api::OfThinkingModel();
  api->AttachEngine();
  const auto ask = [&](const std::string& fields, const std::string& text) {
    const auto exchange = api->Post(
        "/v1/chat/completions", R"({"messages":[{"role":"user","content":"w?"}])" + fields + "}");
    api->Answer(api->PopSubmit(), text, internal::ENGINE_FINISH_EOS);
    return Body(*exchange)["choices"][0]["message"];
  };
  json message = ask("", "<think>\nHm.\n</think>\n\n42");
  EXPECT_EQ(message["reasoning_content"], "\nHm.\n");
  EXPECT_EQ(message["content"], "\n\n42");
  message = ask("", "Hm.");
  EXPECT_EQ(message["reasoning_content"], "Hm.");
  EXPECT_TRUE(message["content"].is_null());
  message = ask(R"(,"include_reasoning":false)", "Hm.</think>42");
  EXPECT_FALSE(message.contains("reasoning_content"));
  EXPECT_EQ(message["content"], "42");
  message = ask(R"(,"stop":"m.","include_stop_str_in_output":true)", "Hm. More.");
  EXPECT_EQ(message["reasoning_content"], "Hm.");
}

TEST_F(WholeAnswerTest, AGrammarHoldsAfterTheThinking) {
  const auto api = Api::OfThinkingModel();
  api->AttachEngine();
  const auto start = [&](const std::string& messages) {
    const auto exchange = api->Post(
        "/v1/chat/completions",
        R"({"guided_regex":"a","continue_final_message":true,"messages":[)" + messages + "]}");
    const internal::Submit submit = api->PopSubmit();
    api->Answer(submit, "a", internal::ENGINE_FINISH_EOS);
    EXPECT_EQ(Body(*exchange)["choices"][0]["message"].contains("reasoning_content"),
              submit.sampling().grammar().has_start_after());
    return submit.sampling().grammar();
  };
  const internal::Grammar thinks = start(R"({"role":"assistant","content":"<think>Well"})");
  ASSERT_TRUE(thinks.has_start_after());
  EXPECT_EQ(thinks.start_after(), api->Encode("</think>")[0]);
  // A prompt that has closed the thinking leaves none to do.
  EXPECT_FALSE(
      start(R"({"role":"assistant","content":"<think>Well.</think> It is"})").has_start_after());
}

TEST_F(WholeAnswerTest, AGrammarThatLeavesNoTokenIsNamedAsTheClientNamesIt) {
  for (const auto& [fields, param] :
       {std::pair(R"("guided_regex":"a")", "guided_regex"),
        {R"("response_format":{"type":"json_object"})", "response_format"},
        {R"("tool_choice":"required","tools":[{"type":"function","function":{"name":"f"}}])",
         "tools"}}) {
    const auto exchange =
        api_.Post("/v1/chat/completions",
                  R"({"messages":[{"role":"user","content":"w?"}],)" + std::string(fields) + "}");
    internal::RequestOutput output;
    output.set_request(api_.PopSubmit().request());
    output.set_finish(internal::ENGINE_FINISH_ERROR);
    output.set_error_code(static_cast<int32_t>(StatusCode::kInvalidArgument));
    output.set_error("sampling.grammar: no token that fits");
    output.set_error_field("sampling.grammar");
    api_.Send(output);
    ASSERT_EQ(exchange->WaitHead().status, 400);
    const json error = json::parse(exchange->WaitBody())["error"];
    EXPECT_EQ(error["param"], param);
    EXPECT_EQ(error["message"], std::string(param) + ": no token that fits");
  }
}

TEST_F(WholeAnswerTest, LargeAnswersAreWhole) {
  const auto exchange =
      api_.Post("/v1/completions", R"({"prompt":"a","max_tokens":250,"logprobs":20})");
  const internal::Submit submit = api_.PopSubmit();
  const int32_t a = api_.Encode("a")[0];
  internal::RequestOutput output;
  output.set_request(submit.request());
  for (int i = 0; i < 250; ++i) *output.add_tokens() = Token(a, -1, std::vector<int32_t>(20, a));
  output.set_finish(internal::ENGINE_FINISH_LENGTH);
  api_.Send(output);
  const json body = Body(*exchange);
  EXPECT_EQ(body["choices"][0]["logprobs"]["tokens"].size(), 250U);
  EXPECT_EQ(body["choices"][0]["text"], std::string(250, 'a'));
  EXPECT_TRUE(api_.frontend().WaitForStreams(std::chrono::seconds(5)));
}

TEST_F(WholeAnswerTest, LargeBodiesAreAnsweredToo) {
  json messages = json::array();
  for (int i = 0; i < 600; ++i) messages.push_back({{"role", "user"}, {"content", "a"}});
  const std::string body = json{{"messages", messages}}.dump();
  ASSERT_GT(body.size(), openai::kInlineBytes);
  const auto exchange = api_.Post("/v1/chat/completions", body);
  const auto head = exchange->WaitHead();
  EXPECT_EQ(head.status, 400) << "longer than the fake group's context";
  EXPECT_EQ(json::parse(exchange->WaitBody())["error"]["param"], "messages");
}

}  // namespace
}  // namespace phalanx
