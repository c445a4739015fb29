// What a client gets for a bad request: a status, the field in its own words, and no work for the
// worker group.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/openai/api_fixture.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::Api;

struct Row {
  std::string fields;  // beside the messages or the prompt
  std::string param;
  int status = 400;
};

class BadRequestApiTest : public ::testing::Test {
 protected:
  BadRequestApiTest() { api_.AttachEngine(); }

  void Expect(const std::string& path, const std::string& body, const std::string& param,
              int status) {
    const auto exchange = api_.Post(path, body);
    ASSERT_EQ(exchange->WaitHead().status, status) << path << " " << body << "\n"
                                                   << exchange->WaitBody();
    EXPECT_EQ(exchange->WaitHead().content_type, "application/json");
    const json error = json::parse(exchange->WaitBody()).at("error");
    EXPECT_EQ(error.size(), 4U);
    EXPECT_EQ(error.at("code"), status);
    EXPECT_TRUE(error.at("type").is_string());
    const auto message = error.at("message").get<std::string>();
    if (param.empty()) {
      EXPECT_TRUE(error.at("param").is_null()) << body << message;
    } else {
      EXPECT_EQ(error.at("param"), param) << body << "\n" << message;
      EXPECT_EQ(message.rfind(param, 0), 0U) << "the message begins with the field: " << message;
    }
    EXPECT_FALSE(api_.has_submit()) << body;
  }

  void ExpectBoth(const Row& row) {
    Expect("/v1/chat/completions",
           R"({"messages":[{"role":"user","content":"hi"}],)" + row.fields + "}", row.param,
           row.status);
    Expect("/v1/completions", R"({"prompt":"hi",)" + row.fields + "}", row.param, row.status);
  }

  Api api_;
};

const Row kBoth[] = {
    {R"("temperature":"1")", "temperature"},
    {R"("temperature":true)", "temperature"},
    {R"("temperature":[])", "temperature"},
    {R"("temperature":-0.1)", "temperature"},
    {R"("temperature":2.1)", "temperature"},
    {R"("temperature":1e300)", "temperature"},
    {R"("temperature":1e400)", "temperature"},
    {R"("unknown":[1e400])", "unknown"},
    {R"("top_p":0)", "top_p"},
    {R"("top_p":1.5)", "top_p"},
    {R"("top_p":"x")", "top_p"},
    {R"("min_p":-1)", "min_p"},
    {R"("min_p":2)", "min_p"},
    {R"("min_p":{})", "min_p"},
    {R"("top_k":-2)", "top_k"},
    {R"("top_k":1.5)", "top_k"},
    {R"("top_k":"5")", "top_k"},
    {R"("top_k":99999999999)", "top_k"},
    {R"("frequency_penalty":3)", "frequency_penalty"},
    {R"("frequency_penalty":"a")", "frequency_penalty"},
    {R"("presence_penalty":-2.5)", "presence_penalty"},
    {R"("presence_penalty":false)", "presence_penalty"},
    {R"("repetition_penalty":0)", "repetition_penalty"},
    {R"("repetition_penalty":11)", "repetition_penalty"},
    {R"("n":0)", "n"},
    {R"("n":5)", "n"},
    {R"("n":-1)", "n"},
    {R"("n":1.5)", "n"},
    {R"("n":"2")", "n"},
    {R"("n":1000000000)", "n"},
    {R"("best_of":2)", "best_of"},
    {R"("n":2,"best_of":1)", "best_of"},
    {R"("best_of":"2")", "best_of"},
    {R"("max_tokens":0)", "max_tokens"},
    {R"("max_tokens":-1)", "max_tokens"},
    {R"("max_tokens":1000000)", "max_tokens"},
    {R"("max_tokens":2.5)", "max_tokens"},
    {R"("max_tokens":"16")", "max_tokens"},
    {R"("max_tokens":1e30)", "max_tokens"},
    {R"("min_tokens":-1)", "min_tokens"},
    {R"("min_tokens":9,"max_tokens":8)", "min_tokens"},
    {R"("seed":1.5)", "seed"},
    {R"("seed":"7")", "seed"},
    {R"("seed":1e30)", "seed"},
    {R"("stop":"")", "stop[0]"},
    {R"("stop":["a",""])", "stop[1]"},
    {R"("stop":5)", "stop"},
    {R"("stop":["a",5])", "stop[1]"},
    {R"("stop":["a",null])", "stop[1]"},
    {R"("stop":["a","b","c","d","e"])", "stop"},
    {R"("stop":{"a":1})", "stop"},
    {R"("stop":")" + std::string(257, 'x') + "\"", "stop[0]"},
    {R"("stop_token_ids":5)", "stop_token_ids"},
    {R"("stop_token_ids":["5"])", "stop_token_ids[0]"},
    {R"("stop_token_ids":[5,1.5])", "stop_token_ids[1]"},
    {R"("stop_token_ids":[-1])", "stop_token_ids"},
    {R"("stop_token_ids":[999999999])", "stop_token_ids"},
    {R"("allowed_token_ids":[999999999])", "allowed_token_ids"},
    {R"("allowed_token_ids":"all")", "allowed_token_ids"},
    {R"("bad_words":"x")", "bad_words"},
    {R"("bad_words":[""])", "bad_words[0]"},
    {R"("bad_words":[7])", "bad_words[0]"},
    {R"("logit_bias":[])", "logit_bias"},
    {R"("logit_bias":{"abc":1})", "logit_bias.abc"},
    {R"("logit_bias":{"":1})", "logit_bias.\"\""},
    {R"("logit_bias":{"1.5":1})", "logit_bias.\"1.5\""},
    {R"("logit_bias":{"5":"1"})", "logit_bias.5"},
    {R"("logit_bias":{"5":null})", "logit_bias.5"},
    {R"("logit_bias":{"5":1,"05":2})", "logit_bias.05"},
    {R"("logit_bias":{"5":101})", "logit_bias"},
    {R"("logit_bias":{"999999999":1})", "logit_bias"},
    {R"("logit_bias":{"-1":1})", "logit_bias"},
    {R"("ignore_eos":"true")", "ignore_eos"},
    {R"("ignore_eos":1)", "ignore_eos"},
    {R"("include_stop_str_in_output":0)", "include_stop_str_in_output"},
    {R"("skip_special_tokens":"no")", "skip_special_tokens"},
    {R"("prompt_logprobs":-1)", "prompt_logprobs"},
    {R"("prompt_logprobs":21)", "prompt_logprobs"},
    {R"("prompt_logprobs":true)", "prompt_logprobs"},
    {R"("prompt_logprobs":1,"stream":true)", "prompt_logprobs"},
    {R"("stream":"true")", "stream"},
    {R"("stream":1)", "stream"},
    {R"("stream_options":{"include_usage":true})", "stream_options"},
    {R"("stream":false,"stream_options":{})", "stream_options"},
    {R"("stream":true,"stream_options":true)", "stream_options"},
    {R"("stream":true,"stream_options":{"include_usage":"yes"})", "stream_options.include_usage"},
    {R"("stream":true,"stream_options":{"continuous_usage_stats":1})",
     "stream_options.continuous_usage_stats"},
    {R"("return_token_ids":"x")", "return_token_ids"},
    {R"("priority":"high")", "priority"},
    {R"("priority":3000000000)", "priority"},
    {R"("request_id":5)", "request_id"},
    {R"("request_id":")" + std::string(300, 'r') + "\"", "request_id"},
    {R"("cache_salt":5)", "cache_salt"},
    {R"("cache_salt":"")", "cache_salt"},
    {R"("cache_salt":")" + std::string(300, 's') + "\"", "cache_salt"},
    {R"("model":5)", "model"},
    {R"("model":"other")", "model", 404},
    {R"("user":5)", "user"},
    {R"("response_format":"json")", "response_format"},
    {R"("response_format":{})", "response_format.type"},
    {R"("response_format":{"type":"xml"})", "response_format.type"},
    {R"("response_format":{"type":"structural_tag"})", "response_format"},
    {R"("response_format":{"type":"structural_tag","format":{"type":"token","token":1}})",
     "response_format"},
    {R"("response_format":{"type":"structural_tag","triggers":["<a>"],"structures":
        [{"begin":"<a>","schema":{"maxItems":5000},"end":"</a>"}]})",
     "response_format"},
    {R"("response_format":{"type":"json_object"},"ignore_eos":true)", "ignore_eos"},
    {R"("response_format":{"type":"json_schema"})", "response_format.json_schema"},
    {R"("response_format":{"type":"json_schema","json_schema":{"name":"x"}})",
     "response_format.json_schema.schema"},
    {R"("response_format":{"type":"json_schema","json_schema":{"schema":[]}})",
     "response_format.json_schema.schema"},
    {R"("response_format":{"type":"json_schema","json_schema":{"schema":{"maxItems":5000}}})",
     "response_format.json_schema.schema"},
    {R"("structured_outputs":{})", "structured_outputs"},
    {R"("structured_outputs":{"regex":"("})", "structured_outputs.regex"},
    {R"("structured_outputs":{"regex":"a","choice":["b"]})", "structured_outputs.choice"},
    {R"("structured_outputs":{"json":"{"})", "structured_outputs.json"},
    {R"("structured_outputs":{"json_object":false})", "structured_outputs.json_object"},
    {R"("structured_outputs":{"grammar":"root ::= ("})", "structured_outputs.grammar"},
    {R"("structured_outputs":{"grammar":5})", "structured_outputs.grammar"},
    {R"("structured_outputs":{"grammar":"root ::= a","regex":"a"})", "structured_outputs.regex"},
    {R"("structured_outputs":{"structural_tag":"{"})", "structured_outputs.structural_tag"},
    {R"("structured_outputs":{"structural_tag":5})", "structured_outputs.structural_tag"},
    {R"("structured_outputs":{"json":{},"disable_any_whitespace":true})",
     "structured_outputs.disable_any_whitespace"},
    {R"("guided_json":5)", "guided_json"},
    {R"("guided_json":{"minLength":-1})", "guided_json"},
    {R"("guided_regex":"a{100000}")", "guided_regex"},
    {R"("guided_regex":"")", "guided_regex"},
    {R"("guided_choice":"a")", "guided_choice"},
    {R"("guided_choice":[])", "guided_choice"},
    {R"("guided_choice":["a",5])", "guided_choice[1]"},
    {R"("guided_regex":"a","guided_choice":["a"])", "guided_choice"},
    {R"("guided_json":{},"response_format":{"type":"json_object"})", "response_format"},
    {R"("guided_grammar":"")", "guided_grammar"},
    {R"("guided_grammar":["x"])", "guided_grammar"},
    {R"("guided_json":{},"guided_whitespace_pattern":" ")", "guided_whitespace_pattern"},
    {R"("suffix":"x")", "suffix"},
    {R"("use_beam_search":true)", "use_beam_search"},
    {R"("logits_processors":["x"])", "logits_processors"},
    {R"("truncate_prompt_tokens":5)", "truncate_prompt_tokens"},
    {R"("prompt_embeds":"x")", "prompt_embeds"},
    {R"("return_tokens_as_token_ids":true)", "return_tokens_as_token_ids"},
    {R"("logprob_token_ids":[5])", "logprob_token_ids"},
    {R"("repetition_detection":{"max_pattern_size":3})", "repetition_detection"},
    {R"("thinking_token_budget":100)", "thinking_token_budget"},
    {R"("thinking_token_budget":"x")", "thinking_token_budget"},
    {R"("watermarking":true)", "watermarking"},
    {R"("session_id":5)", "session_id"},
};

TEST_F(BadRequestApiTest, FieldsOfBoth) {
  for (const Row& row : kBoth) ExpectBoth(row);
}

TEST_F(BadRequestApiTest, FieldsOfChat) {
  const Row rows[] = {
      {R"("logprobs":5)", "logprobs"},
      {R"("logprobs":"true")", "logprobs"},
      {R"("top_logprobs":5)", "top_logprobs"},
      {R"("logprobs":false,"top_logprobs":1)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":21)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":-1)", "top_logprobs"},
      {R"("logprobs":true,"top_logprobs":"5")", "top_logprobs"},
      {R"("max_completion_tokens":0)", "max_completion_tokens"},
      {R"("max_completion_tokens":"5")", "max_completion_tokens"},
      {R"("max_completion_tokens":1000000)", "max_completion_tokens"},
      {R"("add_generation_prompt":"yes")", "add_generation_prompt"},
      {R"("continue_final_message":1)", "continue_final_message"},
      {R"("continue_final_message":true,"add_generation_prompt":true)", "continue_final_message"},
      {R"("chat_template_kwargs":5)", "chat_template_kwargs"},
      {R"("chat_template_kwargs":{"tools":[]})", "chat_template_kwargs"},
      {R"("include_reasoning":"no")", "include_reasoning"},
      {R"("chat_template":"{{ x }}")", "chat_template"},
      {R"("documents":[{"text":"x"}])", "documents"},
      {R"("return_prompt_text":true)", "return_prompt_text"},
      {R"("echo":true)", "echo"},
      {R"("add_special_tokens":true)", "add_special_tokens"},
      {R"("functions":[{"name":"f"}])", "functions"},
      {R"("function_call":"auto")", "function_call"},
      {R"("audio":{"voice":"x"})", "audio"},
      {R"("modalities":["text","audio"])", "modalities"},
      {R"("tools":{})", "tools"},
      {R"("tools":["f"])", "tools[0]"},
      {R"("tools":[{}])", "tools[0].type"},
      {R"("tools":[{"type":"retrieval"}])", "tools[0].type"},
      {R"("tools":[{"type":"function"}])", "tools[0].function"},
      {R"("tools":[{"type":"function","function":{}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":""}}])", "tools[0].function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":[]}}])",
       "tools[0].function.parameters"},
      {R"("tool_choice":"auto")", "tool_choice"},
      {R"("tool_choice":"any")", "tool_choice"},
      {R"("tool_choice":5)", "tool_choice"},
      {R"("tool_choice":"required")", "tool_choice"},
      {R"("tool_choice":{"type":"function","function":{"name":"f"}})", "tool_choice"},
      {R"("tool_choice":{"type":"tool"})", "tool_choice.type"},
      {R"("tool_choice":{"type":"function"})", "tool_choice.function"},
      {R"("tool_choice":{"type":"function","function":{}})", "tool_choice.function.name"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],
          "tool_choice":{"type":"function","function":{"name":"g"}})",
       "tool_choice"},
      {R"("tools":[{"type":"function","function":{"name":"f","parameters":{"maxItems":-1}}}],
          "tool_choice":"required")",
       "tools[0].function.parameters"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required",
          "guided_regex":"a")",
       "tool_choice"},
      {R"("tools":[{"type":"function","function":{"name":"f"}}],"tool_choice":"required",
          "ignore_eos":true)",
       "ignore_eos"},
      {R"("parallel_tool_calls":"no")", "parallel_tool_calls"},
  };
  for (const Row& row : rows) {
    Expect("/v1/chat/completions",
           R"({"messages":[{"role":"user","content":"hi"}],)" + row.fields + "}", row.param,
           row.status);
  }
  std::string tool = R"({"type":"function","function":{"name":"f"}})";
  std::string tools = tool;
  for (int i = 0; i < 64; ++i) tools += "," + tool;
  Expect("/v1/chat/completions",
         R"({"messages":[{"role":"user","content":"hi"}],"tools":[)" + tools + "]}", "tools", 400);
}

TEST_F(BadRequestApiTest, Messages) {
  const auto text_part = [](const char* part) {
    return R"([{"role":"user","content":[{"type":"text","text":"a"},)" + std::string(part) + "]}]";
  };
  const Row rows[] = {
      {"null", "messages"},
      {"[]", "messages"},
      {"\"hi\"", "messages"},
      {"{}", "messages"},
      {"[5]", "messages[0]"},
      {"[{}]", "messages[0].role"},
      {R"([{"role":"user"}])", "messages[0].content"},
      {R"([{"role":"user","content":null}])", "messages[0].content"},
      {R"([{"role":"user","content":5}])", "messages[0].content"},
      {R"([{"role":"user","content":{"type":"text"}}])", "messages[0].content"},
      {R"([{"role":5,"content":"a"}])", "messages[0].role"},
      {R"([{"role":"robot","content":"a"}])", "messages[0].role"},
      {R"([{"role":"user","content":"a"},{"role":"","content":"a"}])", "messages[1].role"},
      {text_part("5"), "messages[0].content[1]"},
      {text_part("{}"), "messages[0].content[1].type"},
      {text_part(R"({"type":"text"})"), "messages[0].content[1].text"},
      {text_part(R"({"type":"text","text":5})"), "messages[0].content[1].text"},
      {text_part(R"({"type":"image_url","image_url":{"url":"x"}})"), "messages[0].content[1].type"},
      {text_part(R"({"type":"input_audio","input_audio":{}})"), "messages[0].content[1].type"},
      {text_part(R"({"type":"video_url"})"), "messages[0].content[1].type"},
      {text_part(R"({"type":"file"})"), "messages[0].content[1].type"},
      {R"([{"role":"assistant","audio":{"id":"x"}}])", "messages[0].audio"},
      {R"([{"role":"assistant","function_call":{"name":"f"}}])", "messages[0].function_call"},
      {R"([{"role":"assistant","tool_calls":{}}])", "messages[0].tool_calls"},
      {R"([{"role":"assistant","tool_calls":[5]}])", "messages[0].tool_calls[0]"},
      {R"([{"role":"assistant","tool_calls":[{}]}])", "messages[0].tool_calls[0].function"},
      {R"([{"role":"assistant","tool_calls":[{"function":{}}]}])",
       "messages[0].tool_calls[0].function.name"},
      {R"([{"role":"assistant","tool_calls":[{"type":"x","function":{"name":"f"}}]}])",
       "messages[0].tool_calls[0].type"},
      {R"([{"role":"assistant","tool_calls":[{"id":5,"function":{"name":"f"}}]}])",
       "messages[0].tool_calls[0].id"},
      {R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":5}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{"}}]}])",
       "messages[0].tool_calls[0].function.arguments"},
      {R"([{"role":"tool","content":"x","tool_call_id":5}])", "messages[0].tool_call_id"},
      {R"([{"role":"user","content":"x","name":5}])", "messages[0].name"},
      {R"([{"role":"assistant","content":"x","reasoning":[]}])", "messages[0].reasoning"},
  };
  for (const Row& row : rows) {
    Expect("/v1/chat/completions", R"({"messages":)" + row.fields + "}", row.param, row.status);
    if (row.fields == "null") continue;
    Expect("/tokenize", R"({"messages":)" + row.fields + "}", row.param, row.status);
  }
  Expect("/v1/chat/completions", "{}", "messages", 400);
  std::string many = R"({"role":"user","content":"a"})";
  for (int i = 0; i < 1024; ++i) many += R"(,{"role":"user","content":"a"})";
  Expect("/v1/chat/completions", R"({"messages":[)" + many + "]}", "messages", 400);
  Expect("/v1/chat/completions",
         R"({"messages":[{"role":"user","content":")" + std::string((1 << 20) + 1, 'a') + "\"}]}",
         "messages", 400);
}

TEST_F(BadRequestApiTest, Prompts) {
  const Row rows[] = {
      {R"("prompt":null)", "prompt"},
      {R"("prompt":"")", "prompt"},
      {R"("prompt":[])", "prompt"},
      {R"("prompt":5)", "prompt"},
      {R"("prompt":{})", "prompt"},
      {R"("prompt":[true])", "prompt[0]"},
      {R"("prompt":["a",5])", "prompt[1]"},
      {R"("prompt":["a",["b"]])", "prompt[1]"},
      {R"("prompt":[5,"a"])", "prompt[1]"},
      {R"("prompt":[5,1.5])", "prompt[1]"},
      {R"("prompt":[1.5])", "prompt[0]"},
      {R"("prompt":[[5],"a"])", "prompt[1]"},
      {R"("prompt":[[5],["a"]])", "prompt[1][0]"},
      {R"("prompt":[[]])", "prompt[0]"},
      {R"("prompt":[[5],[999999]])", "prompt[1]"},
      {R"("prompt":[-1])", "prompt"},
      {R"("prompt":[999999])", "prompt"},
      {R"("prompt":[99999999999])", "prompt[0]"},
      {R"("prompt":["a",""])", "prompt[1]"},
      {R"("prompt":["a",""],"guided_regex":"(")", "guided_regex"},
      {R"("prompt":"a","logprobs":21)", "logprobs"},
      {R"("prompt":"a","logprobs":-1)", "logprobs"},
      {R"("prompt":"a","logprobs":true)", "logprobs"},
      {R"("prompt":"a","echo":"yes")", "echo"},
      {R"("prompt":"a","echo":true,"max_tokens":-1)", "max_tokens"},
      {R"("prompt":"a","add_special_tokens":false)", "add_special_tokens"},
      {"\"prompt\":\"" + std::string((1 << 20) + 1, 'a') + "\"", "prompt"},
  };
  for (const Row& row : rows) {
    // The first prompt of a list may have gone to the worker before the second was refused.
    const auto exchange = api_.Post("/v1/completions", "{" + row.fields + "}");
    const std::string shown = row.fields.substr(0, 100);
    ASSERT_EQ(exchange->WaitHead().status, row.status) << shown;
    EXPECT_EQ(json::parse(exchange->WaitBody())["error"]["param"], row.param) << shown;
  }
  EXPECT_TRUE(api_.frontend().WaitForStreams(std::chrono::seconds(5)));
  std::string many = "\"a\"";
  for (int i = 0; i < 800; ++i) many += ",\"a\"";
  const auto exchange = api_.Post("/v1/completions", R"({"prompt":[)" + many + "]}");
  EXPECT_EQ(json::parse(exchange->WaitBody())["error"]["param"], "prompt");
}

TEST_F(BadRequestApiTest, BodiesAndTypes) {
  for (const char* body : {"", "[]", "null", "{", "{\"prompt\":\"a\"", "{\"prompt\":\"\xff\"}",
                           "{\"prompt\":\"\\ud800\"}", "{\"prompt\":\"a\",\"prompt\":\"b\"}",
                           "{\"prompt\":\"a\"} {\"prompt\":\"b\"}"}) {
    for (const char* path :
         {"/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize"}) {
      Expect(path, body, "", 400);
    }
  }
  for (const auto& headers : std::vector<std::vector<http::Header>>{
           {},
           {{"content-type", ""}},
           {{"content-type", "text/plain"}},
           {{"content-type", "application/x-www-form-urlencoded"}},
           {{"content-type", "application/jsonx"}}}) {
    const auto exchange = api_.Request("POST", "/v1/completions", R"({"prompt":"a"})", headers);
    EXPECT_EQ(exchange->WaitHead().status, 400);
    EXPECT_THAT(exchange->WaitBody(), ::testing::HasSubstr("Content-Type"));
  }
}

TEST_F(BadRequestApiTest, TokenizeAndDetokenize) {
  const struct {
    const char* path;
    const char* body;
    const char* param;
    int status = 400;
  } rows[] = {
      {"/tokenize", "{}", "prompt"},
      {"/tokenize", R"({"prompt":"a","messages":[]})", "prompt"},
      {"/tokenize", R"({"prompt":5})", "prompt"},
      {"/tokenize", R"({"prompt":["a"]})", "prompt"},
      {"/tokenize", R"({"prompt":"a","model":"x"})", "model", 404},
      {"/tokenize", R"({"prompt":"a","add_special_tokens":"x"})", "add_special_tokens"},
      {"/tokenize", R"({"prompt":"a","return_token_strs":1})", "return_token_strs"},
      {"/detokenize", "{}", "tokens"},
      {"/detokenize", R"({"tokens":5})", "tokens"},
      {"/detokenize", R"({"tokens":["a"]})", "tokens[0]"},
      {"/detokenize", R"({"tokens":[-1]})", "tokens"},
      {"/detokenize", R"({"tokens":[999999999]})", "tokens"},
      {"/detokenize", R"({"tokens":[1],"model":"x"})", "model", 404},
      {"/tokenize", R"({"messages":[],"chat_template":"x"})", "chat_template", 400},
  };
  for (const auto& row : rows) Expect(row.path, row.body, row.param, row.status);
}

// A retry could never admit it.
TEST_F(BadRequestApiTest, MorePromptsThanMayEverWait) {
  const auto body = [](int count, const std::string& fields) {
    std::string prompts = "\"a\"";
    for (int i = 1; i < count; ++i) prompts += ",\"a\"";
    return R"({"prompt":[)" + prompts + "]" + fields + "}";
  };
  Expect("/v1/completions", body(513, ""), "prompt", 400);
  Expect("/v1/completions", body(257, R"(,"n":2)"), "prompt", 400);
  const auto exchange = api_.Post("/v1/completions", body(512, ""));
  EXPECT_FALSE(exchange->is_answered());
  exchange->GoAway();
}

TEST(StrictApiTest, UnknownFieldsAreRefusedWithTheNearest) {
  Api api({.unknown_fields = openai::UnknownFieldPolicy::kRefuse, .unix_time = {}});
  api.AttachEngine();
  const struct {
    const char* path;
    const char* body;
    const char* param;
    const char* nearest;
  } rows[] = {
      {"/v1/completions", R"({"prompt":"a","temperture":1})", "temperture", "temperature"},
      {"/v1/chat/completions", R"({"messages":[],"top_logprob":1})", "top_logprob", "top_logprobs"},
      {"/v1/chat/completions", R"({"messages":[{"role":"user","contents":"a"}]})",
       "messages[0].contents", "content"},
      {"/v1/completions", R"({"prompt":"a","stream":true,"stream_options":{"include_use":true}})",
       "stream_options.include_use", "include_usage"},
      {"/v1/chat/completions",
       R"({"messages":[{"role":"user","content":[{"type":"text","txt":"a","text":"b"}]}]})",
       "messages[0].content[0].txt", "text"},
      {"/v1/chat/completions",
       R"({"messages":[],"response_format":{"type":"json_object","json_shcema":{}}})",
       "response_format.json_shcema", "json_schema"},
      {"/v1/chat/completions", R"({"messages":[],"tools":[{"type":"function","functon":{}}]})",
       "tools[0].functon", "function"},
      {"/v1/chat/completions",
       R"({"messages":[],"tools":[{"type":"function","function":{"name":"f","paramters":{}}}]})",
       "tools[0].function.paramters", "parameters"},
      {"/v1/chat/completions",
       R"({"messages":[],"tool_choice":{"type":"function","function":{"name":"f","nam":1}}})",
       "tool_choice.function.nam", "name"},
      {"/tokenize", R"({"prompts":"a","prompt":"b"})", "prompts", "prompt"},
      {"/detokenize", R"({"token":[1]})", "token", "tokens"},
  };
  for (const auto& row : rows) {
    const auto exchange = api.Post(row.path, row.body);
    ASSERT_EQ(exchange->WaitHead().status, 400) << row.body;
    const json error = json::parse(exchange->WaitBody())["error"];
    EXPECT_EQ(error["param"], row.param);
    EXPECT_THAT(error["message"].get<std::string>(),
                ::testing::EndsWith("the nearest is " + std::string(row.nearest)));
  }
}

}  // namespace
}  // namespace phalanx
