// What becomes of a running service when more is asked of it than it can do. Poisson arrivals at
// each of several rates, whatever the service answers; then four times the rate at which most
// requests were answered in time, in turns with that rate. Goodput counts answers whose first token
// came within two seconds and whose tokens took at most four times what they take when nobody else
// asks.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "bench/load_figures.h"
#include "bench/process_cost.h"
#include "bench/round_trip_probe.h"
#include "kernels/base/status.h"

namespace phalanx::bench {
namespace {

struct OverloadOptions {
  int port = 8000;
  LoadShape shape;
  int unloaded_tokens = 0;  // of an answer when nobody else asks; 0: as of all others
  std::vector<double> rates;
  double seconds = 20;
  double ramp_s = 5;  // of each rate, not counted
  double overload_s = 60;
  double overload = 4;  // times the rate of the peak
  int rounds = 2;       // of the peak and the overload
  std::vector<std::string> pids;
  bool json = false;
};

LoadClock::duration Seconds(double seconds) {
  return std::chrono::duration_cast<LoadClock::duration>(std::chrono::duration<double>(seconds));
}

class Overload {
 public:
  explicit Overload(const OverloadOptions& options) : options_(options), client_(options.port) {}

  // Time of a token after the first, when nobody else asks. Where tokens take less than it takes a
  // process to get a core, only long answers show it.
  StatusOr<double> MeasureUnloaded() {
    LoadShape shape = options_.shape;
    if (options_.unloaded_tokens > 0) shape.output_tokens = options_.unloaded_tokens;
    constexpr size_t kMost = 100;
    constexpr size_t kLeast = 8;
    const auto enough = LoadClock::now() + std::chrono::seconds(5);
    std::vector<double> token_s;
    while (token_s.size() < kLeast || (token_s.size() < kMost && LoadClock::now() < enough)) {
      Ask(shape);
      Drain();
      if (!answers_.back().is_complete) {
        return UnavailableError("a request was answered with status {}",
                                answers_.back().http_status);
      }
      token_s.push_back(TokenSeconds(answers_.back(), shape.output_tokens));
    }
    return Quantile(token_s, 0.5);
  }

  LoadFigures Run(double rate, double seconds, const GoodAnswer& good) {
    answers_.clear();
    peak_mib_ = 0;
    probe_.Take();
    std::exponential_distribution<double> gap_s(rate);
    const auto begin = LoadClock::now();
    const auto end = begin + Seconds(options_.ramp_s + seconds);
    auto look = begin;
    for (auto arrival = begin; arrival < end; arrival += Seconds(gap_s(engine_))) {
      while (LoadClock::now() < arrival) Collect(arrival);
      Ask(options_.shape);
      if (arrival < look) continue;
      peak_mib_ = std::max(peak_mib_, MemoryMib());
      look = arrival + std::chrono::seconds(1);
    }
    round_trip_ = probe_.Take();
    Drain();
    return Summarize(answers_, {begin + Seconds(options_.ramp_s), end}, good,
                     options_.shape.output_tokens);
  }

  double peak_mib() const { return peak_mib_; }
  const Latency& round_trip() const { return round_trip_; }
  double MemoryMib() const {
    double mib = 0;
    for (const std::string& pid : options_.pids) mib += ResidentMib(pid);
    return mib;
  }

 private:
  void Ask(const LoadShape& shape) { client_.Send(0, CompletionRequest(shape, "", ++seed_)); }
  void Collect(LoadClock::time_point until) {
    for (const LoadAnswer& answer : client_.Wait(until)) answers_.push_back(answer);
  }
  void Drain() {
    while (client_.num_open() > 0) Collect(LoadClock::now() + std::chrono::seconds(1));
  }

  const OverloadOptions& options_;
  RoundTripProbe probe_;
  LoadClient client_;
  std::vector<LoadAnswer> answers_;
  std::mt19937_64 engine_{1};
  uint64_t seed_ = std::random_device()();  // a service that runs on remembers prompts
  double peak_mib_ = 0;
  Latency round_trip_;
};

class Report {
 public:
  explicit Report(const OverloadOptions& options) : options_(options) {
    if (options.json) return;
    fmt::print("{:>41} | {:^17} | {:^15} | {:^15} | {:^15} | {:^7} |\n", "requests a second",
               "first token, ms", "token, ms", "refusal, ms", "bare, ms", "retry,s");
    fmt::print(
        "{:>8} {:>8} {:>8} {:>7} {:>6} | {:>8} {:>8} | {:>7} {:>7} | {:>7} {:>7} | {:>7} {:>7} | "
        "{:>3} {:>3} | {:>6}\n",
        "asked", "goodput", "answered", "refused", "failed", "median", "p99", "median", "p99",
        "median", "p99", "median", "p99", "med", "max", "MiB");
  }

  void Add(double rate, const LoadFigures& figures, const Overload& overload) {
    const Latency& bare = overload.round_trip();
    if (options_.json) {
      nlohmann::ordered_json out = {{"rate", rate},
                                    {"peak_mib", overload.peak_mib()},
                                    {"bare_round_trip_median_us", bare.median_us},
                                    {"bare_round_trip_p99_us", bare.p99_us}};
      out.update(ToJson(figures));
      fmt::print("{}\n", out.dump());
    } else {
      fmt::print(
          "{:>8.1f} {:>8.2f} {:>8.2f} {:>7.1f} {:>6} | {:>8.1f} {:>8.1f} | {:>7.2f} {:>7.2f} | "
          "{:>7.2f} {:>7.2f} | {:>7.2f} {:>7.2f} | {:>3.0f} {:>3.0f} | {:>6.0f}\n",
          rate, figures.goodput, figures.throughput, figures.refused, figures.num_failed,
          1e3 * figures.first_token_median_s, 1e3 * figures.first_token_p99_s,
          1e3 * figures.token_median_s, 1e3 * figures.token_p99_s, 1e3 * figures.refusal_median_s,
          1e3 * figures.refusal_p99_s, 1e-3 * bare.median_us, 1e-3 * bare.p99_us,
          figures.retry_after_median_s, figures.retry_after_max_s, overload.peak_mib());
    }
    std::fflush(stdout);
  }

 private:
  const OverloadOptions& options_;
};

int Main(int argc, char** argv) {
  OverloadOptions options;
  CLI::App app("Goodput of a running service at several rates, and at a multiple of the best.");
  app.add_option("--http-port", options.port)->check(CLI::Range(1, 65535));
  app.add_option("--prompt-tokens", options.shape.prompt_tokens)->check(CLI::Range(1, 100'000));
  app.add_option("--output-tokens", options.shape.output_tokens)->check(CLI::Range(2, 100'000));
  app.add_option("--unloaded-tokens", options.unloaded_tokens,
                 "of the answers that say how long a token takes when nobody else asks")
      ->check(CLI::Range(2, 100'000));
  app.add_option("--vocab-size", options.shape.vocab_size, "ids of the model")
      ->check(CLI::Range(1, 1 << 24))
      ->required();
  app.add_option("--rates", options.rates, "requests a second")
      ->check(CLI::PositiveNumber)
      ->required();
  app.add_option("--seconds", options.seconds, "of each rate")->check(CLI::PositiveNumber);
  app.add_option("--ramp", options.ramp_s, "seconds of each rate that do not count")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--overload-seconds", options.overload_s)->check(CLI::PositiveNumber);
  app.add_option("--overload", options.overload, "times the rate of the most goodput")
      ->check(CLI::PositiveNumber);
  app.add_option("--rounds", options.rounds, "of the peak and the overload")
      ->check(CLI::PositiveNumber);
  app.add_option("--pid", options.pids, "processes of the service, for their memory");
  app.add_flag("--json", options.json);
  CLI11_PARSE(app, argc, argv);

  Overload overload(options);
  const StatusOr<double> unloaded = overload.MeasureUnloaded();
  if (!unloaded.ok()) {
    fmt::print(stderr, "{}\n", unloaded.status().message());
    return 1;
  }
  const double unloaded_s = *unloaded;
  const double start_mib = overload.MemoryMib();
  constexpr double kMostSlower = 4;
  const GoodAnswer good{.token_s = kMostSlower * unloaded_s};
  if (!options.json) {
    fmt::print("unloaded: {:.2f} ms a token; {:.1f} MiB\n", 1e3 * unloaded_s, start_mib);
  }
  Report report(options);
  double best_rate = 0;
  double best_goodput = 0;
  for (const double rate : options.rates) {
    const LoadFigures figures = overload.Run(rate, options.seconds, good);
    report.Add(rate, figures, overload);
    if (figures.goodput <= best_goodput) continue;
    best_goodput = figures.goodput;
    best_rate = rate;
  }
  if (best_rate == 0) {
    fmt::print(stderr, "no rate had an answer in time\n");
    return 1;
  }
  std::vector<double> kept;
  for (int round = 0; round < options.rounds; ++round) {
    const LoadFigures peak = overload.Run(best_rate, options.seconds, good);
    report.Add(best_rate, peak, overload);
    const double rate = options.overload * best_rate;
    const LoadFigures figures = overload.Run(rate, options.overload_s, good);
    report.Add(rate, figures, overload);
    kept.push_back(figures.goodput / peak.goodput);
  }
  if (options.json) {
    const nlohmann::ordered_json out = {{"unloaded_token_s", unloaded_s},
                                        {"start_mib", start_mib},
                                        {"end_mib", overload.MemoryMib()},
                                        {"kept", kept}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print(
        "goodput at {:g} times the rate of its peak, as a share of that: {:.2f}; {:.0f} MiB "
        "after it\n",
        options.overload, fmt::join(kept, ", "), overload.MemoryMib());
  }
  return 0;
}

}  // namespace
}  // namespace phalanx::bench

int main(int argc, char** argv) { return phalanx::bench::Main(argc, argv); }
