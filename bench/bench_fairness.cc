// One key with hundreds of streams beside nine that ask one question at a time, at a running
// service that has all of their keys: what the nine get with it and without it, in turns.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "bench/load_figures.h"

namespace phalanx::bench {
namespace {

struct FairnessOptions {
  int port = 8000;
  LoadShape polite{.prompt_tokens = 32, .output_tokens = 32};
  LoadShape greedy{.prompt_tokens = 32, .output_tokens = 32};
  std::string greedy_key;
  int greedy_streams = 200;
  std::vector<std::string> polite_keys;
  double seconds = 10;
  double ramp_s = 3;
  int rounds = 3;
};

enum class Company { kNone, kGreedy };

struct Round {
  LoadFigures polite;
  LoadFigures greedy;
  double least_polite = 0;  // answers a second of the polite key that got fewest
};

class Fairness {
 public:
  explicit Fairness(const FairnessOptions& options) : options_(options), client_(options.port) {}

  Round Run(Company company) {
    answers_.clear();
    is_over_ = false;
    retries_.clear();
    const auto begin = LoadClock::now();
    const auto seconds = [](double s) {
      return std::chrono::duration_cast<LoadClock::duration>(std::chrono::duration<double>(s));
    };
    const Window window{begin + seconds(options_.ramp_s),
                        begin + seconds(options_.ramp_s + options_.seconds)};
    for (int i = 0; i < num_polite(); ++i) Ask(i);
    if (company == Company::kGreedy) {
      for (int i = 0; i < options_.greedy_streams; ++i) Ask(num_polite());
    }
    while (LoadClock::now() < window.end) Collect(window.end);
    is_over_ = true;
    while (client_.num_open() > 0) Collect(LoadClock::now() + std::chrono::seconds(1));
    return Figures(window);
  }

 private:
  // Clients 0 and up are polite, the one after them is greedy.
  int num_polite() const { return static_cast<int>(options_.polite_keys.size()); }

  void Ask(int client) {
    const bool is_polite = client < num_polite();
    const std::string& key =
        is_polite ? options_.polite_keys[static_cast<size_t>(client)] : options_.greedy_key;
    client_.Send(client,
                 CompletionRequest(is_polite ? options_.polite : options_.greedy, key, ++seed_));
  }

  // Whoever is answered asks again; whoever is refused waits a little, as patience goes.
  void Collect(LoadClock::time_point until) {
    constexpr std::chrono::milliseconds kPatience(50);
    const auto now = LoadClock::now();
    const auto due = std::ranges::partition(
        retries_, [&](const Retry& retry) { return retry.when > now || is_over_; });
    std::vector<Retry> due_now(due.begin(), due.end());
    retries_.erase(due.begin(), due.end());
    for (const Retry& retry : due_now) Ask(retry.client);
    for (const LoadAnswer& answer : client_.Wait(std::min(until, now + kPatience))) {
      answers_.push_back(answer);
      if (is_over_) continue;
      if (answer.is_complete) {
        Ask(answer.client);
      } else {
        retries_.push_back({LoadClock::now() + kPatience, answer.client});
      }
    }
  }

  Round Figures(const Window& window) const {
    constexpr GoodAnswer kAny{.first_token_s = 1e9, .token_s = 1e9};
    std::vector<std::vector<LoadAnswer>> of_client(static_cast<size_t>(num_polite()) + 1);
    std::vector<LoadAnswer> polite;
    for (const LoadAnswer& answer : answers_) {
      of_client[static_cast<size_t>(answer.client)].push_back(answer);
      if (answer.client < num_polite()) polite.push_back(answer);
    }
    Round round;
    round.polite = Summarize(polite, window, kAny, options_.polite.output_tokens);
    round.greedy = Summarize(of_client.back(), window, kAny, options_.greedy.output_tokens);
    round.least_polite = round.polite.throughput;
    for (int i = 0; i < num_polite(); ++i) {
      const LoadFigures figures =
          Summarize(of_client[static_cast<size_t>(i)], window, kAny, options_.polite.output_tokens);
      round.least_polite = std::min(round.least_polite, figures.throughput);
    }
    return round;
  }

  struct Retry {
    LoadClock::time_point when;
    int client;
  };

  const FairnessOptions& options_;
  LoadClient client_;
  std::vector<LoadAnswer> answers_;
  std::vector<Retry> retries_;
  bool is_over_ = false;
  uint64_t seed_ = std::random_device()();  // a service that runs on remembers prompts
};

void Print(std::string_view name, const Round& round) {
  const LoadFigures& polite = round.polite;
  const LoadFigures& greedy = round.greedy;
  fmt::print(
      "{:<12} | {:>8.2f} {:>8.2f} {:>8.1f} | {:>8.1f} {:>8.1f} | {:>7.2f} {:>7.2f} | {:>8.2f} "
      "{:>8.1f} {:>8.1f}\n",
      name, polite.throughput, round.least_polite, polite.refused,
      1e3 * polite.first_token_median_s, 1e3 * polite.first_token_p99_s,
      1e3 * polite.token_median_s, 1e3 * polite.token_p99_s, greedy.throughput, greedy.refused,
      1e3 * greedy.first_token_median_s);
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  FairnessOptions options;
  int vocab_size = 0;
  CLI::App app("What polite keys get beside a greedy one.");
  app.add_option("--http-port", options.port)->check(CLI::Range(1, 65535));
  app.add_option("--vocab-size", vocab_size, "ids of the model")
      ->check(CLI::Range(1, 1 << 24))
      ->required();
  app.add_option("--greedy-key", options.greedy_key)->required();
  app.add_option("--greedy-streams", options.greedy_streams)->check(CLI::Range(1, 10'000));
  app.add_option("--greedy-tokens", options.greedy.output_tokens)->check(CLI::Range(2, 100'000));
  app.add_option("--polite-key", options.polite_keys, "once for each")->required();
  app.add_option("--polite-tokens", options.polite.output_tokens)->check(CLI::Range(2, 100'000));
  app.add_option("--seconds", options.seconds, "of each round")->check(CLI::PositiveNumber);
  app.add_option("--ramp", options.ramp_s, "seconds of each round that do not count")
      ->check(CLI::NonNegativeNumber);
  app.add_option("--rounds", options.rounds)->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  options.polite.vocab_size = vocab_size;
  options.greedy.vocab_size = vocab_size;

  Fairness fairness(options);
  fmt::print("{:<12} | {:^26} | {:^17} | {:^15} | {:^26}\n", "", "polite, requests a second",
             "first token, ms", "token, ms", "greedy, requests a second");
  fmt::print("{:<12} | {:>8} {:>8} {:>8} | {:>8} {:>8} | {:>7} {:>7} | {:>8} {:>8} {:>8}\n", "",
             "all", "least", "refused", "median", "p99", "median", "p99", "all", "refused",
             "first ms");
  for (int i = 0; i < options.rounds; ++i) {
    Print("without it", fairness.Run(Company::kNone));
    Print("with it", fairness.Run(Company::kGreedy));
  }
  return 0;
}

}  // namespace
}  // namespace phalanx::bench

int main(int argc, char** argv) { return phalanx::bench::Main(argc, argv); }
