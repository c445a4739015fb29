#include "coordinator/grpc/inference_service.h"

#include <grpcpp/impl/codegen/server_callback_handlers.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "coordinator/grpc/answer_reactors.h"
#include "coordinator/grpc/wire.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {
namespace {

using grpc::ByteBuffer;
using grpc::CallbackServerContext;
using grpc::internal::RpcMethod;
using grpc::internal::RpcServiceMethod;

// Methods get bytes, because gRPC's own parsing answers a bad message with UNIMPLEMENTED and no
// words.
class InferenceService final : public grpc::Service {
 public:
  InferenceService(Frontend& frontend, TaskQueue& queue) : frontend_(frontend), queue_(queue) {
    Serve("/phalanx.v1.Inference/Generate", [this](CallbackServerContext* call) {
      return Answer<v1::GenerateRequest>(call, StartWholeAnswer, &Frontend::Generate);
    });
    Serve("/phalanx.v1.Inference/GenerateStream", [this](CallbackServerContext* call) {
      return Answer<v1::GenerateRequest>(call, StartStreamAnswer, &Frontend::Generate);
    });
    Serve("/phalanx.v1.Inference/Chat", [this](CallbackServerContext* call) {
      return Answer<v1::ChatRequest>(call, StartWholeAnswer, &Frontend::Chat);
    });
    Serve("/phalanx.v1.Inference/ChatStream", [this](CallbackServerContext* call) {
      return Answer<v1::ChatRequest>(call, StartStreamAnswer, &Frontend::Chat);
    });
    Serve("/phalanx.v1.Inference/Tokenize", [this](CallbackServerContext* call) {
      return Reply<v1::TokenizeRequest>(Authenticate(*call).status(), [this](const auto& parsed) {
        return frontend_.Tokenize(parsed);
      });
    });
    Serve("/phalanx.v1.Inference/Detokenize", [this](CallbackServerContext* call) {
      return Reply<v1::DetokenizeRequest>(Authenticate(*call).status(), [this](const auto& parsed) {
        return frontend_.Detokenize(parsed);
      });
    });
    Serve("/phalanx.v1.Inference/GetModelInfo", [this](CallbackServerContext* call) {
      return Reply<v1::GetModelInfoRequest>(
          Authenticate(*call).status(),
          [this](const auto& parsed) { return frontend_.GetModelInfo(parsed); });
    });
    Serve("/phalanx.v1.Inference/GetServerInfo", [this](CallbackServerContext* call) {
      return Reply<v1::GetServerInfoRequest>(CheckMetrics(*call), [this](const auto&) {
        return StatusOr<v1::ServerInfo>(frontend_.GetServerInfo());
      });
    });
  }

 private:
  // As generated code does for methods that are streams in both directions (request_reactor.h).
  void Serve(const char* name, std::function<CallReactor*(CallbackServerContext*)> begin) {
    AddMethod(new RpcServiceMethod(name, RpcMethod::BIDI_STREAMING, nullptr));
    MarkMethodRawCallback(
        num_methods_++,
        new grpc::internal::CallbackBidiHandler<ByteBuffer, ByteBuffer>(std::move(begin)));
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

  template <typename Request, typename Front>
  CallReactor* Answer(CallbackServerContext* call,
                      CallReactor* (*start)(const AnswerContext&, StartRequest), Front front) {
    const StatusOr<ApiKeyPtr> key = Authenticate(*call);
    if (!key.ok()) return RefuseCall(key.status());
    return start({frontend_, queue_, call},
                 [this, front, key = *key](const ByteBuffer& request,
                                           Caller caller) -> StatusOr<std::shared_ptr<Stream>> {
                   caller.key = key;
                   Request parsed;
                   PHALANX_RETURN_IF_ERROR(Parse(request, &parsed));
                   return (frontend_.*front)(parsed, std::move(caller));
                 });
  }

  template <typename Request, typename Function>
  CallReactor* Reply(const Status& admitted, Function function) {
    if (!admitted.ok()) return RefuseCall(admitted);
    const RequestContext context{queue_, frontend_.limits().max_message_time};
    return StartReply(context, [function](const ByteBuffer& request, ByteBuffer* response) {
      Request parsed;
      PHALANX_RETURN_IF_ERROR(Parse(request, &parsed));
      const auto result = function(parsed);
      if (result.ok()) Serialize(*result, response);
      return result.status();
    });
  }

  Frontend& frontend_;
  TaskQueue& queue_;
  int num_methods_ = 0;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeInferenceService(Frontend& frontend, TaskQueue& queue) {
  return std::make_unique<InferenceService>(frontend, queue);
}

}  // namespace phalanx
