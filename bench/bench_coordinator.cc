// CPU time of the coordinator for each streamed token: a fake worker group gives every stream one
// token a step, clients read them over real sockets.
//
// The coordinator is this process alone; worker group and clients are a child, so that getrusage
// separates them.
#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <vector>

#include "app/log.h"
#include "bench/process_cost.h"
#include "bench/steady_group.h"
#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"
#include "coordinator/grpc/engine_listener.h"
#include "coordinator/grpc/public_server.h"
#include "phalanx/v1/inference.grpc.pb.h"

namespace phalanx {
namespace {

struct BenchOptions {
  std::string model = "launch/demo/model";
  int streams = 64;
  int connections = 1;
  int tokens = 500;
  int step_us = 20'000;
  int logprobs = -1;
  bool json = false;
};

struct ChildResult {
  int64_t tokens = 0;
  int64_t messages = 0;
};

ChildResult RunChild(const std::string& address, const std::string& socket, int32_t vocab_size,
                     const BenchOptions& options) {
  constexpr int32_t kMaxPromptTokens = 64;
  bench::SteadyGroup group({.socket = socket,
                            .vocab_size = vocab_size,
                            .max_model_len = options.tokens + kMaxPromptTokens,
                            .logprobs = options.logprobs});
  std::atomic<int64_t> tokens = 0;
  std::atomic<int64_t> messages = 0;
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < options.connections; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    channels.push_back(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }
  std::vector<std::thread> clients;
  for (int i = 0; i < options.streams; ++i) {
    clients.emplace_back([&, i] {
      const auto stub =
          v1::Inference::NewStub(channels[static_cast<size_t>(i % options.connections)]);
      v1::GenerateRequest request;
      request.set_text("Once upon a time");
      request.mutable_sampling()->set_max_tokens(options.tokens);
      if (options.logprobs >= 0) request.mutable_sampling()->set_logprobs(options.logprobs);
      grpc::ClientContext context;
      auto reader = stub->GenerateStream(&context, request);
      v1::StreamResponse message;
      while (reader->Read(&message)) {
        tokens += message.token_ids_size();
        ++messages;
      }
      const grpc::Status status = reader->Finish();
      if (!status.ok()) fmt::print(stderr, "stream {}: {}\n", i, status.error_message());
    });
  }
  group.WaitForRequests(static_cast<size_t>(options.streams));
  group.Run(options.tokens, options.step_us);
  for (std::thread& client : clients) client.join();
  return {.tokens = tokens, .messages = messages};
}

// Where the coordinator is; the child reads it from a pipe.
struct Where {
  char address[128] = {};
  char socket[108] = {};
  int32_t vocab_size = 0;
};

int RunCoordinator(const BenchOptions& options, int to_child, int from_child, pid_t child) {
  ConfigureLog("bench_coordinator", "warning", LogFormat::kText);
  const auto model = ServedModel::Load({.model_dir = options.model});
  if (!model.ok()) {
    fmt::print(stderr, "{}\n", model.status().message());
    return 2;
  }
  std::string dir = (std::filesystem::temp_directory_path() / "phalanx-bench-XXXXXX").string();
  PHALANX_CHECK(mkdtemp(dir.data()) != nullptr);
  const std::string socket = dir + "/engine.sock";
  Frontend frontend(**model, {});
  TaskQueue queue(64);
  auto server = PublicServer::Start({.port = 0}, frontend, queue);
  PHALANX_CHECK(server.ok());
  ChildResult result;
  double cpu_s = 0;
  {
    auto listener = EngineListener::Start(socket, frontend.dispatcher());
    PHALANX_CHECK(listener.ok());
    Where where;
    (*server)->address().copy(where.address, sizeof(where.address) - 1);
    socket.copy(where.socket, sizeof(where.socket) - 1);
    where.vocab_size = (*model)->vocab_size();
    const double before = bench::CpuSeconds();
    PHALANX_CHECK(write(to_child, &where, sizeof(where)) == sizeof(where));
    PHALANX_CHECK(read(from_child, &result, sizeof(result)) == sizeof(result));
    cpu_s = bench::CpuSeconds() - before;
    waitpid(child, nullptr, 0);
  }
  (*server)->Shutdown();
  std::filesystem::remove_all(dir);
  const double us_per_token = 1e6 * cpu_s / static_cast<double>(result.tokens);
  if (options.json) {
    const nlohmann::json out = {{"streams", options.streams}, {"connections", options.connections},
                                {"tokens", result.tokens},    {"messages", result.messages},
                                {"coordinator_cpu_s", cpu_s}, {"cpu_us_per_token", us_per_token}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print("{} streams, {} connections: {} tokens in {} messages, {:.1f} us CPU a token\n",
               options.streams, options.connections, result.tokens, result.messages, us_per_token);
  }
  return 0;
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("CPU time of the coordinator for each streamed token.");
  app.add_option("--model", options.model, "model folder")->capture_default_str();
  app.add_option("--streams", options.streams, "streams at once")->capture_default_str();
  app.add_option("--connections", options.connections, "client connections")->capture_default_str();
  app.add_option("--tokens", options.tokens, "tokens of each stream")->capture_default_str();
  app.add_option("--step-us", options.step_us, "time between two steps")->capture_default_str();
  app.add_option("--logprobs", options.logprobs, "alternatives a token; -1: no log-probabilities")
      ->capture_default_str();
  app.add_flag("--json", options.json, "print JSON");
  CLI11_PARSE(app, argc, argv);

  int to_child[2];
  int from_child[2];
  PHALANX_CHECK(pipe(to_child) == 0 && pipe(from_child) == 0);
  const pid_t child = fork();  // before gRPC has any thread
  if (child != 0) return RunCoordinator(options, to_child[1], from_child[0], child);
  close(to_child[1]);
  Where where;
  if (read(to_child[0], &where, sizeof(where)) != sizeof(where)) return 1;
  const ChildResult result = RunChild(where.address, where.socket, where.vocab_size, options);
  return write(from_child[1], &result, sizeof(result)) == sizeof(result) ? 0 : 1;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) { return phalanx::Main(argc, argv); }
