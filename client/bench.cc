#include "client/bench.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>
#include <random>
#include <thread>

#include "client/answer_json.h"
#include "client/bench_compare.h"
#include "client/bench_report.h"
#include "client/bench_requests.h"
#include "client/input.h"
#include "client/number_flag.h"
#include "client/terminal.h"

namespace phalanx {
namespace {

using Clock = StreamedAnswer::Clock;

constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr double kMinRate = 1e-6, kMaxRate = 1e6;
constexpr double kMaxMilliseconds = 1e12;

struct BenchFlags {
  ConnectionFlags connection;
  BenchLoad load;
  double request_rate = 0;  // requests a second; 0: closed loop
  int32_t concurrency = 16;
  GoodputLimits goodput;
  std::vector<std::string> compare;  // two files, or none
  bool json = false;
};

class LoadGenerator {
 public:
  LoadGenerator(const BenchFlags& flags, v1::Inference::StubInterface& stub,
                std::vector<v1::GenerateRequest> requests)
      : flags_(flags), stub_(stub), requests_(std::move(requests)), answers_(requests_.size()) {}

  void Run() {
    if (flags_.request_rate > 0) {
      RunOpenLoop();
    } else {
      RunClosedLoop();
    }
  }

  const std::vector<StreamedAnswer>& answers() const { return answers_; }

 private:
  // Poisson arrivals, whatever the server does.
  void RunOpenLoop() {
    std::mt19937_64 engine(flags_.load.seed + 1);
    std::exponential_distribution<double> gap_seconds(flags_.request_rate);
    std::vector<std::thread> threads;
    auto arrival = Clock::now();
    for (size_t i = 0; i < requests_.size(); ++i) {
      std::this_thread::sleep_until(arrival);
      threads.emplace_back([this, i] { Ask(i); });
      arrival += std::chrono::duration_cast<Clock::duration>(
          std::chrono::duration<double>(gap_seconds(engine)));
    }
    for (std::thread& thread : threads) thread.join();
  }

  void RunClosedLoop() {
    std::atomic<size_t> next = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < flags_.concurrency; ++i) {
      threads.emplace_back([&] {
        for (size_t mine = next++; mine < requests_.size(); mine = next++) Ask(mine);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  void Ask(size_t index) {
    grpc::ClientContext context;
    Prepare(context, flags_.connection);
    const auto open = [&] { return stub_.GenerateStream(&context, requests_[index]); };
    answers_[index] = ReadStream(open, [](const v1::StreamResponse&) {});
  }

  const BenchFlags& flags_;
  v1::Inference::StubInterface& stub_;
  const std::vector<v1::GenerateRequest> requests_;
  std::vector<StreamedAnswer> answers_;
};

void PrintTable(const nlohmann::ordered_json& report) {
  for (const auto& [name, value] : report.items()) {
    if (value.is_number_float()) {
      Print(fmt::format("{:<24} {:>12.2f}\n", name, value.get<double>()));
    } else {
      Print(fmt::format("{:<24} {:>12}\n", name, value.dump()));
    }
  }
}

int RunBench(const BenchFlags& flags) {
  const auto stub = Connect(flags.connection);
  v1::ModelInfo model;
  {
    grpc::ClientContext context;
    Prepare(context, flags.connection);
    const Status status = FromGrpc(stub->GetModelInfo(&context, {}, &model));
    if (!status.ok()) return ReportError(status, flags.connection);
  }
  LoadGenerator load(flags, *stub, MakeBenchRequests(flags.load, model.vocab_size()));
  const auto begin = Clock::now();
  load.Run();
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();

  nlohmann::ordered_json report = {{"model", model.id()},
                                   {"num_prompts", flags.load.num_prompts},
                                   {"prefix_tokens", flags.load.prefix_tokens},
                                   {"prompt_tokens", flags.load.prompt_tokens},
                                   {"output_tokens", flags.load.output_tokens},
                                   {"range_ratio", flags.load.range_ratio}};
  if (flags.request_rate > 0) {
    report["request_rate"] = flags.request_rate;
  } else {
    report["max_concurrency"] = flags.concurrency;
  }
  report.update(MakeBenchReport(load.answers(), seconds, flags.goodput));
  if (flags.json) {
    Print(report.dump(2) + '\n');
  } else {
    PrintTable(report);
  }
  for (const StreamedAnswer& answer : load.answers()) {
    if (!answer.status.ok()) return ReportError(answer.status, flags.connection);
  }
  return kExitOk;
}

int RunCompare(const BenchFlags& flags) {
  std::vector<nlohmann::ordered_json> results;
  for (const std::string& path : flags.compare) {
    const StatusOr<std::string> text = ReadInput("--compare", path);
    if (!text.ok()) return ReportError(text.status(), flags.connection);
    auto result = ParseBenchResult(path, *text);
    if (!result.ok()) return ReportError(result.status(), flags.connection);
    results.push_back(*std::move(result));
  }
  Print(CompareBenchResults(results[0], results[1]));
  return kExitOk;
}

}  // namespace

void AddBench(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<BenchFlags>();
  CLI::App& sub = *app.add_subcommand("bench", "Load a running server and print its latencies");
  AddConnectionFlags(sub, flags->connection);
  AddNumber<int32_t>(sub, "--num-prompts", {1, kMaxInt}, flags->load.num_prompts,
                     "requests in all");
  CLI::Option* rate = AddNumber<double>(
      sub, "--request-rate", {kMinRate, kMaxRate},
      [flags](double requests_per_s) { flags->request_rate = requests_per_s; },
      "open loop: so many Poisson arrivals a second");
  AddNumber<int32_t>(sub, "--concurrency,--max-concurrency", {1, 4096}, flags->concurrency,
                     "closed loop: so many requests under way")
      ->excludes(rate);
  AddNumber<int32_t>(sub, "--prompt-tokens,--random-input-len", {1, kMaxInt},
                     flags->load.prompt_tokens, "tokens of a prompt");
  AddNumber<int32_t>(sub, "--output-tokens,--random-output-len", {1, kMaxInt},
                     flags->load.output_tokens,
                     "tokens of an answer; the end-of-sequence token is ignored");
  AddNumber<int32_t>(sub, "--random-prefix-len", {0, kMaxInt}, flags->load.prefix_tokens,
                     "tokens that all prompts begin with, besides their own");
  AddNumber<double>(sub, "--random-range-ratio", {0, 1}, flags->load.range_ratio,
                    "spread lengths evenly from 1 - RATIO to 1 + RATIO times those");
  AddNumber<double>(sub, "--temperature", {}, flags->load.temperature, "of all requests");
  AddNumber<uint64_t>(sub, "--seed", {}, flags->load.seed, "of prompts, arrivals and sampling");
  AddNumber<double>(sub, "--goodput-ttft-ms", {0, kMaxMilliseconds}, flags->goodput.ttft_ms,
                    "request_goodput counts requests whose first token came that soon");
  AddNumber<double>(sub, "--goodput-tpot-ms", {0, kMaxMilliseconds}, flags->goodput.tpot_ms,
                    "and whose tokens took at most that; 0: no limit");
  sub.add_flag("--json", flags->json, "print JSON");
  sub.add_option("--compare", flags->compare,
                 "ask nobody; print two results that --json wrote side by side")
      ->type_name("BEFORE AFTER")
      ->expected(2);
  sub.callback([flags, &command] {
    command = [flags] { return flags->compare.empty() ? RunBench(*flags) : RunCompare(*flags); };
  });
}

}  // namespace phalanx
