// From fields to the request path's message.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include "coordinator/openai/requests.h"

namespace phalanx::openai {
namespace {

struct Row {
  std::string fields;   // beside the messages or the prompt
  std::string message;  // what they add, as protobuf text
};

template <typename Message>
void ExpectEqual(const Message& message, const std::string& text, const std::string& fields) {
  Message expected;
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &expected)) << text;
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(message, expected))
      << fields << "\n"
      << message.DebugString();
}

class RequestTest : public ::testing::Test {
 protected:
  StatusOr<ChatCall> Chat(const std::string& body) {
    return ReadChat(ParseBody(body, limits_).value(), {limits_, unknown_});
  }
  StatusOr<CompletionCall> Completion(const std::string& body) {
    return ReadCompletion(ParseBody(body, limits_).value(), {limits_, unknown_});
  }
  static std::string With(const std::string& begin, const std::string& fields) {
    return begin + (fields.empty() ? "" : ",") + fields + "}";
  }

  const Limits limits_;
  UnknownFields unknown_{UnknownFieldPolicy::kRefuse};
};

const Row kCommon[] = {
    {"", "sampling {}"},
    {R"("model":"m")", R"(model: "m" sampling {})"},
    {R"("temperature":0)", "sampling { temperature: 0 }"},
    {R"("temperature":null,"top_p":null,"n":null,"stop":null,"stream":null,"logit_bias":null,"seed":null)",
     "sampling {}"},
    {R"("top_p":0.5,"top_k":-1,"min_p":0.25)", "sampling { top_p: 0.5 top_k: -1 min_p: 0.25 }"},
    {R"("frequency_penalty":-2,"presence_penalty":1.5,"repetition_penalty":1)",
     "sampling { frequency_penalty: -2 presence_penalty: 1.5 repetition_penalty: 1 }"},
    {R"("logit_bias":{"5":-100,"7":0.5})",
     "sampling { logit_bias { key: 5 value: -100 } logit_bias { key: 7 value: 0.5 } }"},
    {R"("seed":-1)", "sampling {}"},
    {R"("seed":7)", "sampling { seed: 7 }"},
    {R"("seed":18446744073709551615)", "sampling { seed: 18446744073709551615 }"},
    {R"("seed":-2)", "sampling { seed: 18446744073709551614 }"},
    {R"("n":3,"best_of":3)", "sampling { n: 3 }"},
    {R"("best_of":1)", "sampling {}"},
    {R"("max_tokens":9.0,"min_tokens":2)", "sampling { max_tokens: 9 min_tokens: 2 }"},
    {R"("stop":"x")", R"(sampling { stop: "x" })"},
    {R"("stop":["x","yß"])", R"(sampling { stop: "x" stop: "yß" })"},
    {R"("stop":[])", "sampling {}"},
    {R"("stop_token_ids":[1,2],"allowed_token_ids":[3],"bad_words":["no"])",
     R"(sampling { stop_token_ids: 1 stop_token_ids: 2 allowed_token_ids: 3 bad_words: "no" })"},
    {R"("ignore_eos":true,"include_stop_str_in_output":true,"skip_special_tokens":false)",
     "sampling { ignore_eos: true include_stop_str_in_output: true skip_special_tokens: false }"},
    {R"("prompt_logprobs":0)", "sampling { prompt_logprobs: 0 }"},
    {R"("priority":-3,"request_id":"r","cache_salt":"s")",
     R"(priority: -3 request_id: "r" cache_salt: "s" sampling {})"},
    {R"("user":"u","metadata":{"a":"b"},"store":false,"service_tier":"auto","length_penalty":2)",
     "sampling {}"},
    {R"("response_format":{"type":"text"},"use_beam_search":false,"logits_processors":[])",
     "sampling {}"},
    {R"("response_format":{"type":"json_object"})",
     "sampling { structured_outputs { json_object: true } }"},
    {R"("response_format":{"type":"json_schema","json_schema":{"name":"n","strict":true,"schema":{"z":1,"a":2}}})",
     R"(sampling { structured_outputs { json_schema: "{\"z\":1,\"a\":2}" } })"},
    {R"("response_format":{"type":"structural_tag","format":{"z":1,"a":2}})",
     R"(sampling { structured_outputs { structural_tag:
        "{\"type\":\"structural_tag\",\"format\":{\"z\":1,\"a\":2}}" } })"},
    {R"("structured_outputs":{"structural_tag":"{ }"})",
     R"(sampling { structured_outputs { structural_tag: "{ }" } })"},
    {R"("structured_outputs":{"grammar":"root ::= [a]"})",
     R"(sampling { structured_outputs { grammar: "root ::= [a]" } })"},
    {R"("guided_grammar":"root ::= [a]")",
     R"(sampling { structured_outputs { grammar: "root ::= [a]" } })"},
    {R"("guided_json":{"type":"object"},"guided_decoding_backend":"xgrammar")",
     R"(sampling { structured_outputs { json_schema: "{\"type\":\"object\"}" } })"},
    {R"("structured_outputs":{"json":"{ }","disable_any_whitespace":false})",
     R"(sampling { structured_outputs { json_schema: "{ }" } })"},
    {R"("structured_outputs":{"regex":"a+"})",
     R"(sampling { structured_outputs { regex: "a+" } })"},
    {R"("guided_choice":["a","b"],"guided_json":null)",
     R"(sampling { structured_outputs { choice { choices: "a" choices: "b" } } })"},
    {R"("stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":false})",
     "sampling {}"},
};

TEST_F(RequestTest, CommonFieldsMeanTheSameInBoth) {
  for (const Row& row : kCommon) {
    const auto chat = Chat(With(R"({"messages":[{"role":"user","content":"hi"}])", row.fields));
    ASSERT_TRUE(chat.ok()) << row.fields << chat.status();
    ExpectEqual(chat->request, R"(messages { role: "user" content: "hi" } )" + row.message,
                row.fields);
    const auto completion = Completion(With(R"({"prompt":"hi")", row.fields));
    ASSERT_TRUE(completion.ok()) << row.fields << completion.status();
    ASSERT_EQ(completion->requests.size(), 1U);
    ExpectEqual(completion->requests[0], R"(text: "hi" )" + row.message, row.fields);
  }
}

TEST_F(RequestTest, ChatFields) {
  const Row rows[] = {
      {R"("messages":[{"role":"developer","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]}])",
       R"(messages { role: "system" content: "a\nb" })"},
      {R"("messages":[{"role":"user","content":["a",{"type":"input_text","text":"b"}],"name":"x"}])",
       R"(messages { role: "user" content: "a\nb" name: "x" })"},
      {R"("messages":[{"role":"assistant","content":"a","reasoning_content":"b"}])",
       R"(messages { role: "assistant" content: "a" reasoning_content: "b" })"},
      {R"("messages":[{"role":"assistant","content":"a","reasoning":"b"}])",
       R"(messages { role: "assistant" content: "a" reasoning_content: "b" })"},
      {R"("messages":[{"role":"user","content":[]}])", R"(messages { role: "user" content: "" })"},
      {R"("messages":[{"role":"assistant","content":null,"refusal":null,"tool_calls":
          [{"id":"c","type":"function","function":{"name":"f","arguments":"{\"a\": 1}"}},
           {"function":{"name":"g","arguments":{"b":[1.0]}}},{"function":{"name":"h"}}]},
          {"role":"tool","tool_call_id":"c","content":"42"}])",
       R"(messages { role: "assistant"
            tool_calls { id: "c" name: "f" arguments_json: "{\"a\": 1}" }
            tool_calls { name: "g" arguments_json: "{\"b\":[1.0]}" }
            tool_calls { name: "h" arguments_json: "{}" } }
          messages { role: "tool" tool_call_id: "c" content: "42" })"},
  };
  for (const Row& row : rows) {
    const auto call = Chat("{" + row.fields + "}");
    ASSERT_TRUE(call.ok()) << row.fields << call.status();
    ExpectEqual(call->request, row.message + " sampling {}", row.fields);
  }
  const Row more[] = {
      {R"("max_tokens":5,"max_completion_tokens":6)", "sampling { max_tokens: 6 }"},
      {R"("logprobs":true)", "sampling { logprobs: 0 }"},
      {R"("logprobs":true,"top_logprobs":5)", "sampling { logprobs: 5 }"},
      {R"("logprobs":false,"top_logprobs":0)", "sampling {}"},
      {R"("add_generation_prompt":false)", "add_generation_prompt: false sampling {}"},
      {R"("continue_final_message":true)",
       "continue_final_message: true add_generation_prompt: false sampling {}"},
      {R"("tools":[{"type":"function","function":{"parameters":{"z":1,"a":2},"name":"f"}}])",
       R"(tools_json: "{\"type\":\"function\",\"function\":{\"parameters\":{\"z\":1,\"a\":2},\"name\":\"f\"}}" sampling {})"},
      {R"("tools":[],"tool_choice":"none","chat_template_kwargs":{},"echo":false)",
       "sampling {} tool_choice { none: true }"},
      {R"("parallel_tool_calls":false)", "sampling {} parallel_tool_calls: false"},
      {R"("chat_template_kwargs":{"z":1,"a":true})",
       R"(chat_template_kwargs_json: "{\"z\":1,\"a\":true}" sampling {})"},
  };
  for (const Row& row : more) {
    const auto call = Chat(With(R"({"messages":[{"role":"user","content":"hi"}])", row.fields));
    ASSERT_TRUE(call.ok()) << row.fields << call.status();
    ExpectEqual(call->request, R"(messages { role: "user" content: "hi" } )" + row.message,
                row.fields);
  }
}

TEST_F(RequestTest, ToolChoice) {
  const std::string base =
      R"({"messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}])";
  EXPECT_FALSE(Chat(With(base, R"("tool_choice":"auto")"))->request.has_tool_choice());
  const auto required = Chat(With(base, R"("tool_choice":"required")"));
  EXPECT_TRUE(required->request.tool_choice().required());
  EXPECT_FALSE(required->request.has_parallel_tool_calls());
  EXPECT_TRUE(required->is_forced());
  const auto named = Chat(With(
      base,
      R"("tool_choice":{"type":"function","function":{"name":"f"}},"parallel_tool_calls":false)"));
  EXPECT_EQ(named->request.tool_choice().function(), "f");
  EXPECT_TRUE(named->request.has_parallel_tool_calls());
  EXPECT_FALSE(named->request.parallel_tool_calls());
  EXPECT_TRUE(named->is_forced());
  const auto none =
      Chat(With(base, R"("tool_choice":"none","response_format":{"type":"json_object"})"));
  EXPECT_FALSE(none->is_forced());
  EXPECT_TRUE(none->request.sampling().has_structured_outputs());
  // The content that a format is about is not there.
  const auto formatted =
      Chat(With(base, R"("tool_choice":"required","response_format":{"type":"json_object"})"));
  EXPECT_FALSE(formatted->request.sampling().has_structured_outputs());
}

TEST_F(RequestTest, Prompts) {
  const struct {
    const char* prompt;
    std::vector<std::string> messages;
  } rows[] = {
      {R"("a")", {R"(text: "a")"}},
      {R"([5,6])", {"token_ids { ids: 5 ids: 6 }"}},
      {R"(["a","b"])", {R"(text: "a")", R"(text: "b")"}},
      {R"([[5],[6,7]])", {"token_ids { ids: 5 }", "token_ids { ids: 6 ids: 7 }"}},
  };
  for (const auto& row : rows) {
    const auto call = Completion(R"({"prompt":)" + std::string(row.prompt) + "}");
    ASSERT_TRUE(call.ok()) << call.status();
    ASSERT_EQ(call->requests.size(), row.messages.size());
    for (size_t i = 0; i < row.messages.size(); ++i) {
      ExpectEqual(call->requests[i], row.messages[i] + " sampling {}", row.prompt);
    }
  }
}

TEST_F(RequestTest, EchoWithLogprobsAsksForThoseOfThePrompt) {
  const auto call = Completion(R"({"prompt":"a","echo":true,"logprobs":2,"max_tokens":0})");
  ASSERT_TRUE(call.ok());
  ExpectEqual(call->requests[0],
              R"(text: "a" sampling { echo: true logprobs: 2 prompt_logprobs: 2 max_tokens: 0 })",
              "");
}

TEST_F(RequestTest, AnswerOptions) {
  const auto call = Completion(
      R"({"prompt":"a","stream":true,"return_token_ids":true,
          "stream_options":{"include_usage":true,"continuous_usage_stats":true}})");
  ASSERT_TRUE(call.ok());
  EXPECT_TRUE(call->answer.stream);
  EXPECT_TRUE(call->answer.include_usage);
  EXPECT_TRUE(call->answer.continuous_usage_stats);
  EXPECT_TRUE(call->answer.return_token_ids);
}

TEST_F(RequestTest, ContinuousUsageIsNothingWithoutUsage) {
  for (const std::string options : {R"({"continuous_usage_stats":true})",
                                    R"({"continuous_usage_stats":true,"include_usage":false})"}) {
    const auto call =
        Completion(R"({"prompt":"a","stream":true,"stream_options":)" + options + "}");
    ASSERT_TRUE(call.ok());
    EXPECT_FALSE(call->answer.continuous_usage_stats) << options;
  }
}

TEST_F(RequestTest, TokenizeAndDetokenize) {
  const auto read = [this](const std::string& body) {
    return ReadTokenize(ParseBody(body, limits_).value(), {limits_, unknown_});
  };
  ExpectEqual(
      read(R"({"prompt":"a","add_special_tokens":false,"add_generation_prompt":true})")->request,
      R"(text: "a" add_special_tokens: false)", "");
  ExpectEqual(read(R"({"messages":[{"role":"user","content":"x"}],"add_generation_prompt":false})")
                  ->request,
              R"(chat { messages { role: "user" content: "x" } add_generation_prompt: false })",
              "");
  const auto detokenize =
      ReadDetokenize(ParseBody(R"({"tokens":[1,2]})", limits_).value(), {limits_, unknown_});
  ExpectEqual(*detokenize, "token_ids: 1 token_ids: 2", "");
}

}  // namespace
}  // namespace phalanx::openai
