// Calls of tools as a gRPC client reads them, whole and as a stream.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "coordinator/core/collect.h"
#include "tests/coordinator/test_service.h"
#include "text/utf8.h"

namespace phalanx {
namespace {

using testing::FakeEngine;
using ::testing::StartsWith;
using testing::StreamResult;
using testing::TestService;

std::string Call(const std::string& name, const std::string& arguments) {
  return "<tool_call>\n{\"name\": \"" + name + "\", \"arguments\": " + arguments +
         "}\n</tool_call>";
}

v1::ChatRequest WithTool() {
  v1::ChatRequest request;
  request.add_messages()->set_role("user");
  request.mutable_messages(0)->set_content("weather?");
  request.add_tools_json(R"({"type":"function","function":{"name":"f"}})");
  return request;
}

v1::ChatRequest WithForcedTool() {
  v1::ChatRequest request = WithTool();
  request.mutable_tool_choice()->set_required(true);
  return request;
}

v1::ChatRequest WithNamedTool() {
  v1::ChatRequest request = WithTool();
  request.mutable_tool_choice()->set_function("f");
  return request;
}

class ToolCallsTest : public ::testing::Test {
 protected:
  void SetUp() override { Serve({.model_dir = testing::DemoModel()}); }

  void Serve(const ServedModelOptions& options) {
    service_.emplace(Limits{}, options);
    service_->AttachEngine();
  }

  // A token a step, as a model writes.
  void Answer(const internal::Submit& submit, const std::vector<int32_t>& ids,
              internal::EngineFinish finish) {
    for (size_t i = 0; i < ids.size(); ++i) {
      service_->engine().Send(
          FakeEngine::Output(submit.request(), static_cast<int32_t>(i), {ids[i]},
                             i + 1 == ids.size() ? finish : internal::ENGINE_FINISH_NONE));
    }
  }

  StreamResult Stream(const v1::ChatRequest& request, const std::vector<int32_t>& ids,
                      internal::EngineFinish finish = internal::ENGINE_FINISH_LENGTH) {
    grpc::ClientContext context;
    const auto reader = service_->stub().ChatStream(&context, request);
    for (int32_t i = 0; i < std::max(request.sampling().n(), 1); ++i) {
      Answer(service_->submits().Pop(), ids, finish);
    }
    StreamResult result = TestService::ReadAll(*reader);
    EXPECT_TRUE(result.status.ok()) << result.status.error_message();
    return result;
  }

  v1::GenerateResponse Whole(const v1::ChatRequest& request, const std::vector<int32_t>& ids,
                             internal::EngineFinish finish = internal::ENGINE_FINISH_LENGTH) {
    std::thread worker([&] {
      for (int32_t i = 0; i < std::max(request.sampling().n(), 1); ++i) {
        Answer(service_->submits().Pop(), ids, finish);
      }
    });
    grpc::ClientContext context;
    v1::GenerateResponse response;
    const grpc::Status status = service_->stub().Chat(&context, request, &response);
    worker.join();
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  std::vector<int32_t> Encode(std::string_view text) const { return service_->Encode(text); }

  // The whole answer, and what the stream's messages amount to, but for the ids of calls.
  v1::Choice Ask(const v1::ChatRequest& request, const std::vector<int32_t>& ids,
                 internal::EngineFinish finish = internal::ENGINE_FINISH_LENGTH) {
    v1::GenerateResponse whole = Whole(request, ids, finish);
    v1::GenerateResponse streamed;
    for (v1::StreamResponse& message : Stream(request, ids, finish).messages) {
      AddMessage(&message, &streamed);
    }
    EXPECT_EQ(streamed.choices_size(), whole.choices_size());
    for (v1::GenerateResponse* response : {&whole, &streamed}) {
      for (v1::Choice& choice : *response->mutable_choices()) {
        for (v1::ToolCall& call : *choice.mutable_tool_calls()) {
          EXPECT_THAT(call.id(), StartsWith("call_"));
          call.clear_id();
        }
      }
    }
    EXPECT_EQ(streamed.choices(0).DebugString(), whole.choices(0).DebugString());
    return whole.choices(0);
  }

  std::optional<TestService> service_;
};

TEST_F(ToolCallsTest, CallsAreApartFromTheText) {
  const std::string text = "So:\n" + Call("f", R"({"a":  1})") + "\n" + Call("g", "{}") + "\nDone.";
  v1::Choice choice = Ask(WithTool(), Encode(text), internal::ENGINE_FINISH_EOS);
  EXPECT_EQ(choice.text(), "So:\n\nDone.");
  ASSERT_EQ(choice.tool_calls_size(), 2);
  EXPECT_EQ(choice.tool_calls(0).name(), "f");
  EXPECT_EQ(choice.tool_calls(0).arguments_json(), R"({"a":  1})");
  EXPECT_EQ(choice.tool_calls(1).name(), "g");
  EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_TOOL_CALLS);

  v1::ChatRequest request = WithTool();
  request.set_parallel_tool_calls(false);
  choice = Ask(request, Encode(text));
  ASSERT_EQ(choice.tool_calls_size(), 1);
  EXPECT_EQ(choice.text(), "So:\n\nDone.");

  request.mutable_tool_choice()->set_none(true);
  choice = Ask(request, Encode(text));
  EXPECT_EQ(choice.text(), text);
  EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_LENGTH);
  request = WithTool();
  request.clear_tools_json();
  EXPECT_EQ(Ask(request, Encode(text)).text(), text);
}

TEST_F(ToolCallsTest, WhatIsNoCallIsText) {
  for (const std::string text :
       {"<tool_call>\n{broken}\n</tool_call>", "<tool_call>\n{\"name\": \"f\"",
        "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": 1"}) {
    const v1::Choice choice = Ask(WithTool(), Encode(text), internal::ENGINE_FINISH_EOS);
    EXPECT_EQ(choice.text(), text);
    EXPECT_EQ(choice.tool_calls_size(), 0);
    EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_STOP);
  }
}

// The number of messages that carry arguments.
int NumFragments(const StreamResult& result) {
  int count = 0;
  for (const v1::StreamResponse& message : result.messages) {
    for (const v1::ToolCallDelta& delta : message.tool_calls()) {
      EXPECT_FALSE(FindInvalidUtf8(delta.arguments_json()));
      count += delta.arguments_json().empty() ? 0 : 1;
    }
  }
  return count;
}

// One message for each token, which the client waits for.
TEST_F(ToolCallsTest, AForcedCallComesAsItIsWritten) {
  const std::string arguments = R"({"city": "日本 🙂", "days": [1, 2, {"a": "}"}]})";
  const std::vector<int32_t> ids = Encode(Call("f", arguments));
  const auto read = [&](const v1::ChatRequest& request) {
    grpc::ClientContext context;
    const auto reader = service_->stub().ChatStream(&context, request);
    const internal::Submit submit = service_->submits().Pop();
    StreamResult result;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool last = i + 1 == ids.size();
      service_->engine().Send(
          FakeEngine::Output(submit.request(), static_cast<int32_t>(i), {ids[i]},
                             last ? internal::ENGINE_FINISH_LENGTH : internal::ENGINE_FINISH_NONE));
      v1::StreamResponse message;
      EXPECT_TRUE(reader->Read(&message));
      result.messages.push_back(message);
    }
    result.status = reader->Finish();
    return result;
  };
  const StreamResult forced = read(WithForcedTool());
  EXPECT_GT(NumFragments(forced), 10);
  std::string all;
  for (const v1::StreamResponse& message : forced.messages) {
    EXPECT_EQ(message.text_delta(), "");
    for (const v1::ToolCallDelta& delta : message.tool_calls()) {
      EXPECT_EQ(delta.id().empty(), !all.empty()) << "the first one has the id";
      EXPECT_EQ(delta.name(), all.empty() ? "f" : "");
      all += delta.arguments_json();
    }
  }
  EXPECT_EQ(all, arguments);
  EXPECT_EQ(NumFragments(read(WithTool())), 1) << "what may yet be none comes whole";
}

TEST_F(ToolCallsTest, ForcedCallsInTheWholeAnswer) {
  const std::string text = Call("f", R"({"a": "\"}"})") + "\n" + Call("f", "{}");
  v1::Choice choice = Ask(WithForcedTool(), Encode(text), internal::ENGINE_FINISH_EOS);
  EXPECT_EQ(choice.text(), "");
  ASSERT_EQ(choice.tool_calls_size(), 2);
  EXPECT_EQ(choice.tool_calls(0).arguments_json(), R"({"a": "\"}"})");
  EXPECT_EQ(choice.tool_calls(1).arguments_json(), "{}");
  EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_TOOL_CALLS);
  choice = Ask(WithNamedTool(), Encode(Call("f", "{}")), internal::ENGINE_FINISH_EOS);
  EXPECT_EQ(choice.tool_calls_size(), 1);
  EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_STOP);
}

TEST_F(ToolCallsTest, AForcedCallThatIsCutShortIsOneAsFarAsItGoes) {
  const std::string head = "<tool_call>\n{\"name\": \"f\", \"arguments\": ";
  v1::Choice choice = Ask(WithForcedTool(), Encode(head + R"({"a": "Os)"));
  EXPECT_EQ(choice.text(), "");
  ASSERT_EQ(choice.tool_calls_size(), 1);
  EXPECT_EQ(choice.tool_calls(0).arguments_json(), R"({"a": "Os)");
  EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_LENGTH);

  choice = Ask(WithForcedTool(), Encode(head));
  EXPECT_EQ(choice.text(), head);
  EXPECT_EQ(choice.tool_calls_size(), 0);

  v1::ChatRequest stopped = WithForcedTool();
  stopped.mutable_sampling()->add_stop("lo\"");
  choice = Ask(stopped, Encode(Call("f", R"({"a": "Oslo"})")));
  EXPECT_EQ(choice.tool_calls(0).arguments_json(), R"({"a": "Os)");
  EXPECT_EQ(choice.finish_reason(), v1::FINISH_REASON_STOP) << "the arguments are not complete";
  EXPECT_EQ(choice.stop_reason(), "lo\"");
}

TEST_F(ToolCallsTest, EachChoiceHasItsOwn) {
  v1::ChatRequest request = WithForcedTool();
  request.mutable_sampling()->set_n(2);
  const v1::GenerateResponse response =
      Whole(request, Encode(Call("f", "{\"a\": 1}")), internal::ENGINE_FINISH_EOS);
  ASSERT_EQ(response.choices_size(), 2);
  EXPECT_EQ(response.choices(1).tool_calls(0).arguments_json(), "{\"a\": 1}");
  EXPECT_NE(response.choices(0).tool_calls(0).id(), response.choices(1).tool_calls(0).id());
  Ask(request, Encode(Call("f", "{\"a\": 1}")), internal::ENGINE_FINISH_EOS);
}

TEST_F(ToolCallsTest, ForcedCallsFollowTheThinking) {
  testing::TempDir dir;
  testing::WriteThinkingModel(dir.path());
  Serve({.model_dir = dir.path(), .reasoning_parser = "deepseek_r1"});
  v1::ChatRequest request = WithForcedTool();
  v1::ChatMessage* begun = request.add_messages();
  begun->set_role("assistant");
  begun->set_content("<think>Well");
  request.set_add_generation_prompt(false);
  request.set_continue_final_message(true);

  const std::string cut = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"Os";
  v1::Choice choice = Ask(request, Encode(", Oslo.</think>" + cut));
  EXPECT_EQ(choice.reasoning_content(), ", Oslo.");
  EXPECT_EQ(choice.text(), "");
  ASSERT_EQ(choice.tool_calls_size(), 1);
  EXPECT_EQ(choice.tool_calls(0).arguments_json(), R"({"a": "Os)");

  // The tag in letters ends the thinking as well, but the grammar does not begin there: what
  // follows is free, so only a complete call is one, also once the tag itself has come.
  for (const std::string& content : {cut, "Hm.</think>" + cut}) {
    std::vector<int32_t> ids = Encode("Hm.</");
    const std::vector<int32_t> rest = Encode("think>" + content);
    ids.insert(ids.end(), rest.begin(), rest.end());
    choice = Ask(request, ids);
    EXPECT_EQ(choice.reasoning_content(), "Hm.");
    EXPECT_EQ(choice.text(), content);
    EXPECT_EQ(choice.tool_calls_size(), 0);
  }
}

TEST_F(ToolCallsTest, WhatLeavesNoTokenIsNamedAsTheClientNamesIt) {
  grpc::ClientContext context;
  const auto reader = service_->stub().ChatStream(&context, WithForcedTool());
  internal::RequestOutput output;
  output.set_request(service_->submits().Pop().request());
  output.set_finish(internal::ENGINE_FINISH_ERROR);
  output.set_error_code(static_cast<int32_t>(StatusCode::kInvalidArgument));
  output.set_error("sampling.grammar: no token that fits");
  output.set_error_field("sampling.grammar");
  service_->engine().Send(output);
  const StreamResult result = TestService::ReadAll(*reader);
  EXPECT_EQ(result.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(result.status.error_message(), "tools_json: no token that fits");
}

}  // namespace
}  // namespace phalanx
