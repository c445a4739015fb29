// What it costs the coordinator to serve in public: processor time of a streamed token with and
// without metrics and TLS, in turns, and the time of a scrape of /metrics beside as many streams.
// A fake worker group that answers at once stands behind it.
//
// The coordinator is this process alone; worker group and clients are a child, so that getrusage
// separates them.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "app/log.h"
#include "bench/bare_sockets.h"
#include "bench/load_figures.h"
#include "bench/process_channel.h"
#include "bench/process_cost.h"
#include "bench/steady_group.h"
#include "bench/tls_client.h"
#include "coordinator/core/frontend.h"
#include "coordinator/core/task_queue.h"
#include "coordinator/grpc/engine_listener.h"
#include "coordinator/http/server.h"
#include "coordinator/http/tls.h"
#include "coordinator/metrics/metrics_page.h"
#include "coordinator/openai/openai_handler.h"

namespace phalanx::bench {
namespace {

struct PublicOptions {
  std::string model = "launch/demo/model";
  TlsFiles tls;
  int streams = 256;
  int tokens = 200;
  int step_us = 20'000;
  int rounds = 5;
  int scrapes = 100;
  bool json = false;
};

enum class Kind { kPlain, kMetrics, kMetricsAndTls };
constexpr Kind kKinds[] = {Kind::kPlain, Kind::kMetrics, Kind::kMetricsAndTls};

struct Where {
  int port = 0;
  int tls_port = 0;
  int32_t vocab_size = 0;
  char socket[108] = {};
};

// The request path's listener, which does not always pass on what it hears.
class SwitchedObserver final : public RequestObserver {
 public:
  explicit SwitchedObserver(std::shared_ptr<RequestObserver> observer)
      : observer_(std::move(observer)) {}

  void Listen(Kind kind) { listens_ = kind != Kind::kPlain; }

  void OnFirstToken(const FirstTokenFacts& facts) override {
    if (listens_) observer_->OnFirstToken(facts);
  }
  void OnTokens(int64_t num_tokens, double since_last_s) override {
    if (listens_) observer_->OnTokens(num_tokens, since_last_s);
  }
  void OnEnd(const EndFacts& facts) override {
    if (listens_) observer_->OnEnd(facts);
  }

 private:
  const std::shared_ptr<RequestObserver> observer_;
  std::atomic<bool> listens_ = true;
};

std::string Request(int max_tokens) {
  const nlohmann::json body = {{"messages", {{{"role", "user"}, {"content", "What is 17 + 25?"}}}},
                               {"stream", true},
                               {"max_tokens", max_tokens}};
  return PostRequest("/v1/chat/completions", body.dump());
}

// ------------------------------------------------------------------------------------- the child

std::vector<int> OpenStreams(const Where& where, const PublicOptions& options) {
  std::vector<int> streams;
  for (int i = 0; i < options.streams; ++i) {
    streams.push_back(Connect(where.port));
    Send(streams.back(), Request(options.tokens));
  }
  return streams;
}

// Says 'r' when all streams wait for their first token, and 's' when all have ended. `drain` reads
// them to their ends.
template <typename DrainStreams>
void RunStreams(const PublicOptions& options, SteadyGroup& group, ProcessChannel& channel,
                DrainStreams&& drain) {
  group.WaitForRequests(static_cast<size_t>(options.streams));
  channel.Say('r');
  channel.Hear<char>();
  std::thread draining(drain);
  group.Run(options.tokens, options.step_us);
  draining.join();
  channel.Say('s');
}

void StreamPlain(const Where& where, const PublicOptions& options, SteadyGroup& group,
                 ProcessChannel& channel) {
  std::vector<int> streams = OpenStreams(where, options);
  RunStreams(options, group, channel, [&] { Drain(streams); });
  CloseAll(streams);
}

void StreamOverTls(const Where& where, const PublicOptions& options, SteadyGroup& group,
                   ProcessChannel& channel) {
  TlsClients clients(where.tls_port, options.streams);
  clients.SendToAll(Request(options.tokens));
  RunStreams(options, group, channel, [&] { clients.Drain(); });
}

// Times of whole answers, while streams run.
void Scrape(const Where& where, const PublicOptions& options, SteadyGroup& group,
            ProcessChannel& channel) {
  std::vector<int> streams = OpenStreams(where, options);
  group.WaitForRequests(static_cast<size_t>(options.streams));
  std::atomic<bool> ended = false;
  std::thread drain([&] {
    Drain(streams);
    ended = true;
  });
  std::thread steps([&] { group.Run(options.tokens, options.step_us); });
  const int scraper = Connect(where.port);
  std::vector<double> times_us;
  const auto pause =
      std::chrono::microseconds(int64_t{options.tokens} * options.step_us / (options.scrapes + 1));
  while (!ended) {
    std::this_thread::sleep_for(pause);
    const auto begin = std::chrono::steady_clock::now();
    Send(scraper, GetRequest("/metrics"));
    ReadShortAnswer(scraper);
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    if (!ended) times_us.push_back(time.count());
  }
  steps.join();
  drain.join();
  ::close(scraper);
  CloseAll(streams);
  channel.Say(LatencyOf(std::move(times_us)));
}

void RunChild(const PublicOptions& options, ProcessChannel channel) {
  const auto where = channel.Hear<Where>();
  constexpr int32_t kMaxPromptTokens = 64;
  SteadyGroup group({.socket = where.socket,
                     .vocab_size = where.vocab_size,
                     .max_model_len = options.tokens + kMaxPromptTokens,
                     .max_num_seqs = options.streams});
  for (int i = 0; i < options.rounds; ++i) {
    for (const Kind kind : kKinds) {
      if (kind == Kind::kMetricsAndTls) {
        StreamOverTls(where, options, group, channel);
      } else {
        StreamPlain(where, options, group, channel);
      }
    }
  }
  Scrape(where, options, group, channel);
  AskBareSockets({}, channel);
}

// ------------------------------------------------------------------------------------ the parent

struct Results {
  std::vector<double> cpu_us[std::size(kKinds)];  // a token; one of each round
  Latency scrape;
  size_t page_bytes = 0;
  BareCosts bare;
};

Results Measure(const PublicOptions& options, const Where& where, SwitchedObserver& observer,
                ProcessChannel& channel) {
  Results results;
  channel.Say(where);
  for (int i = 0; i < options.rounds; ++i) {
    for (const Kind kind : kKinds) {
      observer.Listen(kind);
      channel.Hear<char>();
      const double before = CpuSeconds();
      channel.Say('g');
      channel.Hear<char>();
      results.cpu_us[static_cast<size_t>(kind)].push_back(1e6 * (CpuSeconds() - before) /
                                                          options.tokens / options.streams);
    }
  }
  results.scrape = channel.Hear<Latency>();
  results.bare = ServeBareSockets({}, channel);
  return results;
}

void Print(const PublicOptions& options, const Results& results) {
  const auto median = [&](Kind kind) {
    return Quantile(results.cpu_us[static_cast<size_t>(kind)], 0.5);
  };
  const BareCosts& bare = results.bare;
  if (options.json) {
    const nlohmann::ordered_json out = {{"streams", options.streams},
                                        {"cpu_us_per_token_plain", results.cpu_us[0]},
                                        {"cpu_us_per_token_metrics", results.cpu_us[1]},
                                        {"cpu_us_per_token_metrics_tls", results.cpu_us[2]},
                                        {"bare_write_us", bare.write_us},
                                        {"scrape_median_us", results.scrape.median_us},
                                        {"scrape_p99_us", results.scrape.p99_us},
                                        {"page_bytes", results.page_bytes},
                                        {"bare_round_trip_median_us", bare.round_trip.median_us},
                                        {"bare_round_trip_p99_us", bare.round_trip.p99_us}};
    fmt::print("{}\n", out.dump());
    return;
  }
  fmt::print("{} streams: us of CPU a token, median of {} rounds; a bare write {:.2f} us\n",
             options.streams, options.rounds, bare.write_us);
  const double plain = median(Kind::kPlain);
  const double metrics = median(Kind::kMetrics);
  const double tls = median(Kind::kMetricsAndTls);
  fmt::print("  plain      {:>6.2f}   ({:.2f})\n", plain, fmt::join(results.cpu_us[0], ", "));
  fmt::print("  + metrics  {:>+6.2f}   ({:.2f})\n", metrics - plain,
             fmt::join(results.cpu_us[1], ", "));
  fmt::print("  + TLS      {:>+6.2f}   ({:.2f})\n", tls - metrics,
             fmt::join(results.cpu_us[2], ", "));
  fmt::print(
      "scrape of {} bytes beside them: median {:.2f} ms, p99 {:.2f} ms; a bare round trip {:.3f} "
      "and {:.3f} ms\n",
      results.page_bytes, 1e-3 * results.scrape.median_us, 1e-3 * results.scrape.p99_us,
      1e-3 * bare.round_trip.median_us, 1e-3 * bare.round_trip.p99_us);
}

StatusOr<std::unique_ptr<http::Server>> StartServer(const openai::OpenAiOptions& openai_options,
                                                    std::shared_ptr<const http::TlsContext> tls,
                                                    Frontend& frontend, TaskQueue& queue) {
  http::ServerOptions options;
  options.port = 0;
  options.tls = std::move(tls);
  return http::Server::Start(options, openai::MakeOpenAiHandler(frontend, queue, openai_options));
}

int RunCoordinator(const PublicOptions& options, ProcessChannel channel) {
  ConfigureLog("bench_public", "critical", LogFormat::kText);
  const auto model = ServedModel::Load({.model_dir = options.model});
  const auto material = ReadTlsFiles(options.tls);
  for (const Status& status : {model.status(), material.status()}) {
    if (status.ok()) continue;
    fmt::print(stderr, "{}\n", status.message());
    return 2;
  }
  const auto tls = http::TlsContext::Create(*material);
  PHALANX_CHECK(tls.ok());
  std::string dir = (std::filesystem::temp_directory_path() / "phalanx-bench-XXXXXX").string();
  PHALANX_CHECK(mkdtemp(dir.data()) != nullptr);
  const std::string socket = dir + "/engine.sock";
  {
    const metrics::MetricsPage page((*model)->id(), metrics::MetricsNames::kOwnAndVllm);
    const auto observer = std::make_shared<SwitchedObserver>(page.observer());
    FrontendOptions frontend_options;
    frontend_options.observer = observer;
    Frontend frontend(**model, std::move(frontend_options));
    TaskQueue queue(64);
    const openai::OpenAiOptions openai_options{
        .metrics = [&] { return page.Render(frontend.snapshot()); }};
    const auto plain = StartServer(openai_options, nullptr, frontend, queue);
    const auto secure = StartServer(openai_options, *tls, frontend, queue);
    PHALANX_CHECK(plain.ok() && secure.ok());
    const auto listener = EngineListener::Start(socket, frontend.dispatcher());
    PHALANX_CHECK(listener.ok());
    Where where{.port = (*plain)->port(),
                .tls_port = (*secure)->port(),
                .vocab_size = (*model)->vocab_size()};
    socket.copy(where.socket, sizeof(where.socket) - 1);
    Results results = Measure(options, where, *observer, channel);
    results.page_bytes = openai_options.metrics().size();
    Print(options, results);
  }
  std::filesystem::remove_all(dir);
  return 0;
}

int Main(int argc, char** argv) {
  PublicOptions options;
  CLI::App app("What metrics and TLS cost the coordinator.");
  app.add_option("--model", options.model, "model folder")->capture_default_str();
  app.add_option("--ssl-certfile", options.tls.certificate)->required();
  app.add_option("--ssl-keyfile", options.tls.key)->required();
  app.add_option("--streams", options.streams)->check(CLI::Range(1, 500));
  app.add_option("--tokens", options.tokens, "of each stream")->check(CLI::Range(2, 100'000));
  app.add_option("--step-us", options.step_us)->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds)->check(CLI::PositiveNumber);
  app.add_option("--scrapes", options.scrapes)->check(CLI::PositiveNumber);
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);
  return bench::RunAsTwoProcesses(
      [&](ProcessChannel channel) { RunChild(options, channel); },
      [&](ProcessChannel channel) { return RunCoordinator(options, channel); });
}

}  // namespace
}  // namespace phalanx::bench

int main(int argc, char** argv) { return phalanx::bench::Main(argc, argv); }
