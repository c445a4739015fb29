#include "coordinator/grpc/inference_service.h"

#include <memory>
#include <utility>

#include "coordinator/grpc/answer_reactors.h"
#include "coordinator/grpc/wire.h"
#include "phalanx/v1/inference.grpc.pb.h"

namespace phalanx {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::ServerUnaryReactor;
using v1::Inference;

// Raw methods, because gRPC's own parsing answers a bad message with UNIMPLEMENTED and no words.
using Raw =
    Inference::WithRawCallbackMethod_Generate<Inference::WithRawCallbackMethod_GenerateStream<
        Inference::WithRawCallbackMethod_Chat<Inference::WithRawCallbackMethod_ChatStream<
            Inference::WithRawCallbackMethod_Tokenize<Inference::WithRawCallbackMethod_Detokenize<
                Inference::WithRawCallbackMethod_GetModelInfo<
                    Inference::WithRawCallbackMethod_GetServerInfo<Inference::Service>>>>>>>>;

class InferenceService final : public Raw {
 public:
  InferenceService(Frontend& frontend, TaskQueue& queue) : frontend_(frontend), queue_(queue) {}

  ServerUnaryReactor* Generate(CallbackServerContext* call, const ByteBuffer* request,
                               ByteBuffer* response) override {
    const auto key = Authenticate(*call);
    return StartWholeAnswer(Context(call, *request, key), StartGenerate(key, *request), response);
  }

  grpc::ServerWriteReactor<ByteBuffer>* GenerateStream(CallbackServerContext* call,
                                                       const ByteBuffer* request) override {
    const auto key = Authenticate(*call);
    return StartStreamAnswer(Context(call, *request, key), StartGenerate(key, *request));
  }

  ServerUnaryReactor* Chat(CallbackServerContext* call, const ByteBuffer* request,
                           ByteBuffer* response) override {
    const auto key = Authenticate(*call);
    return StartWholeAnswer(Context(call, *request, key), StartChat(key, *request), response);
  }

  grpc::ServerWriteReactor<ByteBuffer>* ChatStream(CallbackServerContext* call,
                                                   const ByteBuffer* request) override {
    const auto key = Authenticate(*call);
    return StartStreamAnswer(Context(call, *request, key), StartChat(key, *request));
  }

  ServerUnaryReactor* Tokenize(CallbackServerContext* call, const ByteBuffer* request,
                               ByteBuffer* response) override {
    return Reply<v1::TokenizeRequest>(
        call, Authenticate(*call).status(), request, response,
        [this](const auto& parsed) { return frontend_.Tokenize(parsed); });
  }

  ServerUnaryReactor* Detokenize(CallbackServerContext* call, const ByteBuffer* request,
                                 ByteBuffer* response) override {
    return Reply<v1::DetokenizeRequest>(
        call, Authenticate(*call).status(), request, response,
        [this](const auto& parsed) { return frontend_.Detokenize(parsed); });
  }

  ServerUnaryReactor* GetModelInfo(CallbackServerContext* call, const ByteBuffer* request,
                                   ByteBuffer* response) override {
    return Reply<v1::GetModelInfoRequest>(
        call, Authenticate(*call).status(), request, response,
        [this](const auto& parsed) { return frontend_.GetModelInfo(parsed); });
  }

  ServerUnaryReactor* GetServerInfo(CallbackServerContext* call, const ByteBuffer* request,
                                    ByteBuffer* response) override {
    return Reply<v1::GetServerInfoRequest>(
        call, CheckMetrics(*call), request, response,
        [this](const auto&) { return StatusOr<v1::ServerInfo>(frontend_.GetServerInfo()); });
  }

 private:
  // A stranger's request is refused at once, however large it is.
  AnswerContext Context(CallbackServerContext* call, const ByteBuffer& request,
                        const StatusOr<ApiKeyPtr>& key) {
    return {frontend_, queue_, call, key.ok() ? request.Length() : 0};
  }

  StatusOr<ApiKeyPtr> Authenticate(const CallbackServerContext& call) const {
    const auto& metadata = call.client_metadata();
    const auto found = metadata.find("authorization");
    const std::string peer = call.peer();
    const Origin origin{.protocol = FrontProtocol::kGrpc, .peer = peer};
    if (found == metadata.end()) return frontend_.Authenticate("", origin);
    return frontend_.Authenticate({found->second.data(), found->second.size()}, origin);
  }

  Status CheckMetrics(const CallbackServerContext& call) const {
    PHALANX_ASSIGN_OR_RETURN(const ApiKeyPtr key, Authenticate(call));
    const std::string peer = call.peer();
    return frontend_.CheckMetrics(key, {.protocol = FrontProtocol::kGrpc, .peer = peer});
  }

  // Copies of a ByteBuffer share its bytes.
  StartRequest StartGenerate(const StatusOr<ApiKeyPtr>& key, const ByteBuffer& request) {
    return [this, request, key](Caller caller) -> StatusOr<std::shared_ptr<Stream>> {
      PHALANX_ASSIGN_OR_RETURN(caller.key, key);
      v1::GenerateRequest parsed;
      PHALANX_RETURN_IF_ERROR(Parse(request, &parsed));
      return frontend_.Generate(parsed, std::move(caller));
    };
  }

  StartRequest StartChat(const StatusOr<ApiKeyPtr>& key, const ByteBuffer& request) {
    return [this, request, key](Caller caller) -> StatusOr<std::shared_ptr<Stream>> {
      PHALANX_ASSIGN_OR_RETURN(caller.key, key);
      v1::ChatRequest parsed;
      PHALANX_RETURN_IF_ERROR(Parse(request, &parsed));
      return frontend_.Chat(parsed, std::move(caller));
    };
  }

  template <typename Request, typename Function>
  ServerUnaryReactor* Reply(CallbackServerContext* call, const Status& admitted,
                            const ByteBuffer* request, ByteBuffer* response, Function function) {
    ServerUnaryReactor* reactor = call->DefaultReactor();
    if (!admitted.ok()) {
      reactor->Finish(ToGrpc(admitted));
      return reactor;
    }
    const auto answer = [=] {
      Request parsed;
      Status status = Parse(*request, &parsed);
      if (status.ok()) {
        const auto result = function(parsed);
        if (result.ok()) Serialize(*result, response);
        status = result.status();
      }
      reactor->Finish(ToGrpc(status));
    };
    if (request->Length() <= kInlineBytes) {
      answer();
    } else if (queue_.Post(answer) == PostResult::kFull) {
      reactor->Finish(
          ToGrpc(ResourceExhaustedError("too many large requests at once, try again later")
                     .WithRetryAfter(std::chrono::seconds(1))));
    }
    return reactor;
  }

  Frontend& frontend_;
  TaskQueue& queue_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInferenceService(Frontend& frontend, TaskQueue& queue) {
  return std::make_unique<InferenceService>(frontend, queue);
}

}  // namespace phalanx
