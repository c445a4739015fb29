#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "coordinator/openai/errors.h"
#include "coordinator/openai/json_writer.h"
#include "coordinator/openai/logprobs.h"
#include "coordinator/openai/routes.h"

namespace phalanx::openai {
namespace {

std::string StringOf(std::string_view text) {
  std::string out;
  AppendJsonString(text, &out);
  return out;
}

TEST(JsonWriterTest, StringsReadBackAsTheyWere) {
  std::string all;
  for (int c = 0; c < 0x80; ++c) all += static_cast<char>(c);
  for (const std::string& text : {all, std::string("ß日🙂\u2028"), std::string()}) {
    EXPECT_EQ(nlohmann::json::parse(StringOf(text)).get<std::string>(), text);
  }
  EXPECT_EQ(StringOf("a\"\\\n\x01/"), R"("a\"\\\n\u0001/")");
  EXPECT_EQ(StringOf("a\xF0\x9F"
                     "b"),
            "\"a\xEF\xBF\xBD"
            "b\"");
}

TEST(JsonWriterTest, Numbers) {
  const auto logprob = [](float value) {
    std::string out;
    AppendLogprob(value, &out);
    return out;
  };
  EXPECT_EQ(logprob(-0.5F), "-0.5");
  EXPECT_EQ(logprob(0.0F), "0.0");
  EXPECT_EQ(logprob(-1e-10F), "-1e-10");
  EXPECT_EQ(logprob(-12345.0F), "-9999.0");
  EXPECT_EQ(logprob(-INFINITY), "-9999.0");
  EXPECT_EQ(logprob(NAN), "-9999.0");
  EXPECT_THAT(logprob(INFINITY), ::testing::HasSubstr("e+38")) << "JSON has no infinity";
  std::string ids;
  AppendInts(std::vector<int32_t>{1, -2}, &ids);
  AppendByteList(
      "\xff"
      "a",
      &ids);
  EXPECT_EQ(ids, "[1,-2][255,97]");
}

v1::TokenLogprob Token(std::string bytes, float logprob,
                       const std::vector<std::pair<std::string, float>>& top = {}) {
  v1::TokenLogprob token;
  token.set_token(bytes);
  token.set_logprob(logprob);
  for (const auto& [text, value] : top) {
    v1::TopLogprob* entry = token.add_top();
    entry->set_token(text);
    entry->set_logprob(value);
  }
  return token;
}

TEST(LogprobsTest, Chat) {
  TokenLogprobs tokens;
  *tokens.Add() = Token("\xC3", -0.5F, {{"a", -0.25F}, {"\xC3", -0.5F}});
  std::string out;
  AppendChatLogprobs(tokens, &out);
  EXPECT_EQ(out,
            "{\"content\":[{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-0.5,\"bytes\":[195],"
            "\"top_logprobs\":[{\"token\":\"a\",\"logprob\":-0.25,\"bytes\":[97]},"
            "{\"token\":\"\xEF\xBF\xBD\",\"logprob\":-0.5,\"bytes\":[195]}]}]}");
}

TEST(LogprobsTest, CompletionsCountCharactersOfTheWholeText) {
  TokenLogprobs prompt;
  *prompt.Add() = Token("日本", 0);
  *prompt.Add() = Token("ß", -1, {{"c", -0.5F}, {"ß", -1.0F}});
  CompletionLogprobs logprobs;
  logprobs.AddPrompt(prompt);
  std::string out;
  logprobs.AppendTo(&out);
  EXPECT_EQ(out, R"({"tokens":["日本","ß"],"token_logprobs":[null,-1.0],)"
                 R"("top_logprobs":[null,{"ß":-1.0,"c":-0.5}],"text_offset":[0,2]})");
  EXPECT_TRUE(logprobs.empty());
  TokenLogprobs more;
  *more.Add() = Token("x", -2);
  logprobs.Add(more);
  out.clear();
  logprobs.AppendTo(&out);
  EXPECT_EQ(
      out,
      R"({"tokens":["x"],"token_logprobs":[-2.0],"top_logprobs":[{"x":-2.0}],"text_offset":[3]})");
}

TEST(ErrorsTest, StatusCodesAndRetries) {
  using namespace std::chrono_literals;
  const struct {
    StatusCode code;
    int status;
    const char* type;
    const char* header;
    const char* value;
  } kRows[] = {
      {StatusCode::kInvalidArgument, 400, "BadRequestError", "", ""},
      {StatusCode::kFailedPrecondition, 400, "BadRequestError", "", ""},
      {StatusCode::kUnauthenticated, 401, "AuthenticationError", "WWW-Authenticate", "Bearer"},
      {StatusCode::kPermissionDenied, 403, "PermissionDeniedError", "", ""},
      {StatusCode::kNotFound, 404, "NotFoundError", "", ""},
      {StatusCode::kResourceExhausted, 429, "RateLimitError", "Retry-After", "3"},
      {StatusCode::kInternal, 500, "InternalServerError", "X-Should-Retry", "false"},
      {StatusCode::kUnimplemented, 501, "NotImplementedError", "X-Should-Retry", "false"},
      {StatusCode::kUnavailable, 503, "ServiceUnavailableError", "Retry-After", "3"},
      {StatusCode::kDeadlineExceeded, 504, "TimeoutError", "X-Should-Retry", "false"},
  };
  for (const auto& row : kRows) {
    const http::Response response =
        ErrorResponse(Status(row.code, "why\n").WithField("top_p").WithRetryAfter(2500ms));
    EXPECT_EQ(response.status, row.status);
    const auto error = nlohmann::json::parse(response.body)["error"];
    EXPECT_EQ(error["type"], row.type);
    EXPECT_EQ(error["message"], "why\n");
    EXPECT_EQ(error["param"], "top_p");
    EXPECT_EQ(error["code"], row.status);
    ASSERT_EQ(response.headers.size(), *row.header == '\0' ? 0U : 1U);
    if (*row.header != '\0') {
      EXPECT_EQ(response.headers[0].name, row.header);
      EXPECT_EQ(response.headers[0].value, row.value);
    }
  }
}

TEST(ErrorsTest, FieldsAreNamedAsTheClientDid) {
  const auto renamed = [](std::string field, std::span<const Renaming> own = {}) {
    return InWordsOfApi(InvalidField(field, 1, "2"), own);
  };
  EXPECT_EQ(renamed("sampling.top_p").field(), "top_p");
  EXPECT_EQ(renamed("sampling.top_p").message(), "top_p: is 1, allowed: 2");
  EXPECT_EQ(renamed("tools_json[3]").field(), "tools[3]");
  EXPECT_EQ(renamed("prompt.token_ids").field(), "prompt");
  EXPECT_EQ(renamed("messages[0].tool_calls[1].arguments_json").field(),
            "messages[0].tool_calls[1].function.arguments");
  const Renaming own[] = {{"sampling.logprobs", "top_logprobs"}};
  EXPECT_EQ(renamed("sampling.logprobs", own).field(), "top_logprobs");
  EXPECT_EQ(renamed("model").field(), "model");
}

TEST(RoutesTest, OneTable) {
  const std::set<std::string_view> kOpen = {"/health",  "/livez", "/readyz",
                                            "/version", "/",      "/web/"};
  EXPECT_EQ(FindRoute("/v1/models")->endpoint, Endpoint::kModels);
  EXPECT_EQ(FindRoute("/v1/models/a/b")->endpoint, Endpoint::kModel);
  EXPECT_EQ(FindRoute("/web/app.js")->endpoint, Endpoint::kPage);
  for (const char* path :
       {"", "/web", "/web/", "/index.html", "/v1/models/", "/v1/chat/completions/", "/V1/models",
        "/v1", "/metrics/x", "//health"}) {
    EXPECT_EQ(FindRoute(path), nullptr) << path;
  }
  for (const Route& route : Routes()) {
    const bool open = kOpen.contains(route.path);
    EXPECT_EQ(route.access == Access::kOpen, open) << route.path;
    EXPECT_EQ(Serves(route, "HEAD"), route.method == Method::kGet);
    EXPECT_FALSE(Serves(route, "DELETE"));
  }
}

}  // namespace
}  // namespace phalanx::openai
