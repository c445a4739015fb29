// Time to render a conversation with a model's own chat template, beside the time to copy the text
// that comes out and to tokenize it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace phalanx {
namespace {

struct BenchOptions {
  std::string model = "launch/demo/model";
  int messages = 20;
  int message_bytes = 200;
  int tools = 0;
  int rounds = 500;
  bool json = false;
};

ChatRequest Conversation(const BenchOptions& options) {
  constexpr std::string_view kText = "Tell me more about the town where the old mill stood. ";
  ChatRequest chat;
  for (int i = 0; i < options.messages; ++i) {
    ChatMessage message;
    message.role = i == 0 ? "system" : i % 2 == 1 ? "user" : "assistant";
    std::string content;
    while (content.size() < static_cast<size_t>(options.message_bytes)) content += kText;
    content.resize(static_cast<size_t>(options.message_bytes));
    message.content = std::move(content);
    chat.messages.push_back(std::move(message));
  }
  for (int i = 0; i < options.tools; ++i) {
    chat.tools.push_back(fmt::format(
        R"({{"type": "function", "function": {{"name": "tool_{}", "description": "Does it.", )"
        R"("parameters": {{"type": "object", "properties": {{"city": {{"type": "string"}}}}}}}}}})",
        i));
  }
  return chat;
}

template <typename Action>
double MedianUs(int rounds, Action action) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  for (int i = 0; i < rounds; ++i) {
    const auto begin = Clock::now();
    action();
    times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
  }
  std::nth_element(times.begin(), times.begin() + rounds / 2, times.end());
  return times[static_cast<size_t>(rounds / 2)];
}

Status Run(const BenchOptions& options) {
  PHALANX_ASSIGN_OR_RETURN(const auto chat_template, LoadChatTemplate(options.model));
  PHALANX_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(options.model));
  const ChatRequest chat = Conversation(options);
  PHALANX_ASSIGN_OR_RETURN(const std::string text, chat_template->Render(chat));
  size_t total = 0;  // keeps the work from being left out
  const double render_us =
      MedianUs(options.rounds, [&] { total += chat_template->Render(chat)->size(); });
  const double copy_us = MedianUs(options.rounds, [&] { total += std::string(text).size(); });
  const double tokenize_us =
      MedianUs(options.rounds, [&] { total += tokenizer->Encode(text)->size(); });
  PHALANX_CHECK(total > 0);
  if (options.json) {
    const nlohmann::json out = {{"messages", options.messages}, {"tools", options.tools},
                                {"text_bytes", text.size()},    {"render_us", render_us},
                                {"copy_us", copy_us},           {"tokenize_us", tokenize_us}};
    fmt::print("{}\n", out.dump());
  } else {
    fmt::print(
        "{} messages, {} tools, {} bytes: rendered in {:.1f} us, copied in {:.2f} us, tokenized in "
        "{:.1f} us (medians of {})\n",
        options.messages, options.tools, text.size(), render_us, copy_us, tokenize_us,
        options.rounds);
  }
  return OkStatus();
}

int Main(int argc, char** argv) {
  BenchOptions options;
  CLI::App app("Time to render a conversation with a model's chat template.");
  app.add_option("--model", options.model, "model folder")->capture_default_str();
  app.add_option("--messages", options.messages)->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--message-bytes", options.message_bytes)->check(CLI::PositiveNumber);
  app.add_option("--tools", options.tools)->check(CLI::Range(0, 64));
  app.add_option("--rounds", options.rounds)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_flag("--json", options.json, "print JSON");
  CLI11_PARSE(app, argc, argv);
  const Status status = Run(options);
  if (!status.ok()) fmt::print(stderr, "{}\n", status.message());
  return status.ok() ? 0 : 2;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) { return phalanx::Main(argc, argv); }
