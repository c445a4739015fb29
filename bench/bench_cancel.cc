// Clients that ask a running service and go away: cycles of connect, ask and leave. What the
// coordinator holds before and after stands side by side: memory, descriptors, free KV blocks.
#include <fmt/format.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "bench/http_client.h"
#include "bench/process_cost.h"
#include "kernels/base/check.h"
#include "phalanx/v1/inference.grpc.pb.h"

namespace phalanx::bench {
namespace {

using Clock = std::chrono::steady_clock;

struct CancelOptions {
  std::string server = "127.0.0.1:50051";
  int http_port = 8000;
  std::string pid;  // of the coordinator
  std::string protocol = "http";
  int cycles = 100'000;
  int clients = 8;
  int warm_up = 5'000;
  bool json = false;
};

struct Holdings {
  double memory_mib = 0;
  int64_t descriptors = 0;
  int64_t free_blocks = 0;
  int64_t in_flight = 0;
};

class Service {
 public:
  explicit Service(const CancelOptions& options)
      : options_(options),
        stub_(v1::Inference::NewStub(
            grpc::CreateChannel(options.server, grpc::InsecureChannelCredentials()))) {}

  v1::Inference::Stub& stub() { return *stub_; }

  Holdings Look() const {
    Holdings holdings;
    holdings.memory_mib = ResidentMib(options_.pid);
    holdings.descriptors =
        std::distance(std::filesystem::directory_iterator("/proc/" + options_.pid + "/fd"), {});
    grpc::ClientContext context;
    v1::ServerInfo info;
    PHALANX_CHECK(stub_->GetServerInfo(&context, {}, &info).ok());
    holdings.free_blocks = info.num_free_blocks();
    holdings.in_flight = info.num_running() + info.num_waiting();
    return holdings;
  }

  // Once nothing runs, or after 10 s.
  Holdings LookWhenIdle() const {
    const auto end = Clock::now() + std::chrono::seconds(10);
    constexpr std::chrono::milliseconds kStatsPeriod(1500);  // rank 0 reports once a second
    do {
      std::this_thread::sleep_for(kStatsPeriod);
    } while (Look().in_flight > 0 && Clock::now() < end);
    return Look();
  }

 private:
  const CancelOptions& options_;
  const std::unique_ptr<v1::Inference::Stub> stub_;
};

// Leaves at once, soon, or after the first byte, in turns.
enum class Patience { kNone, kSoon, kFirstByte };

Patience PatienceOf(int cycle) { return static_cast<Patience>(cycle % 3); }

constexpr std::chrono::milliseconds kSoon(1);

void HttpCycle(int port, int cycle) {
  const nlohmann::json body = {{"prompt", fmt::format("{} Once upon a time", cycle)},
                               {"max_tokens", 200},
                               {"stream", cycle % 2 == 0}};
  const int fd = Connect(port);
  Send(fd, PostRequest("/v1/completions", body.dump()));
  char byte = 0;
  switch (PatienceOf(cycle)) {
    case Patience::kNone:
      break;
    case Patience::kSoon:
      std::this_thread::sleep_for(kSoon);
      break;
    case Patience::kFirstByte:
      if (cycle % 2 == 0) ::recv(fd, &byte, 1, 0);
      break;
  }
  // Closing with something unread resets the connection, as a killed client does.
  ::close(fd);
}

void GrpcCycle(v1::Inference::Stub& stub, int cycle) {
  v1::GenerateRequest request;
  request.set_text(fmt::format("{} Once upon a time", cycle));
  request.mutable_sampling()->set_max_tokens(200);
  grpc::ClientContext context;
  const auto reader = stub.GenerateStream(&context, request);
  v1::StreamResponse message;
  switch (PatienceOf(cycle)) {
    case Patience::kNone:
      break;
    case Patience::kSoon:
      std::this_thread::sleep_for(kSoon);
      break;
    case Patience::kFirstByte:
      reader->Read(&message);
      break;
  }
  context.TryCancel();
  reader->Finish();
}

double RunCycles(Service& service, const CancelOptions& options, int cycles) {
  std::atomic<int> next = 0;
  const auto begin = Clock::now();
  std::vector<std::thread> clients;
  for (int i = 0; i < options.clients; ++i) {
    clients.emplace_back([&] {
      for (int cycle = next++; cycle < cycles; cycle = next++) {
        options.protocol == "http" ? HttpCycle(options.http_port, cycle)
                                   : GrpcCycle(service.stub(), cycle);
      }
    });
  }
  for (std::thread& client : clients) client.join();
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

int Run(const CancelOptions& options) {
  Service service(options);
  RunCycles(service, options, options.warm_up);  // what is allocated once
  const Holdings before = service.LookWhenIdle();
  const double seconds = RunCycles(service, options, options.cycles);
  const Holdings after = service.LookWhenIdle();
  const double rate = options.cycles / seconds;
  if (options.json) {
    const auto show = [](const Holdings& holdings) {
      return nlohmann::json{{"memory_mib", holdings.memory_mib},
                            {"descriptors", holdings.descriptors},
                            {"free_blocks", holdings.free_blocks},
                            {"in_flight", holdings.in_flight}};
    };
    const nlohmann::json out = {{"protocol", options.protocol}, {"cycles", options.cycles},
                                {"clients", options.clients},   {"cycles_per_s", rate},
                                {"before", show(before)},       {"after", show(after)}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print("{} cycles over {}, {} clients, {:.0f} a second\n", options.cycles, options.protocol,
               options.clients, rate);
    for (const auto& [name, holdings] : {std::pair("before", before), {"after", after}}) {
      fmt::print("{:<7} {:>7.1f} MiB, {} descriptors, {} free blocks, {} requests in flight\n",
                 name, holdings.memory_mib, holdings.descriptors, holdings.free_blocks,
                 holdings.in_flight);
    }
  }
  return after.in_flight == 0 && after.free_blocks == before.free_blocks ? 0 : 1;
}

int Main(int argc, char** argv) {
  CancelOptions options;
  CLI::App app("Clients that ask a running service and go away.");
  app.add_option("--server", options.server, "the coordinator's gRPC address")
      ->capture_default_str();
  app.add_option("--http-port", options.http_port, "its HTTP port on 127.0.0.1")
      ->capture_default_str();
  app.add_option("--pid", options.pid, "its process")->required();
  app.add_option("--protocol", options.protocol)
      ->check(CLI::IsMember({"http", "grpc"}))
      ->capture_default_str();
  app.add_option("--cycles", options.cycles)->check(CLI::Range(1, 1'000'000));
  app.add_option("--clients", options.clients)->check(CLI::Range(1, 64));
  app.add_option("--warm-up", options.warm_up, "cycles before the first look")
      ->check(CLI::Range(0, 100'000));
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  return Run(options);
}

}  // namespace
}  // namespace phalanx::bench

int main(int argc, char** argv) { return phalanx::bench::Main(argc, argv); }
