#include "client/batch.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "client/batch_input.h"
#include "client/batch_output.h"
#include "client/input.h"
#include "client/number_flag.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"

namespace phalanx {
namespace {

struct BatchFlags {
  ConnectionFlags connection;
  v1::SamplingParams sampling;
  std::string input = "-", output = "-";
  int32_t concurrency = 8;
};

// Counts the answers on their way to the output, from several threads.
class Answers {
 public:
  explicit Answers(BatchOutput& output) : output_(output) {}

  void Add(const nlohmann::json& id, const StatusOr<StreamedAnswer>& answer) {
    const Status status = answer.ok() ? answer->status : answer.status();
    const std::string line = BatchAnswerLine(id, answer);
    const std::lock_guard lock(mutex_);
    if (is_full_) return;
    // What was under way when the server went is written all the same.
    if (const Status written = output_.Append(line); !written.ok()) {
      is_full_ = true;
      stop_ = written;
      return;
    }
    ++(status.ok() ? num_answered_ : num_errors_);
    if (stop_.ok() && status.code() == StatusCode::kUnavailable) stop_ = status;
  }

  // Why nothing more will come of this run: the server is gone, or the output full.
  Status stop() const {
    const std::lock_guard lock(mutex_);
    return stop_;
  }
  int64_t num_answered() const { return num_answered_; }
  int64_t num_errors() const { return num_errors_; }

 private:
  BatchOutput& output_;
  mutable std::mutex mutex_;
  int64_t num_answered_ = 0, num_errors_ = 0;
  bool is_full_ = false;  // the output
  Status stop_;
};

StreamedAnswer Ask(v1::Inference::StubInterface& stub, const ConnectionFlags& connection,
                   const BatchRequest& request) {
  grpc::ClientContext context;
  Prepare(context, connection);
  const auto open = [&]() -> std::unique_ptr<StreamReader> {
    if (const auto* chat = std::get_if<v1::ChatRequest>(&request)) {
      return stub.ChatStream(&context, *chat);
    }
    return stub.GenerateStream(&context, std::get<v1::GenerateRequest>(request));
  };
  return ReadStream(open, [](const v1::StreamResponse&) {});
}

void AskAll(const BatchFlags& flags, const std::vector<BatchLine>& lines, Answers& answers) {
  const auto stub = Connect(flags.connection);
  std::atomic<size_t> next = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < flags.concurrency; ++i) {
    threads.emplace_back([&] {
      for (size_t mine = next++; mine < lines.size() && answers.stop().ok(); mine = next++) {
        const auto& [id, request] = lines[mine];
        if (request.ok()) {
          answers.Add(id, Ask(*stub, flags.connection, *request));
        } else {
          answers.Add(id, request.status());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

StatusOr<std::vector<BatchLine>> ReadLines(const BatchFlags& flags) {
  PHALANX_RETURN_IF_ERROR(CheckUtf8(flags.sampling));
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadInput("--input", flags.input));
  return ParseBatchInput(text, flags.sampling);
}

int RunBatch(const BatchFlags& flags) {
  auto lines = ReadLines(flags);
  if (!lines.ok()) return ReportError(lines.status());
  auto output = BatchOutput::Open(flags.output, flags.input);
  if (!output.ok()) return ReportError(output.status());
  const auto num_answered_before = std::erase_if(
      *lines, [&](const BatchLine& line) { return output->answered().contains(IdKey(line.id)); });

  Answers answers(*output);
  AskAll(flags, *lines, answers);
  PrintError(fmt::format("{} answered, {} errors, {} were answered before", answers.num_answered(),
                         answers.num_errors(), num_answered_before));
  if (!answers.stop().ok()) return ReportError(answers.stop(), flags.connection);
  return answers.num_errors() == 0 ? kExitOk : kExitError;
}

}  // namespace

void AddBatch(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<BatchFlags>();
  CLI::App& sub = *app.add_subcommand(
      "batch",
      "Answer a file of requests: each line {\"id\", \"prompt\" or \"messages\", parameters}");
  AddConnectionFlags(sub, flags->connection);
  sub.add_option("--input", flags->input, "JSONL; -: standard input")->capture_default_str();
  sub.add_option("--output", flags->output,
                 "JSONL, in the order in which answers end; a file of an earlier run is taken up: "
                 "what it has no answer to is asked; -: standard output")
      ->capture_default_str();
  AddNumber<int32_t>(sub, "--concurrency", {1, 256}, flags->concurrency,
                     "requests under way at a time");
  AddSamplingFlags(sub, flags->sampling);
  sub.callback([flags, &command] { command = [flags] { return RunBatch(*flags); }; });
}

}  // namespace phalanx
