// The HTTP API over a whole request path with a fake worker group behind it, without sockets for
// HTTP: an exchange that a test holds by hand.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/http/exchange.h"
#include "coordinator/openai/openai_handler.h"
#include "phalanx/internal/engine.pb.h"

namespace phalanx::testing {

// What a handler did with one request. Thread-safe.
class FakeExchange final : public http::Exchange {
 public:
  explicit FakeExchange(http::Request request);
  ~FakeExchange() override;

  const http::Request& request() const override { return request_; }
  void Send(http::Response response) override;
  void Stream(http::Response head, std::shared_ptr<http::BodySource> source) override;
  void Wake() override;
  void Abort() override;
  void Watch(std::weak_ptr<Watcher> watcher) override;

  // All wait for at most 10 s, then fail the test.
  const http::Response& WaitHead();  // of either kind of answer
  std::string WaitPiece();           // of a stream: what a pull gives, not empty
  std::string WaitBody();            // the rest of it
  void FinishWriting();              // the kernel took the last piece; there is no next one yet
  bool is_stream() const;
  bool is_answered() const;
  std::string HeaderOf(std::string_view name);  // of the response; empty: none
  // The client closes its connection.
  void GoAway();

 private:
  struct Impl;
  const http::Request request_;
  std::unique_ptr<Impl> impl_;
};

class Api {
 public:
  explicit Api(openai::OpenAiOptions options = {});
  // Of WriteThinkingModel, under --reasoning-parser.
  static std::unique_ptr<Api> OfThinkingModel();
  ~Api();

  std::shared_ptr<FakeExchange> Request(std::string method, std::string path, std::string body = "",
                                        std::vector<http::Header> headers = {
                                            {"content-type", "application/json"}});
  std::shared_ptr<FakeExchange> Post(std::string path, std::string body) {
    return Request("POST", std::move(path), std::move(body));
  }

  void AttachEngine();
  void DropEngine();
  internal::Submit PopSubmit();
  bool has_submit();
  uint64_t PopCancel();
  void Send(internal::RequestOutput output);
  // Tokens from `first_index` on.
  void Send(uint64_t request, int32_t first_index, const std::vector<int32_t>& tokens,
            internal::EngineFinish finish = internal::ENGINE_FINISH_NONE);
  std::vector<int32_t> Encode(std::string_view text) const;
  // Answers a submit with `text`, a token a step, ended by `finish`.
  void Answer(const internal::Submit& submit, std::string_view text,
              internal::EngineFinish finish = internal::ENGINE_FINISH_LENGTH);
  Frontend& frontend();

 private:
  struct Impl;
  explicit Api(std::unique_ptr<Impl> impl, openai::OpenAiOptions options);
  std::unique_ptr<Impl> impl_;
};

}  // namespace phalanx::testing
