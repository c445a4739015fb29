#include "client/eval.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "client/answer_json.h"
#include "client/connection.h"
#include "client/input.h"
#include "client/interrupt.h"
#include "client/number_flag.h"
#include "client/perplexity.h"
#include "client/streamed_answer.h"
#include "client/terminal.h"

namespace phalanx {
namespace {

constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();

struct PerplexityFlags {
  ConnectionFlags connection;
  std::string file;
  std::string model;
  int32_t max_length = 0;  // 0: what the model's context holds
  int32_t stride = 0;      // 0: half of max_length
  bool json = false;
};

// A token is generated behind each window, so that much must fit.
StatusOr<int32_t> WindowLength(const PerplexityFlags& flags, int32_t max_model_len) {
  const int32_t most = max_model_len - 1;
  if (flags.max_length == 0) return most;
  if (flags.max_length <= most) return flags.max_length;
  return InvalidField("--max-length", flags.max_length,
                      fmt::format("at most {}, so that one more token fits the context of {}", most,
                                  max_model_len));
}

class Evaluation {
 public:
  explicit Evaluation(const PerplexityFlags& flags)
      : flags_(flags), stub_(Connect(flags.connection)) {}

  Status Run() {
    PHALANX_RETURN_IF_ERROR(Tokenize());
    PHALANX_ASSIGN_OR_RETURN(length_, WindowLength(flags_, max_model_len_));
    stride_ = flags_.stride == 0 ? std::max(length_ / 2, 1) : flags_.stride;
    if (stride_ > length_)
      return InvalidField("--stride", stride_, fmt::format("at most the window's {}", length_));
    const std::vector<Window> windows =
        SlidingWindows(static_cast<int64_t>(ids_.size()), length_, stride_);
    if (windows.empty())
      return InvalidField("--file", fmt::format("{} tokens", ids_.size()), "at least 2 tokens");
    for (const Window& window : windows) {
      PHALANX_RETURN_IF_ERROR(Score(window));
      ++num_windows_;
      if (IsTerminal(stderr))
        std::fprintf(stderr, "\r%ld of %zu windows", num_windows_, windows.size());
    }
    if (IsTerminal(stderr)) std::fputc('\n', stderr);
    return OkStatus();
  }

  std::string ToJson() const {
    nlohmann::ordered_json json{{"perplexity", sum_.perplexity()},
                                {"standard_error", nullptr},
                                {"negative_log_likelihood", sum_.negative_log_likelihood()},
                                {"scored_tokens", sum_.count()},
                                {"tokens", ids_.size()},
                                {"bytes", num_bytes_},
                                {"windows", num_windows_},
                                {"max_length", length_},
                                {"stride", stride_}};
    if (sum_.count() > 1) json["standard_error"] = sum_.standard_error();
    return ToLine(json) + '\n';
  }

  std::string ToText() const {
    const std::string error =
        sum_.count() > 1 ? fmt::format(" +- {:.4g}", sum_.standard_error()) : "";
    return fmt::format("perplexity {:.6g}{}: {} of {} tokens, {} windows of {}, stride {}\n",
                       sum_.perplexity(), error, sum_.count(), ids_.size(), num_windows_, length_,
                       stride_);
  }

 private:
  Status Tokenize() {
    PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadInput("--file", flags_.file));
    PHALANX_RETURN_IF_ERROR(CheckUtf8("--file", text));
    num_bytes_ = text.size();
    v1::TokenizeRequest request;
    request.set_model(flags_.model);
    request.set_text(text);
    grpc::ClientContext context;
    Prepare(context, flags_.connection);
    v1::TokenizeResponse response;
    PHALANX_RETURN_IF_ERROR(FromGrpc(stub_->Tokenize(&context, request, &response)));
    ids_.assign(response.token_ids().begin(), response.token_ids().end());
    max_model_len_ = response.max_model_len();
    return OkStatus();
  }

  Status Score(const Window& window) {
    v1::GenerateRequest request;
    request.set_model(flags_.model);
    request.mutable_token_ids()->mutable_ids()->Add(ids_.begin() + window.begin,
                                                    ids_.begin() + window.end);
    request.mutable_sampling()->set_max_tokens(1);
    request.mutable_sampling()->set_temperature(0);
    request.mutable_sampling()->set_prompt_logprobs(0);
    grpc::ClientContext context;
    Prepare(context, flags_.connection);
    const auto open = [&] { return stub_->GenerateStream(&context, request); };
    const StreamedAnswer answer = ReadStream(open, [](const v1::StreamResponse&) {});
    PHALANX_RETURN_IF_ERROR(answer.status);
    const auto& logprobs = answer.response.prompt_logprobs();
    if (logprobs.size() != window.end - window.begin) {
      return InternalError("the server gave {} log-probabilities of {} tokens", logprobs.size(),
                           window.end - window.begin);
    }
    for (int64_t i = logprobs.size() - window.num_scored; i < logprobs.size(); ++i) {
      const double logprob = logprobs[static_cast<int>(i)].logprob();
      // What has no number would make all of it none.
      if (!std::isfinite(logprob))
        return InternalError("token {} has log-probability {}", window.begin + i, logprob);
      sum_.Add(logprob);
    }
    return OkStatus();
  }

  const PerplexityFlags& flags_;
  std::unique_ptr<v1::Inference::StubInterface> stub_;
  std::vector<int32_t> ids_;
  size_t num_bytes_ = 0;
  int32_t max_model_len_ = 0;
  int32_t length_ = 0;
  int32_t stride_ = 0;
  int64_t num_windows_ = 0;
  LikelihoodSum sum_;
};

int RunPerplexity(const PerplexityFlags& flags) {
  InterruptWatcher interrupt([] { std::_Exit(kExitInterrupted); });
  Evaluation evaluation(flags);
  const Status status = evaluation.Run();
  if (!status.ok()) return ReportError(status, flags.connection);
  Print(flags.json ? evaluation.ToJson() : evaluation.ToText());
  return kExitOk;
}

}  // namespace

void AddEval(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<PerplexityFlags>();
  CLI::App& sub = *app.add_subcommand("eval", "Measure how well the served model predicts a text");
  sub.add_option("measure", "perplexity: exp of the mean negative log-likelihood of a token")
      ->check(CLI::IsMember({"perplexity"}))
      ->required();
  AddConnectionFlags(sub, flags->connection);
  sub.add_option("--file", flags->file, "a file with the text; -: standard input")->required();
  sub.add_option("--model", flags->model, "the served model's name");
  AddNumber<int32_t>(
      sub, "--max-length", {2, kMaxInt}, [flags](int32_t value) { flags->max_length = value; },
      "tokens of a window; unless given what the context holds beside one more token");
  AddNumber<int32_t>(
      sub, "--stride", {1, kMaxInt}, [flags](int32_t value) { flags->stride = value; },
      "tokens from one window to the next, the rest of each being context; unless given half a "
      "window");
  sub.add_flag("--json", flags->json, "print JSON");
  sub.callback([flags, &command] { command = [flags] { return RunPerplexity(*flags); }; });
}

}  // namespace phalanx
