#include "client/quantize.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

#include "client/interrupt.h"
#include "client/terminal.h"
#include "hub/locate.h"
#include "model/quantize_checkpoint.h"

namespace phalanx {
namespace {

struct QuantizeFlags {
  std::string model;
  std::string output;
  std::string scheme;
  int threads = 0;
};

// A line that counts to 100 % where a person looks.
class Progress {
 public:
  void Show(int64_t done, int64_t total) {
    const int64_t percent = total == 0 ? 100 : done * 100 / total;
    if (!IsTerminal(stderr) || percent == percent_) return;
    percent_ = percent;
    fmt::print(stderr, "\r{:3} %{}", percent, percent == 100 ? "\n" : "");
    std::fflush(stderr);
  }

 private:
  int64_t percent_ = -1;
};

int RunQuantize(const QuantizeFlags& flags) {
  const auto folder = LocateModel(flags.model);
  if (!folder.ok()) return ReportError(folder.status());
  std::atomic<bool> is_stopped = false;
  const InterruptWatcher watcher([&is_stopped] { is_stopped = true; });
  Progress progress;
  QuantizeOptions options;
  options.should_stop = [&is_stopped] { return is_stopped.load(); };
  options.quantization =
      flags.scheme == Name(Quantization::kInt4) ? Quantization::kInt4 : Quantization::kInt8;
  options.num_threads =
      flags.threads > 0 ? flags.threads : static_cast<int>(std::thread::hardware_concurrency());
  options.on_progress = [&progress](int64_t done, int64_t total) { progress.Show(done, total); };
  const auto begin = std::chrono::steady_clock::now();
  const StatusOr<QuantizeSummary> summary = QuantizeCheckpoint(*folder, flags.output, options);
  if (is_stopped) return kExitInterrupted;
  if (!summary.ok()) return ReportError(summary.status());
  if (summary->num_with_partial_groups > 0) {
    PrintError(fmt::format(
        "phalanx: rows of {} matrices are no multiple of {}: this server reads them, others do not",
        summary->num_with_partial_groups, kInt4GroupSize));
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  constexpr double kMb = 1e-6;
  Print(fmt::format(
      "{}: {} matrices of {}, {} tensors as they were; {:.1f} MB of {:.1f} MB, in {:.1f} s\n",
      flags.output, summary->num_quantized, flags.scheme, summary->num_copied,
      kMb * static_cast<double>(summary->bytes_after),
      kMb * static_cast<double>(summary->bytes_before), taken.count()));
  return kExitOk;
}

}  // namespace

void AddQuantize(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<QuantizeFlags>();
  CLI::App& sub = *app.add_subcommand(
      "quantize", "Make a folder of 8-bit or 4-bit weights (compressed-tensors), offline");
  sub.add_option("--model", flags->model, "a folder, or a hub id OWNER/NAME that lies in the cache")
      ->required();
  sub.add_option("--output", flags->output, "the folder to make")->required();
  sub.add_option("--scheme", flags->scheme,
                 "int8: one scale a row; int4: groups of 64, with scales that are searched for")
      ->required()
      ->check(CLI::IsMember({"int8", "int4"}));
  sub.add_option("--threads", flags->threads, "default: one for each CPU")
      ->check(CLI::Range(1, 1024));
  sub.callback([flags, &command] { command = [flags] { return RunQuantize(*flags); }; });
}

}  // namespace phalanx
