#include "tests/coordinator/test_service.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <thread>

namespace phalanx::testing {

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "phalanx-test-XXXXXX").string();
  PHALANX_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path DemoModel() {
  return std::filesystem::path(PHALANX_SOURCE_DIR) / "launch/demo/model";
}

void WriteThinkingModel(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(DemoModel())) {
    const std::string extension = entry.path().extension();
    if (extension != ".json" && extension != ".jinja") continue;
    std::ifstream file(entry.path());
    std::string text((std::istreambuf_iterator<char>(file)), {});
    constexpr std::string_view kFrom = "tool_call>";
    constexpr std::string_view kTo = "think>";
    for (size_t at = 0; (at = text.find(kFrom, at)) != std::string::npos;) {
      text.replace(at, kFrom.size(), kTo);
    }
    std::ofstream(folder / entry.path().filename()) << text;
  }
}

std::string StreamResult::Text(int32_t choice) const {
  std::string text;
  for (const v1::StreamResponse& message : messages) {
    if (message.index() == choice) text += message.text_delta();
  }
  return text;
}

std::vector<int32_t> StreamResult::TokenIds(int32_t choice) const {
  std::vector<int32_t> ids;
  for (const v1::StreamResponse& message : messages) {
    if (message.index() != choice) continue;
    ids.insert(ids.end(), message.token_ids().begin(), message.token_ids().end());
  }
  return ids;
}

TestService::TestService(Limits limits, ServedModelOptions model_options,
                         std::shared_ptr<RequestObserver> observer,
                         std::shared_ptr<const ApiKeys> keys) {
  auto model = ServedModel::Load(model_options);
  PHALANX_CHECK(model.ok());
  model_ = *std::move(model);
  frontend_ = std::make_unique<Frontend>(
      *model_,
      FrontendOptions{.limits = limits,
                      .on_state = [this](ServingState state) { server_->SetServing(state); },
                      .observer = std::move(observer),
                      .keys = std::move(keys)});
  queue_ = std::make_unique<TaskQueue>(16);
  auto server = PublicServer::Start({.port = 0}, *frontend_, *queue_);
  PHALANX_CHECK(server.ok());
  server_ = *std::move(server);
  auto listener = EngineListener::Start(engine_socket(), frontend_->dispatcher());
  PHALANX_CHECK(listener.ok());
  listener_ = *std::move(listener);
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // Keeps the window at 64 KiB, so that a reader who does not read is soon noticed.
  arguments.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  channel_ =
      grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(), arguments);
  stub_ = v1::Inference::NewStub(channel_);
}

TestService::~TestService() {
  engine_.reset();
  listener_.reset();
  server_->Shutdown();
}

FakeEngine& TestService::AttachEngine() {
  return AttachEngine(FakeEngine::DefaultRegistration(model_->vocab_size()));
}

FakeEngine& TestService::AttachEngine(const internal::Register& registration) {
  engine_ = std::make_unique<FakeEngine>(
      engine_socket(), registration,
      FakeEngineHandlers{
          .on_submit = [this](const internal::Submit& submit) { submits_.Push(submit); },
          .on_cancel = [this](uint64_t request) { cancels_.Push(request); },
          .on_drain = [this] { drains_.Push(0); }});
  PHALANX_CHECK(engine_->WaitForWelcome());
  return *engine_;
}

std::vector<int32_t> TestService::Encode(std::string_view text) const {
  auto ids = model_->tokenizer()->Encode(text, {.special_tokens = SpecialTokens::kOmit});
  PHALANX_CHECK(ids.ok());
  return *ids;
}

StreamResult TestService::ReadAll(grpc::ClientReader<v1::StreamResponse>& reader) {
  StreamResult result;
  v1::StreamResponse message;
  while (reader.Read(&message)) result.messages.push_back(message);
  result.status = reader.Finish();
  return result;
}

bool TestService::WaitForState(ServingState state) const {
  constexpr std::chrono::milliseconds kStep(5);
  constexpr int kSteps = 2000;
  for (int i = 0; i < kSteps && frontend_->state() != state; ++i)
    std::this_thread::sleep_for(kStep);
  return frontend_->state() == state;
}

v1::GenerateRequest TextRequest(const std::string& text, int32_t max_tokens) {
  v1::GenerateRequest request;
  request.set_text(text);
  request.mutable_sampling()->set_max_tokens(max_tokens);
  request.mutable_sampling()->set_seed(7);
  return request;
}

}  // namespace phalanx::testing
