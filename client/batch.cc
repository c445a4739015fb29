#include "client/batch.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "client/answer_json.h"
#include "client/batch_request.h"
#include "client/file.h"
#include "client/sampling_flags.h"

namespace phalanx {
namespace {

struct BatchFlags {
  ConnectionFlags connection;
  v1::SamplingParams sampling;
  std::string input = "-", output = "-";
  int concurrency = 8;
};

struct BatchLine {
  nlohmann::json id;
  StatusOr<BatchRequest> request;
};

// The lines that are left to do, handed to several threads.
class BatchInput {
 public:
  BatchInput(std::istream& in, const v1::SamplingParams& defaults, std::set<std::string> seen_ids)
      : in_(in), defaults_(defaults), seen_ids_(std::move(seen_ids)) {}

  std::optional<BatchLine> Next() {
    const std::lock_guard lock(mutex_);
    std::string text;
    while (std::getline(in_, text)) {
      ++line_number_;
      if (text.find_first_not_of(" \t\r") == std::string::npos) continue;
      const auto json = nlohmann::json::parse(text, nullptr, false);
      // A line without an id is known by its number.
      nlohmann::json id = json.is_object() && json.contains("id")
                              ? json["id"]
                              : nlohmann::json(fmt::format("line-{}", line_number_));
      if (!seen_ids_.insert(id.dump(-1, ' ', true, nlohmann::json::error_handler_t::replace))
               .second)
        continue;
      return BatchLine{std::move(id), ParseBatchRequest(json, defaults_)};
    }
    return std::nullopt;
  }

 private:
  std::istream& in_;
  const v1::SamplingParams& defaults_;
  std::mutex mutex_;
  std::set<std::string> seen_ids_;  // answered before, or handed out
  int64_t line_number_ = 0;
};

class BatchOutput {
 public:
  explicit BatchOutput(std::ostream& out) : out_(out) {}

  void Write(const nlohmann::json& id, const StatusOr<StreamedAnswer>& answer) {
    const Status status = answer.ok() ? answer->status : answer.status();
    nlohmann::ordered_json line = {{"id", id}};
    if (status.ok()) {
      nlohmann::ordered_json fields = ToJson(*answer);
      fields.erase("id");  // the server's; the line has the user's own
      line.update(fields);
    } else {
      line["error"] = ToJson(status);
    }
    const std::lock_guard lock(mutex_);
    out_ << ToLine(line) << '\n' << std::flush;
    ++num_lines_;
    if (status.ok()) return;
    ++num_errors_;
    if (first_unavailable_.ok() && status.code() == StatusCode::kUnavailable)
      first_unavailable_ = status;
  }

  // Nothing more will come of this run.
  bool server_is_gone() const {
    const std::lock_guard lock(mutex_);
    return !first_unavailable_.ok();
  }
  const Status& first_unavailable() const { return first_unavailable_; }
  int64_t num_lines() const { return num_lines_; }
  int64_t num_errors() const { return num_errors_; }
  bool failed() const { return !out_.good(); }

 private:
  std::ostream& out_;
  mutable std::mutex mutex_;
  int64_t num_lines_ = 0, num_errors_ = 0;
  Status first_unavailable_;
};

// The ids that have an answer already. Errors and a line that was cut off are removed, so that the
// file never holds two lines of one id.
StatusOr<std::set<std::string>> TakeUp(const std::string& path) {
  std::set<std::string> ids;
  if (path == "-" || !std::filesystem::exists(path)) return ids;
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFoundError("output: cannot read {}", path);
  std::string kept, text;
  while (std::getline(in, text)) {
    const auto line = nlohmann::json::parse(text, nullptr, false);
    if (!line.is_object() || !line.contains("id") || line.contains("error")) continue;
    ids.insert(line["id"].dump(-1, ' ', true, nlohmann::json::error_handler_t::replace));
    kept += text + '\n';
  }
  in.close();
  const std::string draft = path + ".new";
  std::ofstream out(draft, std::ios::binary);
  out << kept << std::flush;
  std::error_code error;
  if (out) std::filesystem::rename(draft, path, error);
  if (!out || error) return InternalError("output: cannot write {}", draft);
  return ids;
}

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

int RunBatch(const BatchFlags& flags) {
  std::ifstream input_file(flags.input);
  if (flags.input != "-" && !input_file)
    return ReportError(NotFoundError("input: cannot read {}", flags.input));
  auto seen_ids = TakeUp(flags.output);
  if (!seen_ids.ok()) return ReportError(seen_ids.status());
  const size_t num_taken_up = seen_ids->size();
  std::ofstream output_file;
  if (flags.output != "-") output_file.open(flags.output, std::ios::app | std::ios::binary);

  BatchInput input(flags.input == "-" ? std::cin : input_file, flags.sampling,
                   *std::move(seen_ids));
  BatchOutput output(flags.output == "-" ? std::cout : output_file);
  const auto stub = Connect(flags.connection);
  std::vector<std::thread> threads;
  for (int i = 0; i < flags.concurrency; ++i) {
    threads.emplace_back([&] {
      while (!output.server_is_gone()) {
        const std::optional<BatchLine> line = input.Next();
        if (!line) return;
        if (line->request.ok()) {
          output.Write(line->id, Ask(*stub, flags.connection, *line->request));
        } else {
          output.Write(line->id, line->request.status());
        }
      }
    });
  }
  for (std::thread& thread : threads) thread.join();

  fmt::print(stderr, "{} answered, {} errors, {} were answered before\n",
             output.num_lines() - output.num_errors(), output.num_errors(), num_taken_up);
  if (output.failed()) return ReportError(InternalError("output: cannot write {}", flags.output));
  if (!output.first_unavailable().ok()) return ReportError(output.first_unavailable());
  return output.num_errors() == 0 ? kExitOk : kExitError;
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
                 "JSONL, in the order in which answers end; ids in it that have an answer are "
                 "skipped; -: standard output")
      ->capture_default_str();
  sub.add_option("--concurrency", flags->concurrency, "requests under way at a time")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  AddSamplingFlags(sub, flags->sampling);
  sub.callback([flags, &command] { command = [flags] { return RunBatch(*flags); }; });
}

}  // namespace phalanx
