#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "coordinator/core/frontend.h"
#include "tests/openai/api_fixture.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::Api;

TEST(EndpointsTest, HealthFollowsTheState) {
  Api api;
  const auto status = [&api](const char* path) {
    const auto exchange = api.Request("GET", path);
    EXPECT_EQ(exchange->WaitBody(), "");
    return exchange->WaitHead().status;
  };
  EXPECT_EQ(status("/health"), 503);
  EXPECT_EQ(status("/readyz"), 503);
  EXPECT_EQ(status("/livez"), 200);
  const auto early = api.Post("/v1/completions", R"({"prompt":"a"})");
  EXPECT_EQ(early->WaitHead().status, 503);
  EXPECT_EQ(early->HeaderOf("Retry-After"), "1");
  api.AttachEngine();
  EXPECT_EQ(status("/health"), 200);
  EXPECT_EQ(status("/readyz"), 200);
  api.frontend().StartDrain();
  EXPECT_EQ(status("/health"), 503);
  EXPECT_EQ(status("/livez"), 200);
  // The address is closed for good: who comes back in a second finds nobody.
  const auto late = api.Post("/v1/completions", R"({"prompt":"a"})");
  EXPECT_EQ(late->WaitHead().status, 503);
  EXPECT_EQ(late->HeaderOf("Retry-After"), "");
}

TEST(EndpointsTest, MethodsAndPaths) {
  Api api;
  api.AttachEngine();
  const struct {
    const char* method;
    const char* path;
    int status;
    const char* allow;
  } rows[] = {
      {"GET", "/v1/models", 200, ""},
      {"HEAD", "/v1/models", 200, ""},
      {"HEAD", "/health", 200, ""},
      {"POST", "/v1/models", 405, "GET, HEAD, OPTIONS"},
      {"DELETE", "/v1/models/demo", 405, "GET, HEAD, OPTIONS"},
      {"GET", "/v1/chat/completions", 405, "POST, OPTIONS"},
      {"HEAD", "/v1/completions", 405, "POST, OPTIONS"},
      {"PUT", "/tokenize", 405, "POST, OPTIONS"},
      {"OPTIONS", "/v1/completions", 204, "POST, OPTIONS"},
      {"OPTIONS", "/health", 204, "GET, HEAD, OPTIONS"},
      {"OPTIONS", "*", 204, "GET, HEAD, POST, OPTIONS"},
      {"GET", "*", 405, "GET, HEAD, POST, OPTIONS"},
      {"GET", "/", 200, ""},
      {"HEAD", "/", 200, ""},
      {"POST", "/", 405, "GET, HEAD, OPTIONS"},
      {"OPTIONS", "/", 204, "GET, HEAD, OPTIONS"},
      {"GET", "/web/app.js", 200, ""},
      {"GET", "/web/", 404, ""},
      {"GET", "/web/nothing.js", 404, ""},
      {"GET", "/web/../web/app.js", 404, ""},
      {"GET", "/nothing\n\"x\"", 404, ""},
      {"POST", "/v1/embeddings", 404, ""},
      {"OPTIONS", "/nothing", 404, ""},
  };
  for (const auto& row : rows) {
    const auto exchange = api.Request(row.method, row.path, "");
    EXPECT_EQ(exchange->WaitHead().status, row.status) << row.method << " " << row.path;
    EXPECT_EQ(exchange->HeaderOf("Allow"), row.allow) << row.method << " " << row.path;
    if (row.status < 400) continue;
    EXPECT_EQ(json::parse(exchange->WaitBody())["error"]["code"], row.status);
  }
}

TEST(EndpointsTest, Models) {
  Api api;
  api.AttachEngine();
  const json list = json::parse(api.Request("GET", "/v1/models")->WaitBody());
  EXPECT_EQ(list["object"], "list");
  ASSERT_EQ(list["data"].size(), 2U);
  const json& model = list["data"][0];
  EXPECT_EQ(model["id"], "demo");
  EXPECT_EQ(model["object"], "model");
  EXPECT_EQ(model["created"], 1700000000);
  EXPECT_EQ(model["root"], "demo");
  EXPECT_TRUE(model["parent"].is_null());
  EXPECT_TRUE(model["owned_by"].is_string());
  EXPECT_GT(model["max_model_len"], 0);
  EXPECT_EQ(list["data"][1]["id"], "alias");
  EXPECT_EQ(json::parse(api.Request("GET", "/v1/models/demo")->WaitBody()), model);
  const auto missing = api.Request("GET", "/v1/models/no/such");
  EXPECT_EQ(missing->WaitHead().status, 404);
  EXPECT_EQ(json::parse(missing->WaitBody())["error"]["type"], "NotFoundError");
  EXPECT_TRUE(json::parse(api.Request("GET", "/version")->WaitBody())["version"].is_string());
}

TEST(EndpointsTest, TokenizeAndDetokenize) {
  Api api;
  api.AttachEngine();
  const std::string text = "Hello, Wörld! 🙂";
  const json answer =
      json::parse(api.Post("/tokenize", json{{"prompt", text}, {"return_token_strs", true}}.dump())
                      ->WaitBody());
  const auto ids = api.Encode(text);
  EXPECT_EQ(answer["tokens"], json(ids));
  EXPECT_EQ(answer["count"], ids.size());
  EXPECT_EQ(answer["token_strs"].size(), ids.size());
  EXPECT_EQ(answer["token_strs"][0], api.frontend().model().tokenizer()->IdToToken(ids[0]));
  EXPECT_GT(answer["max_model_len"], 0);
  EXPECT_EQ(json::parse(api.Post("/detokenize", json{{"tokens", ids}}.dump())->WaitBody()),
            (json{{"prompt", text}}));

  const json plain = json::parse(api.Post("/tokenize", R"({"prompt":""})")->WaitBody());
  EXPECT_EQ(plain["count"], 0);
  EXPECT_TRUE(plain["token_strs"].is_null());

  const std::string messages = R"({"messages":[{"role":"user","content":"hi"}])";
  const json chat = json::parse(api.Post("/tokenize", messages + "}")->WaitBody());
  const json closed = json::parse(
      api.Post("/tokenize", messages + R"(,"add_generation_prompt":false})")->WaitBody());
  EXPECT_GT(chat["count"], closed["count"]);
  const auto exchange = api.Post("/v1/chat/completions", messages + "}");
  const internal::Submit submit = api.PopSubmit();
  EXPECT_EQ(chat["count"], submit.prompt_ids_size()) << "the prompt that a chat would have";
}

TEST(EndpointsTest, RequestIdsComeBackSafe) {
  Api api;
  api.AttachEngine();
  const auto id = [&api](const std::string& sent) {
    return api.Request("GET", "/version", "", {{"x-request-id", sent}})->HeaderOf("X-Request-Id");
  };
  EXPECT_EQ(id("mine-1"), "mine-1");
  EXPECT_EQ(id(""), "");
  EXPECT_EQ(id("a\r\nb: c\x7f\xff"), "ab:c");
  EXPECT_EQ(id(std::string(1000, 'x')).size(), 128U);
  const auto refused = api.Request(
      "POST", "/v1/completions", "{}",
      {{"content-type", "application/json; charset=utf-8"}, {"x-request-id", "mine-2"}});
  EXPECT_EQ(refused->WaitHead().status, 400);
  EXPECT_EQ(refused->HeaderOf("X-Request-Id"), "mine-2");
}

}  // namespace
}  // namespace phalanx
