#include "tests/client/fake_inference.h"

#include <chrono>
#include <sstream>
#include <thread>

#include "google/rpc/error_details.pb.h"

namespace phalanx {
namespace {

grpc::Status BadField(const std::string& field, const std::string& message) {
  google::rpc::BadRequest bad_request;
  bad_request.add_field_violations()->set_field(field);
  google::rpc::Status details;
  google::rpc::Any& any = *details.add_details();
  any.set_type_url("type.googleapis.com/google.rpc.BadRequest");
  any.set_value(bad_request.SerializeAsString());
  return {grpc::StatusCode::INVALID_ARGUMENT, message, details.SerializeAsString()};
}

void AddCall(const std::string& id, const std::string& name, const std::string& arguments,
             v1::StreamResponse& delta) {
  v1::ToolCallDelta& call = *delta.add_tool_calls();
  call.set_index(name == "g" ? 1 : 0);
  call.set_id(id);
  call.set_name(name);
  call.set_arguments_json(arguments);
}

void WriteCalls(grpc::ServerWriter<v1::StreamResponse>& writer) {
  v1::StreamResponse first;
  first.set_text_delta("I look.");
  first.add_token_ids(1);
  AddCall("call_1", "f", "", first);
  writer.Write(first);
  v1::StreamResponse second;
  AddCall("", "", "{\"a\":", second);
  writer.Write(second);
  v1::StreamResponse last;
  AddCall("", "", " 1}", last);
  AddCall("call_2", "g", "{}", last);
  last.set_finish_reason(v1::FINISH_REASON_TOOL_CALLS);
  writer.Write(last);
}

}  // namespace

FakeInference::FakeInference() {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  address_ = "127.0.0.1:" + std::to_string(port);
}

FakeInference::~FakeInference() { server_->Shutdown(std::chrono::system_clock::now()); }

std::vector<v1::GenerateRequest> FakeInference::generate_requests() const {
  const std::lock_guard lock(mutex_);
  return generate_requests_;
}

std::vector<v1::ChatRequest> FakeInference::chat_requests() const {
  const std::lock_guard lock(mutex_);
  return chat_requests_;
}

size_t FakeInference::num_requests() const {
  const std::lock_guard lock(mutex_);
  return generate_requests_.size() + chat_requests_.size();
}

grpc::Status FakeInference::GenerateStream(grpc::ServerContext* context,
                                           const v1::GenerateRequest* request,
                                           grpc::ServerWriter<v1::StreamResponse>* writer) {
  {
    const std::lock_guard lock(mutex_);
    generate_requests_.push_back(*request);
  }
  std::string text = request->text();
  for (int i = 0; i < request->token_ids().ids_size(); ++i) text += "word ";
  if (request->sampling().has_prompt_logprobs()) {
    v1::StreamResponse first;
    for (const int32_t id : request->token_ids().ids()) {
      const bool is_first = first.prompt_logprobs_size() == 0;
      first.add_prompt_logprobs()->set_logprob(is_first ? 0 : static_cast<float>(-id) / 8);
    }
    writer->Write(first);
  }
  return Answer(*context, text, request->sampling(), *writer);
}

grpc::Status FakeInference::ChatStream(grpc::ServerContext* context, const v1::ChatRequest* request,
                                       grpc::ServerWriter<v1::StreamResponse>* writer) {
  {
    const std::lock_guard lock(mutex_);
    chat_requests_.push_back(*request);
  }
  return Answer(*context, request->messages(request->messages_size() - 1).content(),
                request->sampling(), *writer);
}

grpc::Status FakeInference::Tokenize(grpc::ServerContext*, const v1::TokenizeRequest* request,
                                     v1::TokenizeResponse* response) {
  std::istringstream words(request->text());
  for (std::string word; words >> word;) response->add_token_ids(static_cast<int>(word.size()));
  response->set_max_model_len(9);
  return grpc::Status::OK;
}

grpc::Status FakeInference::GetModelInfo(grpc::ServerContext*, const v1::GetModelInfoRequest*,
                                         v1::ModelInfo* info) {
  info->set_id("fake");
  info->set_vocab_size(100);
  return grpc::Status::OK;
}

grpc::Status FakeInference::Answer(grpc::ServerContext& context, const std::string& text,
                                   const v1::SamplingParams& sampling,
                                   grpc::ServerWriter<v1::StreamResponse>& writer) {
  if (text == "bad") return BadField("temperature", "is -1, allowed: 0..2");
  if (text == "too long") return BadField("sampling.max_tokens", "is 9, allowed: at most 3");
  if (text == "busy") return {grpc::StatusCode::UNAVAILABLE, "the server is draining"};
  while (text == "silence" && !context.IsCancelled())
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  if (text == "silence") return grpc::Status::CANCELLED;
  if (text == "calls") {
    WriteCalls(writer);
    return grpc::Status::OK;
  }
  while (text == "forever") {
    v1::StreamResponse delta;
    delta.set_text_delta("again ");
    delta.add_token_ids(5);
    if (context.IsCancelled() || !writer.Write(delta)) {
      ++num_cancelled_;
      return grpc::Status::CANCELLED;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  const int num_choices = std::max(1, sampling.n());
  const int max_tokens = sampling.has_max_tokens() ? sampling.max_tokens() : 1 << 20;
  int num_tokens = 0;
  for (int index = 0; index < num_choices; ++index) {
    std::istringstream words(text);
    std::string word;
    int in_choice = 0;
    if (sampling.echo()) {
      v1::StreamResponse prompt;
      prompt.set_text_delta(text);
      writer.Write(prompt);
    }
    for (; in_choice < max_tokens && words >> word; ++in_choice, ++num_tokens) {
      v1::StreamResponse delta;
      delta.set_index(index);
      delta.set_id("fake-1");
      delta.set_text_delta(in_choice == 0 ? word : " " + word);
      delta.add_token_ids(static_cast<int>(word.size()));
      if (sampling.has_logprobs()) {
        v1::TokenLogprob& logprob = *delta.add_logprobs();
        logprob.set_token(word);
        logprob.set_logprob(-0.5f);
      }
      writer.Write(delta);
    }
    v1::StreamResponse last;
    last.set_index(index);
    last.set_finish_reason(in_choice == max_tokens ? v1::FINISH_REASON_LENGTH
                                                   : v1::FINISH_REASON_STOP);
    if (index == num_choices - 1) {
      last.mutable_usage()->set_prompt_tokens(7);
      last.mutable_usage()->set_completion_tokens(num_tokens);
      last.mutable_timings()->set_prefill_ms(1.5);
    }
    writer.Write(last);
  }
  return grpc::Status::OK;
}

grpc::Status FakeInference::GetServerInfo(grpc::ServerContext*, const v1::GetServerInfoRequest*,
                                          v1::ServerInfo* info) {
  const int look = ++num_looks_;
  info->set_version("test");
  info->set_state("ready");
  info->set_model("fake");
  info->set_uptime_seconds(look);
  info->set_num_ranks(2);
  info->set_device("cpu");
  info->set_isa("none");
  info->set_num_prompt_tokens(100 * look);
  info->set_num_generated_tokens(50 * look);
  info->set_num_first_tokens(2 * look);
  info->set_first_token_seconds(0.04 * look);
  return grpc::Status::OK;
}

}  // namespace phalanx
