// bench_tokenizer --model DIR [--file TEXT] [--mib N] [--json]
//
// Encode and Decode of mixed text in one thread (median CPU time of rounds), and how Encode's time
// grows when the length of an adversarial text doubles. Without --file the text is made from the
// model's own vocabulary: words drawn with a Zipf-like skew, in sentences and lines of code, with
// numbers and with runs of scripts that need more than a byte.
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRounds = 9;

// The thread's CPU time, so that what else runs on the machine counts less.
double CpuSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

double MedianSeconds(const std::function<void()>& call) {
  std::vector<double> seconds;
  for (int i = 0; i < kRounds; ++i) {
    const double begin = CpuSeconds();
    call();
    seconds.push_back(CpuSeconds() - begin);
  }
  std::nth_element(seconds.begin(), seconds.begin() + kRounds / 2, seconds.end());
  return seconds[kRounds / 2];
}

// Tokens that are whole UTF-8 text, in the order of their ids: roughly by falling frequency.
std::vector<std::string> Words(const Tokenizer& tokenizer) {
  std::vector<std::string> words;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const std::string_view bytes = tokenizer.TokenBytes(id);
    if (bytes.empty() || tokenizer.IsSpecial(id)) continue;
    if (const auto text = tokenizer.Decode({&id, 1}); text.ok() && *text == bytes) {
      words.emplace_back(bytes);
    }
  }
  return words;
}

std::string MixedText(const Tokenizer& tokenizer, size_t bytes) {
  const std::vector<std::string> words = Words(tokenizer);
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform;
  const auto word = [&]() -> const std::string& {
    // The logarithm of the rank is uniform.
    const double rank = std::pow(static_cast<double>(words.size()), uniform(random));
    return words[std::min(static_cast<size_t>(rank), words.size() - 1)];
  };
  std::string text;
  while (text.size() < bytes) {
    const auto kind = random() % 10;
    const auto length = 4 + random() % 12;
    for (uint64_t i = 0; i < length; ++i) {
      if (kind < 6 && i > 0 && word().front() != ' ') text += ' ';
      text += word();
      if (kind == 7) text += std::to_string(random() % 1000);
      if (kind == 8) text += i % 2 == 0 ? "(" : "); ";
    }
    text += kind < 6 ? ". " : "\n    ";
  }
  return text;
}

std::string Repeat(std::string_view part, size_t bytes) {
  std::string text;
  while (text.size() + part.size() <= bytes) text += part;
  return text;
}

std::vector<std::pair<std::string, std::string>> AdversarialParts() {
  return {{"one letter", "a"},
          {"two letters", "ab"},
          {"spaces", " "},
          {"newlines", "\n"},
          {"space and newline", " \n"},
          {"apostrophes", "'"},
          {"emoji", "\xF0\x9F\x98\x80"},
          {"combining marks", "\xCC\x81\xCC\xA3"},
          {"Hangul jamo", "\xE1\x84\x80\xE1\x85\xA1"},
          {"special token prefix", "<|im_start"},
          {"digits", "1"}};
}

nlohmann::json MeasureGrowth(const Tokenizer& tokenizer) {
  constexpr size_t kHalfBytes = size_t{1} << 19;
  nlohmann::json table = nlohmann::json::array();
  for (const auto& [name, part] : AdversarialParts()) {
    const std::string half = Repeat(part, kHalfBytes);
    const std::string full = Repeat(part, 2 * kHalfBytes);
    const double half_s = MedianSeconds([&] { (void)*tokenizer.Encode(half); });
    const double full_s = MedianSeconds([&] { (void)*tokenizer.Encode(full); });
    table.push_back({{"text", name},
                     {"bytes", full.size()},
                     {"ms", full_s * 1e3},
                     {"mb_per_s", static_cast<double>(full.size()) / full_s / 1e6},
                     {"ratio_to_half", full_s / half_s}});
  }
  return table;
}

int Run(int argc, char** argv) {
  CLI::App app("Times the tokenizer in one thread.");
  std::string model;
  std::string file;
  size_t mib = 16;
  bool prints_json = false;
  app.add_option("--model", model, "folder with the tokenizer's files")->required();
  app.add_option("--file", file, "text to encode instead of a made-up mix");
  app.add_option("--mib", mib, "size of the made-up text")->check(CLI::Range(1, 1024));
  app.add_flag("--json", prints_json, "print JSON");
  CLI11_PARSE(app, argc, argv);

  const auto load_begin = Clock::now();
  const auto loaded = Tokenizer::Load(model);
  const double load_s = std::chrono::duration<double>(Clock::now() - load_begin).count();
  if (!loaded.ok()) {
    fmt::print(stderr, "{}\n", loaded.status().ToString());
    return 1;
  }
  const Tokenizer& tokenizer = **loaded;
  std::string text;
  if (file.empty()) {
    text = MixedText(tokenizer, mib << 20);
  } else {
    std::ifstream in(file, std::ios::binary);
    text.assign(std::istreambuf_iterator<char>(in), {});
  }
  const auto ids = tokenizer.Encode(text);
  if (!ids.ok()) {
    fmt::print(stderr, "{}\n", ids.status().ToString());
    return 1;
  }
  const double encode_s = MedianSeconds([&] { (void)*tokenizer.Encode(text); });
  const double decode_s = MedianSeconds([&] { (void)*tokenizer.Decode(*ids); });
  const auto megabytes = static_cast<double>(text.size()) / 1e6;
  const nlohmann::json report = {
      {"text_bytes", text.size()},
      {"tokens", ids->size()},
      {"bytes_per_token", static_cast<double>(text.size()) / static_cast<double>(ids->size())},
      {"load_s", load_s},
      {"encode_mb_per_s", megabytes / encode_s},
      {"decode_mb_per_s", megabytes / decode_s},
      {"adversarial", MeasureGrowth(tokenizer)}};
  if (prints_json) {
    fmt::print("{}\n", report.dump(2));
    return 0;
  }
  fmt::print("{:.1f} MB, {} tokens, {:.2f} bytes a token; loaded in {:.2f} s\n", megabytes,
             ids->size(), report["bytes_per_token"].get<double>(), load_s);
  fmt::print("encode {:.1f} MB/s, decode {:.1f} MB/s\n", megabytes / encode_s,
             megabytes / decode_s);
  fmt::print("{:<22} {:>9} {:>8} {:>8} {:>15}\n", "adversarial text", "bytes", "ms", "MB/s",
             "time(2n)/time(n)");
  for (const auto& row : report["adversarial"]) {
    fmt::print("{:<22} {:>9} {:>8.1f} {:>8.1f} {:>15.2f}\n", row["text"].get<std::string>(),
               row["bytes"].get<size_t>(), row["ms"].get<double>(), row["mb_per_s"].get<double>(),
               row["ratio_to_half"].get<double>());
  }
  return 0;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) { return phalanx::Run(argc, argv); }
