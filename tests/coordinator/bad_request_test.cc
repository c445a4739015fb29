// What a client may not send: each row names the field at fault in the message and in
// google.rpc.BadRequest, and nothing of it reaches the worker.
#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>

#include <cmath>
#include <future>
#include <limits>

#include "google/rpc/error_details.pb.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;
using testing::TestService;
using testing::TextRequest;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::string FieldOf(const grpc::Status& status) {
  google::rpc::Status details;
  google::rpc::BadRequest bad_request;
  if (!details.ParseFromString(status.error_details()) || details.details_size() != 1 ||
      details.details(0).type_url() != "type.googleapis.com/google.rpc.BadRequest" ||
      !bad_request.ParseFromString(details.details(0).value()) ||
      bad_request.field_violations_size() != 1) {
    return "no google.rpc.BadRequest";
  }
  return bad_request.field_violations(0).field();
}

class BadRequestTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    service_ = new TestService();
    service_->AttachEngine();
  }
  static void TearDownTestSuite() { delete service_; }

  // A request that is taken by mistake waits for a worker for ever.
  static void SetDeadline(grpc::ClientContext* context) {
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(2));
  }

  static grpc::Status Send(const v1::GenerateRequest& request) {
    grpc::ClientContext context;
    SetDeadline(&context);
    auto reader = service_->stub().GenerateStream(&context, request);
    return TestService::ReadAll(*reader).status;
  }
  static grpc::Status Send(const v1::ChatRequest& request) {
    grpc::ClientContext context;
    SetDeadline(&context);
    v1::GenerateResponse response;
    return service_->stub().Chat(&context, request, &response);
  }

  template <typename Request>
  static void ExpectRefused(const Request& request, const std::string& field,
                            const std::string& note) {
    const grpc::Status status = Send(request);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << note;
    EXPECT_EQ(FieldOf(status), field) << note << ": " << status.error_message();
    EXPECT_THAT(status.error_message(), HasSubstr(field)) << note;
    EXPECT_TRUE(service_->submits().empty()) << note;
  }

  static TestService* service_;
};

TestService* BadRequestTest::service_ = nullptr;

TEST_F(BadRequestTest, SamplingFields) {
  struct Row {
    const char* field;
    std::function<void(v1::SamplingParams*)> set;
  };
  using P = v1::SamplingParams*;
  const std::vector<Row> rows = {
      {"temperature", [](P p) { p->set_temperature(-0.1F); }},
      {"temperature", [](P p) { p->set_temperature(2.1F); }},
      {"temperature", [](P p) { p->set_temperature(kNan); }},
      {"temperature", [](P p) { p->set_temperature(kInfinity); }},
      {"top_p", [](P p) { p->set_top_p(0); }},
      {"top_p", [](P p) { p->set_top_p(1.01F); }},
      {"top_p", [](P p) { p->set_top_p(kNan); }},
      {"top_k", [](P p) { p->set_top_k(-2); }},
      {"min_p", [](P p) { p->set_min_p(-0.1F); }},
      {"min_p", [](P p) { p->set_min_p(1.1F); }},
      {"presence_penalty", [](P p) { p->set_presence_penalty(2.5F); }},
      {"presence_penalty", [](P p) { p->set_presence_penalty(kNan); }},
      {"frequency_penalty", [](P p) { p->set_frequency_penalty(-2.5F); }},
      {"repetition_penalty", [](P p) { p->set_repetition_penalty(0); }},
      {"repetition_penalty", [](P p) { p->set_repetition_penalty(11); }},
      {"repetition_penalty", [](P p) { p->set_repetition_penalty(1e-40F); }},
      {"repetition_penalty", [](P p) { p->set_repetition_penalty(9e-7F); }},
      {"repetition_penalty", [](P p) { p->set_repetition_penalty(-1); }},
      {"temperature", [](P p) { p->set_temperature(1e38F); }},
      {"temperature", [](P p) { p->set_temperature(-1e-40F); }},
      {"top_p", [](P p) { p->set_top_p(-1e-40F); }},
      {"min_p", [](P p) { p->set_min_p(-1e-40F); }},
      {"presence_penalty", [](P p) { p->set_presence_penalty(-1e38F); }},
      {"frequency_penalty", [](P p) { p->set_frequency_penalty(kInfinity); }},
      {"logit_bias", [](P p) { (*p->mutable_logit_bias())[5] = -1e38F; }},
      {"repetition_penalty", [](P p) { p->set_repetition_penalty(kInfinity); }},
      {"logit_bias", [](P p) { (*p->mutable_logit_bias())[5] = 101; }},
      {"logit_bias", [](P p) { (*p->mutable_logit_bias())[5] = kNan; }},
      {"logit_bias", [](P p) { (*p->mutable_logit_bias())[2048] = 1; }},
      {"logit_bias", [](P p) { (*p->mutable_logit_bias())[-1] = 1; }},
      {"logit_bias",
       [](P p) {
         for (int i = 0; i < 301; ++i) (*p->mutable_logit_bias())[i] = 1;
       }},
      {"allowed_token_ids", [](P p) { p->add_allowed_token_ids(2048); }},
      {"stop_token_ids", [](P p) { p->add_stop_token_ids(-5); }},
      {"bad_words[1]",
       [](P p) {
         p->add_bad_words("fine");
         p->add_bad_words("");
       }},
      {"bad_words[0]", [](P p) { p->add_bad_words("  "); }},
      {"bad_words[0]", [](P p) { p->add_bad_words(std::string(257, 'a')); }},
      {"structured_outputs", [](P p) { p->mutable_structured_outputs(); }},
      {"structured_outputs.json_schema",
       [](P p) { p->mutable_structured_outputs()->set_json_schema("{"); }},
      {"structured_outputs.json_schema",
       [](P p) { p->mutable_structured_outputs()->set_json_schema(std::string(70'000, ' ')); }},
      {"structured_outputs.json_object",
       [](P p) { p->mutable_structured_outputs()->set_json_object(false); }},
      {"structured_outputs.regex",
       [](P p) { p->mutable_structured_outputs()->set_regex("(a{4000}){4000}"); }},
      {"structured_outputs.choice", [](P p) { p->mutable_structured_outputs()->mutable_choice(); }},
      {"ignore_eos",
       [](P p) {
         p->mutable_structured_outputs()->set_json_object(true);
         p->set_ignore_eos(true);
       }},
      {"n", [](P p) { p->set_n(0); }},
      {"n", [](P p) { p->set_n(5); }},
      {"max_tokens", [](P p) { p->set_max_tokens(0); }},
      {"max_tokens", [](P p) { p->set_max_tokens(-1); }},
      {"max_tokens", [](P p) { p->set_max_tokens(2048); }},
      {"max_tokens", [](P p) { p->set_max_tokens(std::numeric_limits<int32_t>::max()); }},
      {"min_tokens", [](P p) { p->set_min_tokens(-1); }},
      {"min_tokens",
       [](P p) {
         p->set_max_tokens(4);
         p->set_min_tokens(5);
       }},
      {"stop",
       [](P p) {
         for (int i = 0; i < 5; ++i) p->add_stop("x");
       }},
      {"stop[0]", [](P p) { p->add_stop(""); }},
      {"stop[1]",
       [](P p) {
         p->add_stop("x");
         p->add_stop(std::string(257, 'a'));
       }},
      {"logprobs", [](P p) { p->set_logprobs(21); }},
      {"logprobs", [](P p) { p->set_logprobs(-1); }},
      {"prompt_logprobs", [](P p) { p->set_prompt_logprobs(21); }},
  };
  for (const Row& row : rows) {
    v1::GenerateRequest request = TextRequest("x");
    row.set(request.mutable_sampling());
    ExpectRefused(request, std::string("sampling.") + row.field,
                  request.sampling().ShortDebugString().substr(0, 80));
  }
}

TEST_F(BadRequestTest, Prompts) {
  v1::GenerateRequest request;
  ExpectRefused(request, "prompt", "absent");
  request.set_text("");
  ExpectRefused(request, "prompt.text", "empty");
  request.set_text(std::string((1 << 20) + 1, 'a'));
  ExpectRefused(request, "prompt.text", "too long");
  request.set_text(std::string(1 << 16, 'a') + " longer than the context");
  request.mutable_sampling()->set_max_tokens(1);
  ExpectRefused(request, "prompt", "more tokens than the context");
  request.mutable_token_ids();
  ExpectRefused(request, "prompt.token_ids", "no ids");
  for (const int32_t id : {-1, 2048, std::numeric_limits<int32_t>::max()}) {
    request.mutable_token_ids()->clear_ids();
    request.mutable_token_ids()->add_ids(1);
    request.mutable_token_ids()->add_ids(id);
    ExpectRefused(request, "prompt.token_ids", std::to_string(id));
  }
  request.mutable_token_ids()->clear_ids();
  request.mutable_token_ids()->mutable_ids()->Resize(2048, 1);
  request.mutable_sampling()->set_echo(true);
  request.mutable_sampling()->set_max_tokens(0);
  ExpectRefused(request, "prompt", "as many tokens as the context, for nothing but echo");
  request = TextRequest("x");
  request.set_request_id(std::string(257, 'a'));
  ExpectRefused(request, "request_id", "too long");
  request.clear_request_id();
  request.set_cache_salt(std::string(257, 'a'));
  ExpectRefused(request, "cache_salt", "too long");
}

TEST_F(BadRequestTest, Chats) {
  struct Row {
    const char* field;
    const char* request;
  };
  const Row rows[] = {
      {"messages", ""},
      {"messages[0].role", "messages { content: 'x' }"},
      {"messages[1].role",
       "messages { role: 'user' content: 'x' } messages { role: 'developer' content: 'x' }"},
      {"continue_final_message",
       "messages { role: 'user' content: 'x' } add_generation_prompt: true "
       "continue_final_message: true"},
      {"tools_json[0]", "messages { role: 'user' content: 'x' } tools_json: '{'"},
      {"tools_json[0]", "messages { role: 'user' content: 'x' } tools_json: '[]'"},
      {"tools_json[1]",
       "messages { role: 'user' content: 'x' } tools_json: '{\"type\":\"function\",\"function\":"
       "{\"name\":\"f\"}}' tools_json: '{\"a\":1,\"a\":2}'"},
      {"messages[1].tool_calls[0].arguments_json",
       "messages { role: 'user' content: 'x' } messages { role: 'assistant' tool_calls { name: 'f' "
       "arguments_json: '7' } }"},
      {"sampling.temperature",
       "messages { role: 'user' content: 'x' } sampling { temperature: 3 }"},
  };
  for (const Row& row : rows) {
    v1::ChatRequest request;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(row.request, &request));
    ExpectRefused(request, row.field, row.request);
  }
  v1::ChatRequest request;
  for (int i = 0; i < 1025; ++i) request.add_messages()->set_role("user");
  ExpectRefused(request, "messages", "too many");
  request.clear_messages();
  request.add_messages()->set_role("user");
  request.mutable_messages(0)->set_content(std::string((1 << 20) + 1, 'a'));
  ExpectRefused(request, "messages", "too long");
  request.mutable_messages(0)->set_content("x");
  request.mutable_messages(0)->set_role("assistant");
  request.mutable_messages(0)->add_tool_calls()->set_name(std::string((1 << 20) + 1, 'a'));
  ExpectRefused(request, "messages", "a tool call's name too long");
  request.clear_messages();
  request.add_messages()->set_role("user");
  request.mutable_messages(0)->set_content("x");
  for (int i = 0; i < 65; ++i) request.add_tools_json("{}");
  ExpectRefused(request, "tools_json", "too many");
}

TEST_F(BadRequestTest, TokenizeAndDetokenize) {
  struct Row {
    const char* field;
    const char* request;
  };
  const Row rows[] = {
      {"input", ""},
      {"input", "add_special_tokens: true"},
      {"chat.messages", "chat {}"},
      {"chat.messages[0].role", "chat { messages { content: 'x' } }"},
      {"chat.tools_json[0]", "chat { messages { role: 'user' } tools_json: '7' }"},
  };
  for (const Row& row : rows) {
    v1::TokenizeRequest request;
    ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(row.request, &request));
    grpc::ClientContext context;
    v1::TokenizeResponse response;
    const grpc::Status status = service_->stub().Tokenize(&context, request, &response);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << row.request;
    EXPECT_EQ(FieldOf(status), row.field) << row.request << ": " << status.error_message();
    EXPECT_THAT(status.error_message(), ::testing::StartsWith(row.field));
  }
  v1::TokenizeRequest empty;
  empty.set_text("");
  grpc::ClientContext context;
  v1::TokenizeResponse response;
  EXPECT_TRUE(service_->stub().Tokenize(&context, empty, &response).ok());
  EXPECT_EQ(response.token_ids_size(), 0);

  v1::DetokenizeRequest detokenize;
  detokenize.add_token_ids(-1);
  v1::DetokenizeResponse text;
  grpc::ClientContext detokenize_context;
  EXPECT_EQ(FieldOf(service_->stub().Detokenize(&detokenize_context, detokenize, &text)),
            "token_ids");
}

TEST_F(BadRequestTest, AnUnknownModelIsNotFound) {
  v1::GenerateRequest request = TextRequest("x");
  request.set_model("no/such\nmodel");
  const grpc::Status status = Send(request);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(FieldOf(status), "model");
  EXPECT_THAT(status.error_message(), HasSubstr("no/such\\x0amodel"));
}

// Sends bytes that no generated client would.
grpc::Status SendRaw(TestService& service, const std::string& method, const std::string& bytes) {
  grpc::GenericStub stub(service.channel());
  grpc::ClientContext context;
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/phalanx.v1.Inference/" + method, grpc::StubOptions(), &request,
                 &response, [&done](grpc::Status status) { done.set_value(std::move(status)); });
  return done.get_future().get();
}

TEST_F(BadRequestTest, RawBytes) {
  v1::GenerateRequest good = TextRequest("abcd");
  std::string bytes = good.SerializeAsString();
  bytes[bytes.find("abcd") + 1] = '\xFF';
  grpc::Status status = SendRaw(*service_, "Generate", bytes);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FieldOf(status), "text");

  good.mutable_sampling()->add_stop("wxyz");
  bytes = good.SerializeAsString();
  bytes[bytes.find("wxyz")] = '\xC0';
  status = SendRaw(*service_, "Generate", bytes);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(FieldOf(status), "sampling.stop");

  status = SendRaw(*service_, "Generate", "\x0A\xFF not a message");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status.error_message(), HasSubstr("phalanx.v1.GenerateRequest"));

  status = SendRaw(*service_, "Generate", std::string(5 << 20, 'a'));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  status = SendRaw(*service_, "NoSuchMethod", "");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
}

TEST_F(BadRequestTest, AMessageBeyondTheLimitIsRefused) {
  const grpc::Status status = Send(TextRequest(std::string(5 << 20, 'x')));
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("larger than max"));
}

// On a connection of its own: gRPC may close it for this.
TEST(MetadataTest, TooMuchIsRefused) {
  TestService service;
  grpc::ClientContext context;
  context.AddMetadata("x-large", std::string(32 << 10, 'a'));
  v1::ServerInfo info;
  EXPECT_EQ(service.stub().GetServerInfo(&context, {}, &info).error_code(),
            grpc::StatusCode::RESOURCE_EXHAUSTED);
}

TEST_F(BadRequestTest, UnknownFieldsAreIgnored) {
  v1::GenerateRequest request = TextRequest("x");
  request.GetReflection()->MutableUnknownFields(&request)->AddVarint(9999, 1);
  grpc::ClientContext context;
  auto reader = service_->stub().GenerateStream(&context, request);
  const internal::Submit submit = service_->submits().Pop();
  service_->engine().Send(
      testing::FakeEngine::Output(submit.request(), 0, {1}, internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(TestService::ReadAll(*reader).status.ok());
}

}  // namespace
}  // namespace phalanx
