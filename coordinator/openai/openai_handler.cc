#include "coordinator/openai/openai_handler.h"

#include <chrono>
#include <utility>

#include "coordinator/core/printable.h"
#include "coordinator/http/request_id.h"
#include "coordinator/openai/answer.h"
#include "coordinator/openai/chat_format.h"
#include "coordinator/openai/completion_format.h"
#include "coordinator/openai/requests.h"
#include "coordinator/openai/routes.h"
#include "coordinator/openai/small_endpoints.h"
#include "coordinator/web/web_files.h"

namespace phalanx::openai {
namespace {

using ExchangePtr = std::shared_ptr<http::Exchange>;

int64_t SystemTime() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// Equal for servers whose answers are equal.
std::string Fingerprint(const std::string& numerics_id) {
  uint64_t hash = 0xCBF29CE484222325U;  // FNV-1a
  for (const char c : numerics_id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3U;
  return fmt::format("fp_{:010x}", hash >> 24);
}

// As vLLM: the media type alone counts, and it must be there.
Status CheckContentType(const http::Request& request) {
  std::string type(request.FindHeader("content-type"));
  type.resize(std::min(type.find(';'), type.size()));
  while (!type.empty() && type.back() == ' ') type.pop_back();
  for (char& c : type) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (type == "application/json") return OkStatus();
  return InvalidArgumentError("Content-Type: is {}, allowed: application/json",
                              type.empty() ? "absent" : SafeKey(type));
}

// What is wrong with one of several prompts, with that one's name.
Status OfPrompt(size_t index, const Status& status) {
  if (status.field() != "prompt" && !status.field().starts_with("prompt.")) return status;
  const std::string name = fmt::format("prompt[{}]", index);
  const Renaming words[] = {{"prompt.text", name}, {"prompt.token_ids", name}, {"prompt", name}};
  return InWordsOfApi(status, words);
}

class OpenAiHandler final : public http::Handler,
                            public std::enable_shared_from_this<OpenAiHandler> {
 public:
  OpenAiHandler(Frontend& frontend, TaskQueue& queue, OpenAiOptions options)
      : frontend_(frontend),
        queue_(queue),
        unknown_(options.unknown_fields),
        unix_time_(options.unix_time ? std::move(options.unix_time) : SystemTime),
        metrics_(std::move(options.metrics)),
        created_(unix_time_()) {}

  // A body, to whatever route, is read only from who has a key: strangers' bodies, sent slowly,
  // could fill the memory for all.
  std::optional<http::Response> RefuseHead(const http::Request& head) const override {
    const Status status =
        frontend_.Authenticate(head.FindHeader("authorization"), OriginOf(head)).status();
    if (status.ok()) return std::nullopt;
    http::Response response = ErrorResponse(status);
    http::AddRequestId(head, &response);
    return response;
  }

  void Handle(ExchangePtr exchange) override {
    const http::Request& request = exchange->request();
    const Route* route = FindRoute(request.path);
    const bool any = request.path == "*";
    if (route == nullptr && !any) {
      Refuse(*exchange, NotFoundError("there is nothing at {}", SafeKey(request.path)));
      return;
    }
    if (request.method == "OPTIONS") {
      Reply(*exchange, {.status = 204,
                        .headers = {{"Allow", AllowedMethods(route)}},
                        .content_type = "",
                        .body = ""});
      return;
    }
    if (any || !Serves(*route, request.method)) {
      RefuseMethod(*exchange, route);
      return;
    }
    const StatusOr<ApiKeyPtr> key = Admit(request, route->access);
    if (!key.ok()) {
      Refuse(*exchange, key.status());
      return;
    }
    if (route->method == Method::kGet) {
      AnswerGet(*exchange, *route);
      return;
    }
    const Status type = CheckContentType(request);
    if (!type.ok()) {
      Refuse(*exchange, type);
    } else if (request.body.size() <= kInlineBytes) {
      AnswerPost(exchange, *route, *key);
    } else if (queue_.Post([self = shared_from_this(), exchange, route, key = *key] {
                 self->AnswerPost(exchange, *route, key);
               }) == PostResult::kFull) {
      Refuse(*exchange, ResourceExhaustedError("the queue of large requests is full")
                            .WithRetryAfter(std::chrono::seconds(1)));
    }
  }

 private:
  static Origin OriginOf(const http::Request& request) {
    return {.protocol = FrontProtocol::kHttp, .peer = request.peer};
  }

  StatusOr<ApiKeyPtr> Admit(const http::Request& request, Access access) const {
    if (access == Access::kOpen) return ApiKeyPtr();
    const Origin origin = OriginOf(request);
    StatusOr<ApiKeyPtr> key = frontend_.Authenticate(request.FindHeader("authorization"), origin);
    if (!key.ok() || access != Access::kMetrics) return key;
    PHALANX_RETURN_IF_ERROR(frontend_.CheckMetrics(*key, origin));
    return key;
  }

  static void Reply(http::Exchange& exchange, http::Response response) {
    http::AddRequestId(exchange.request(), &response);
    exchange.Send(std::move(response));
  }

  void Refuse(http::Exchange& exchange, const Status& status) const {
    Reply(exchange, ErrorResponse(InWordsOfApi(status)));
  }

  static void RefuseMethod(http::Exchange& exchange, const Route* route) {
    const std::string allowed = AllowedMethods(route);
    http::Response response;
    response.status = 405;
    response.headers.push_back({"Allow", allowed});
    response.body = ErrorBody(
        fmt::format("method: is {}, allowed: {}", SafeKey(exchange.request().method), allowed),
        "MethodNotAllowedError", "", response.status);
    Reply(exchange, std::move(response));
  }

  void ReplyWith(http::Exchange& exchange, StatusOr<std::string> body) const {
    if (!body.ok()) {
      Refuse(exchange, body.status());
      return;
    }
    http::Response response;
    response.body = *std::move(body);
    Reply(exchange, std::move(response));
  }

  void AnswerGet(http::Exchange& exchange, const Route& route) const {
    switch (route.endpoint) {
      case Endpoint::kModels:
        return ReplyWith(exchange, ModelsBody(frontend_, created_));
      case Endpoint::kModel:
        return ReplyWith(
            exchange, ModelBody(frontend_,
                                std::string_view(exchange.request().path).substr(route.path.size()),
                                created_));
      case Endpoint::kMetrics:
        return AnswerMetrics(exchange);
      case Endpoint::kVersion:
        return ReplyWith(exchange, VersionBody(frontend_));
      case Endpoint::kPage:
        return AnswerPage(exchange);
      default: {
        const bool up =
            route.endpoint == Endpoint::kLive || frontend_.state() == ServingState::kReady;
        return Reply(exchange,
                     {.status = up ? 200 : 503, .headers = {}, .content_type = "", .body = ""});
      }
    }
  }

  void AnswerMetrics(http::Exchange& exchange) const {
    if (!metrics_) return Refuse(exchange, NotFoundError("this server keeps no metrics"));
    http::Response response;
    response.content_type = "text/plain; version=0.0.4; charset=utf-8";
    response.body = metrics_();
    Reply(exchange, std::move(response));
  }

  void AnswerPage(http::Exchange& exchange) const {
    const std::string& path = exchange.request().path;
    const web::File* file = web::FindFile(path);
    if (file == nullptr) {
      return Refuse(exchange, NotFoundError("there is nothing at {}", SafeKey(path)));
    }
    Reply(exchange, web::Answer(*file, exchange.request().FindHeader("if-none-match")));
  }

  void AnswerPost(const ExchangePtr& exchange, const Route& route, const ApiKeyPtr& key) {
    const StatusOr<Json> body = ParseBody(exchange->request().body, frontend_.limits());
    if (!body.ok()) return Refuse(*exchange, body.status());
    const ParseContext context{frontend_.limits(), unknown_};
    switch (route.endpoint) {
      case Endpoint::kChat:
        return AnswerChat(exchange, key, *body, context);
      case Endpoint::kCompletions:
        return AnswerCompletion(exchange, key, *body, context);
      case Endpoint::kTokenize:
        return ReplyWith(*exchange, TokenizeBody(frontend_, *body, context));
      default:
        return ReplyWith(*exchange, DetokenizeBody(frontend_, *body, context));
    }
  }

  void AnswerChat(const ExchangePtr& exchange, const ApiKeyPtr& key, const Json& body,
                  const ParseContext& context) {
    StatusOr<ChatCall> call = ReadChat(body, context);
    if (!call.ok()) return Refuse(*exchange, call.status());
    auto format = std::make_unique<ChatFormat>(*call);
    Label(*exchange, &call->request);
    Start(exchange, key, *call, std::move(format),
          {[&](Caller caller) { return frontend_.Chat(call->request, std::move(caller)); }});
  }

  void AnswerCompletion(const ExchangePtr& exchange, const ApiKeyPtr& key, const Json& body,
                        const ParseContext& context) {
    StatusOr<CompletionCall> call = ReadCompletion(body, context);
    if (!call.ok()) return Refuse(*exchange, call.status());
    if (const Status fits = CheckPrompts(*call, key); !fits.ok()) return Refuse(*exchange, fits);
    auto format = std::make_unique<CompletionFormat>(*call);
    std::vector<StartPart> starts;
    for (size_t i = 0; i < call->requests.size(); ++i) {
      Label(*exchange, &call->requests[i]);
      starts.emplace_back([this, &call = *call, i](Caller caller) {
        auto stream = frontend_.Generate(call.requests[i], std::move(caller));
        if (stream.ok() || !call.has_prompt_list) return stream;
        return decltype(stream)(OfPrompt(i, stream.status()));
      });
    }
    Start(exchange, key, *call, std::move(format), starts);
  }

  // A list of prompts is admitted as a whole, so no retry could cure one that its key cannot have.
  Status CheckPrompts(const CompletionCall& call, const ApiKeyPtr& key) const {
    if (key == nullptr || call.requests.size() <= 1) return OkStatus();
    const int32_t most = StreamLimit(*key, frontend_.limits().max_key_streams);
    const int32_t n = std::max(call.sampling.n(), 1);
    if (call.requests.size() <= static_cast<size_t>(most / n)) return OkStatus();
    return InvalidField("prompt", fmt::format("{} prompts", call.requests.size()),
                        fmt::format("at most {} with n = {}, since this key may have {} sequences",
                                    most / n, n, most));
  }

  // A client's own id is a label, wherever it stands.
  template <typename Request>
  static void Label(const http::Exchange& exchange, Request* request) {
    if (request->request_id().empty()) request->set_request_id(RequestIdOf(exchange.request()));
  }

  void Start(const ExchangePtr& exchange, const ApiKeyPtr& key, const Call& call,
             std::unique_ptr<AnswerFormat> format, const std::vector<StartPart>& starts) {
    AnswerInit init(frontend_, queue_, exchange, std::move(format));
    init.head.created = unix_time_();
    init.head.model = frontend_.model().id();
    init.head.system_fingerprint = Fingerprint(frontend_.GetServerInfo().numerics_id());
    init.key = key;
    init.request_id = RequestIdOf(exchange->request());
    init.delivery = call.answer.stream ? Delivery::kIncremental : Delivery::kWhole;
    init.return_token_ids = call.answer.return_token_ids;
    std::make_shared<Answer>(std::move(init))->Run(starts);
  }

  Frontend& frontend_;
  TaskQueue& queue_;
  UnknownFields unknown_;
  const std::function<int64_t()> unix_time_;
  const std::function<std::string()> metrics_;
  const int64_t created_;
};

}  // namespace

std::shared_ptr<http::Handler> MakeOpenAiHandler(Frontend& frontend, TaskQueue& queue,
                                                 OpenAiOptions options) {
  return std::make_shared<OpenAiHandler>(frontend, queue, std::move(options));
}

}  // namespace phalanx::openai
