// A client's JSON up to what a worker would get: body, fields, sampling, template, tokens, limits.
// No bytes may end the process; what is refused says so in JSON that names an error of the
// client's; what is accepted keeps to every limit.
#include <spdlog/spdlog.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "coordinator/core/engine_session.h"
#include "coordinator/core/frontend.h"
#include "coordinator/openai/errors.h"
#include "coordinator/openai/requests.h"
#include "coordinator/openai/small_endpoints.h"
#include "kernels/base/check.h"

namespace {

using phalanx::Delivery;
using phalanx::Frontend;
using phalanx::Limits;
using phalanx::ServedModel;
using phalanx::Status;
using phalanx::StatusCode;
using phalanx::StatusOr;
using phalanx::openai::Json;
using phalanx::openai::ParseContext;
namespace internal = phalanx::internal;

constexpr int32_t kContextLength = 512;

class NoReader final : public phalanx::Sink {
 public:
  void OnReady() override {}
  void Abort() override {}
};

// Looks at what a worker group would get.
class CheckingSession final : public phalanx::EngineSession {
 public:
  explicit CheckingSession(int32_t vocab_size) {
    info_.set_vocab_size(vocab_size);
    info_.set_max_model_len(kContextLength);
    info_.set_max_num_seqs(64);
    info_.set_max_num_batched_tokens(2048);
  }

  void Submit(internal::Submit submit) override {
    const internal::ResolvedSampling& sampling = submit.sampling();
    PHALANX_CHECK(!submit.prompt_ids().empty());
    for (const int32_t id : submit.prompt_ids()) CheckId(id);
    for (const int32_t id : sampling.allowed_token_ids()) CheckId(id);
    for (const int32_t id : sampling.stop_token_ids()) CheckId(id);
    for (const auto& [id, bias] : sampling.logit_bias()) {
      CheckId(id);
      PHALANX_CHECK(std::abs(bias) <= 100.0F);
    }
    PHALANX_CHECK(sampling.temperature() >= 0 && sampling.temperature() <= 2);
    PHALANX_CHECK(sampling.top_p() > 0 && sampling.top_p() <= 1);
    PHALANX_CHECK(sampling.min_p() >= 0 && sampling.min_p() <= 1);
    PHALANX_CHECK(std::abs(sampling.presence_penalty()) <= 2);
    PHALANX_CHECK(std::abs(sampling.frequency_penalty()) <= 2);
    PHALANX_CHECK(sampling.repetition_penalty() > 0 && sampling.repetition_penalty() <= 10);
    PHALANX_CHECK(sampling.top_k() >= 0);
    PHALANX_CHECK(sampling.max_tokens() >= 1 && sampling.min_tokens() >= 0);
    PHALANX_CHECK(submit.prompt_ids_size() + sampling.max_tokens() <= kContextLength);
    PHALANX_CHECK(sampling.logprobs() <= kLimits.max_logprobs);
    PHALANX_CHECK(sampling.prompt_logprobs() <= kLimits.max_logprobs);
    // Text that is no UTF-8 would be refused by the other end.
    PHALANX_CHECK(internal::Submit().ParseFromString(submit.SerializeAsString()));
  }
  void Cancel(uint64_t) override {}
  void Drain() override {}
  const internal::Register& info() const override { return info_; }

 private:
  static constexpr Limits kLimits{};
  void CheckId(int32_t id) const { PHALANX_CHECK(id >= 0 && id < info_.vocab_size()); }

  internal::Register info_;
};

std::unique_ptr<const ServedModel> LoadModel() {
  spdlog::set_level(spdlog::level::off);
  auto model = ServedModel::Load({.model_dir = PHALANX_SOURCE_DIR "/launch/demo/model"});
  PHALANX_CHECK(model.ok());
  return *std::move(model);
}

class Service {
 public:
  Service() : model_(LoadModel()), frontend_(*model_, {}) {
    auto session = std::make_shared<CheckingSession>(model_->vocab_size());
    PHALANX_CHECK(frontend_.dispatcher().Attach(std::move(session)).ok());
  }

  Status Chat(const Json& body) {
    PHALANX_ASSIGN_OR_RETURN(const auto call, ReadChat(body, context_));
    return Release(frontend_.Chat(call.request, NewCaller()));
  }
  Status Complete(const Json& body) {
    PHALANX_ASSIGN_OR_RETURN(const auto call, ReadCompletion(body, context_));
    for (const phalanx::v1::GenerateRequest& request : call.requests) {
      PHALANX_RETURN_IF_ERROR(Release(frontend_.Generate(request, NewCaller())));
    }
    return phalanx::OkStatus();
  }
  Status Tokenize(const Json& body) {
    PHALANX_ASSIGN_OR_RETURN(const std::string answer, TokenizeBody(frontend_, body, context_));
    return CheckJson(answer);
  }
  Status Detokenize(const Json& body) {
    PHALANX_ASSIGN_OR_RETURN(const std::string answer, DetokenizeBody(frontend_, body, context_));
    return CheckJson(answer);
  }

  const Limits& limits() const { return frontend_.limits(); }

 private:
  phalanx::Caller NewCaller() const { return {.sink = reader_}; }

  Status Release(const StatusOr<std::shared_ptr<phalanx::Stream>>& stream) {
    if (stream.ok()) frontend_.Release(**stream);
    return stream.status();
  }

  static Status CheckJson(const std::string& text) {
    PHALANX_CHECK(Json::accept(text));
    return phalanx::OkStatus();
  }

  std::unique_ptr<const ServedModel> model_;
  Frontend frontend_;
  phalanx::openai::UnknownFields unknown_{phalanx::openai::UnknownFieldPolicy::kRefuse};
  ParseContext context_{frontend_.limits(), unknown_};
  std::shared_ptr<NoReader> reader_ = std::make_shared<NoReader>();
};

void CheckRefusal(const Status& status) {
  PHALANX_CHECK(status.code() == StatusCode::kInvalidArgument ||
                status.code() == StatusCode::kUnimplemented ||
                status.code() == StatusCode::kNotFound ||
                status.code() == StatusCode::kResourceExhausted);
  constexpr size_t kMaxBytes = 1024;  // however long what the client sent was
  PHALANX_CHECK(!status.message().empty() && status.message().size() <= kMaxBytes);
  const std::string body = phalanx::openai::ErrorBody(phalanx::openai::InWordsOfApi(status));
  const Json error = Json::parse(body)["error"];
  PHALANX_CHECK(error["message"].is_string() && error["code"].get<int>() >= 400);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Service service;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const StatusOr<Json> body = phalanx::openai::ParseBody(text, service.limits());
  Status status = body.status();
  if (body.ok()) {
    // The first byte is the endpoint.
    switch (data[0]) {
      case 'c':
        status = service.Chat(*body);
        break;
      case 'p':
        status = service.Complete(*body);
        break;
      case 't':
        status = service.Tokenize(*body);
        break;
      default:
        status = service.Detokenize(*body);
        break;
    }
  }
  if (!status.ok()) CheckRefusal(status);
  return 0;
}
