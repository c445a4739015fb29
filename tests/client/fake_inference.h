// A server in this process that answers without a model, so that the client is tested alone.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "phalanx/v1/inference.grpc.pb.h"

namespace phalanx {

// Echoes: the answer to a text is its words, a token each (id = its length), until max_tokens. For
// each choice alike. Prompts with a meaning of their own:
//   "bad"     INVALID_ARGUMENT, with google.rpc.BadRequest naming "temperature"
//   "too long" INVALID_ARGUMENT naming "sampling.max_tokens"
//   "busy"    UNAVAILABLE
//   "silence" no token, until the client cancels
//   "calls"   the text "I look." and two calls, the first one in pieces
//   "forever" tokens without end, until the client cancels
// The context has 9 tokens; the log-probability of a prompt's token is -id / 8, but of the first.
class FakeInference final : public v1::Inference::Service {
 public:
  FakeInference();
  ~FakeInference() override;

  const std::string& address() const { return address_; }
  std::vector<v1::GenerateRequest> generate_requests() const;
  std::vector<v1::ChatRequest> chat_requests() const;
  size_t num_requests() const;
  int num_cancelled() const { return num_cancelled_; }

  grpc::Status GenerateStream(grpc::ServerContext* context, const v1::GenerateRequest* request,
                              grpc::ServerWriter<v1::StreamResponse>* writer) override;
  grpc::Status ChatStream(grpc::ServerContext* context, const v1::ChatRequest* request,
                          grpc::ServerWriter<v1::StreamResponse>* writer) override;
  grpc::Status Tokenize(grpc::ServerContext* context, const v1::TokenizeRequest* request,
                        v1::TokenizeResponse* response) override;
  grpc::Status GetModelInfo(grpc::ServerContext* context, const v1::GetModelInfoRequest* request,
                            v1::ModelInfo* info) override;
  // A busy server of two ranks: 100 prompt tokens, 50 tokens and 2 first tokens more each time.
  grpc::Status GetServerInfo(grpc::ServerContext* context, const v1::GetServerInfoRequest* request,
                             v1::ServerInfo* info) override;

 private:
  grpc::Status Answer(grpc::ServerContext& context, const std::string& text,
                      const v1::SamplingParams& sampling,
                      grpc::ServerWriter<v1::StreamResponse>& writer);

  mutable std::mutex mutex_;
  std::vector<v1::GenerateRequest> generate_requests_;  // guarded by mutex_
  std::vector<v1::ChatRequest> chat_requests_;          // guarded by mutex_
  std::atomic<int> num_cancelled_ = 0;
  std::atomic<int> num_looks_ = 0;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

}  // namespace phalanx
