// A whole coordinator in this process, on real sockets, with a fake worker group behind it.
#pragma once

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"
#include "coordinator/grpc/engine_listener.h"
#include "coordinator/grpc/public_server.h"
#include "phalanx/v1/inference.grpc.pb.h"
#include "tests/testing/fake_engine.h"

namespace phalanx::testing {

// A folder of mode 0700 that goes with its owner.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

std::filesystem::path DemoModel();
// Writes into `folder` the demo model's tokenizer, with <think> and </think> for its tags of tool
// calls, and its configs.
void WriteThinkingModel(const std::filesystem::path& folder);

// What arrives at the fake engine, in order; a pop that waits longer than 10 s fails the test.
template <typename T>
class Arrivals {
 public:
  void Push(T value) {
    std::lock_guard lock(mu_);
    values_.push_back(std::move(value));
    changed_.notify_all();
  }
  T Pop() {
    std::unique_lock lock(mu_);
    constexpr std::chrono::seconds kPatience(10);
    PHALANX_CHECK(changed_.wait_for(lock, kPatience, [this] { return !values_.empty(); }));
    T value = std::move(values_.front());
    values_.pop_front();
    return value;
  }
  bool empty() {
    std::lock_guard lock(mu_);
    return values_.empty();
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  std::deque<T> values_;
};

struct StreamResult {
  std::vector<v1::StreamResponse> messages;
  grpc::Status status;

  std::string Text(int32_t choice = 0) const;
  std::vector<int32_t> TokenIds(int32_t choice = 0) const;
};

class TestService {
 public:
  explicit TestService(
      Limits limits = {}, ServedModelOptions model = {.model_dir = DemoModel()},
      std::shared_ptr<RequestObserver> observer = std::make_shared<RequestObserver>(),
      std::shared_ptr<const ApiKeys> keys = std::make_shared<ApiKeys>());
  ~TestService();

  // Attaches a group and waits for its welcome.
  FakeEngine& AttachEngine();
  FakeEngine& AttachEngine(const internal::Register& registration);
  void DropEngine() { engine_.reset(); }
  FakeEngine& engine() { return *engine_; }
  Arrivals<internal::Submit>& submits() { return submits_; }
  Arrivals<uint64_t>& cancels() { return cancels_; }
  Arrivals<int>& drains() { return drains_; }

  const ServedModel& model() const { return *model_; }
  Frontend& frontend() { return *frontend_; }
  v1::Inference::Stub& stub() { return *stub_; }
  std::shared_ptr<grpc::Channel> channel() const { return channel_; }
  const std::string& address() const { return server_->address(); }
  std::filesystem::path engine_socket() const { return dir_.path() / "engine.sock"; }

  std::vector<int32_t> Encode(std::string_view text) const;
  // The rest of a stream and its status.
  static StreamResult ReadAll(grpc::ClientReader<v1::StreamResponse>& reader);
  // Waits until the front says so, at most 10 s.
  bool WaitForState(ServingState state) const;

 private:
  TempDir dir_;
  std::unique_ptr<const ServedModel> model_;
  std::unique_ptr<PublicServer> server_;
  std::unique_ptr<Frontend> frontend_;
  std::unique_ptr<TaskQueue> queue_;
  std::unique_ptr<EngineListener> listener_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Inference::Stub> stub_;
  Arrivals<internal::Submit> submits_;
  Arrivals<uint64_t> cancels_;
  Arrivals<int> drains_;
  std::unique_ptr<FakeEngine> engine_;
};

// A request for `text` with at most `max_tokens` tokens and seed 7.
v1::GenerateRequest TextRequest(const std::string& text, int32_t max_tokens = 64);

}  // namespace phalanx::testing
