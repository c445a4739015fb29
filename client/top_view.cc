#include "client/top_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

namespace phalanx {
namespace {

using Time = std::chrono::steady_clock::time_point;
using v1::RankInfo;
using v1::ServerInfo;

constexpr std::string_view kNone = "-";

// A terminal obeys what it is sent, so only printable ASCII goes there.
std::string Plain(std::string_view text) {
  std::string plain;
  for (const char c : text) {
    if (c >= ' ' && c <= '~') {
      plain += c;
    } else {
      plain += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
  }
  return plain;
}

std::string Duration(double seconds) {
  const auto whole = static_cast<int64_t>(std::clamp(seconds, 0.0, 1e12));
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m{:02}s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{}h{:02}m", whole / 3600, whole / 60 % 60);
  return fmt::format("{}d{:02}h", whole / 86400, whole / 3600 % 24);
}

std::string Bytes(int64_t bytes) {
  const double mib = static_cast<double>(bytes) / (1 << 20);
  return mib < 10240 ? fmt::format("{:.0f} MiB", mib) : fmt::format("{:.1f} GiB", mib / 1024);
}

// Three digits that matter.
std::string Milliseconds(double seconds) {
  const double ms = 1e3 * seconds;
  if (ms < 10) return fmt::format("{:.2f}", ms);
  return fmt::format("{:.{}f}", ms, ms < 100 ? 1 : 0);
}

std::string Percent(double part, double whole) {
  return whole > 0 ? fmt::format("{:.0f} %", 100 * std::clamp(part / whole, 0.0, 1.0))
                   : std::string(kNone);
}

std::string Bar(double share, int width) {
  const auto filled = static_cast<size_t>(std::lround(std::clamp(share, 0.0, 1.0) * width));
  return "[" + std::string(filled, '#') + std::string(static_cast<size_t>(width) - filled, '.') +
         "]";
}

// The two samples between which rates are: of one server that has not started anew meanwhile.
struct Interval {
  const ServerInfo* before = nullptr;  // null: there is no interval
  const ServerInfo* now = nullptr;
  double seconds = 0;

  // What the counter gained; nullopt: not known.
  template <typename Counter>
  std::optional<double> Gain(Counter counter) const {
    if (before == nullptr) return std::nullopt;
    const auto gain = static_cast<double>((now->*counter)() - (before->*counter)());
    return gain >= 0 ? std::optional(gain) : std::nullopt;
  }

  template <typename Counter>
  std::string Rate(Counter counter) const {
    const std::optional<double> gain = Gain(counter);
    return gain ? fmt::format("{:.0f}", *gain / seconds) : std::string(kNone);
  }

  std::string FirstToken() const {
    const std::optional<double> spent = Gain(&ServerInfo::first_token_seconds);
    const std::optional<double> count = Gain(&ServerInfo::num_first_tokens);
    return spent && count && *count > 0 ? Milliseconds(*spent / *count) + " ms"
                                        : std::string(kNone);
  }

  // Of the same group's.
  const RankInfo* RankBefore(int index) const {
    if (before == nullptr || before->epoch() != now->epoch()) return nullptr;
    if (index >= before->ranks_size()) return nullptr;
    const RankInfo& rank = before->ranks(index);
    return rank.rank() == now->ranks(index).rank() ? &rank : nullptr;
  }
};

Interval MakeInterval(const std::optional<TopSample>& before, const TopSample& now) {
  if (!before || !before->status.ok()) return {};
  const double seconds = std::chrono::duration<double>(now.time - before->time).count();
  if (seconds <= 0 || now.info.uptime_seconds() < before->info.uptime_seconds()) return {};
  return {.before = &before->info, .now = &now.info, .seconds = seconds};
}

std::string Title(const std::string& server) { return "phalanx top   " + Plain(server); }

std::string Header(const std::string& server, std::string_view model, std::string_view right,
                   int width) {
  const std::string left = Title(server) + "   " + Plain(model);
  const int gap = width - static_cast<int>(left.size() + right.size());
  return gap < 2 ? left : left + std::string(static_cast<size_t>(gap), ' ') + std::string(right);
}

std::string KvLine(const ServerInfo& info, int width) {
  constexpr int kLeastForBar = 100;
  const int64_t used = info.num_blocks() - info.num_free_blocks();
  const double share = info.num_blocks() > 0
                           ? static_cast<double>(used) / static_cast<double>(info.num_blocks())
                           : 0;
  return fmt::format("KV cache   {}{}   {} of {} blocks of {} tokens   prefixes found {}",
                     width >= kLeastForBar ? Bar(share, 20) + " " : "",
                     Percent(static_cast<double>(used), static_cast<double>(info.num_blocks())),
                     used, info.num_blocks(), info.block_size(),
                     Percent(static_cast<double>(info.prefix_cache_hits()),
                             static_cast<double>(info.prefix_cache_queries())));
}

constexpr char kRankColumns[] = "{:>4}  {:>10}  {:>7}  {:>5}  {:>9}  {:>9}  {:>9}  {:>9}";

// Where steps were between the samples, else of all steps.
std::string RankLine(const RankInfo& rank, const RankInfo* before) {
  double steps = static_cast<double>(rank.num_steps());
  double step_s = rank.step_seconds();
  double collective_s = rank.collective_seconds();
  if (before != nullptr && rank.num_steps() > before->num_steps()) {
    steps -= static_cast<double>(before->num_steps());
    step_s -= before->step_seconds();
    collective_s -= before->collective_seconds();
  }
  const auto bytes = [](int64_t held) { return held > 0 ? Bytes(held) : std::string(kNone); };
  return fmt::format(kRankColumns, rank.rank(), rank.num_steps(),
                     steps > 0 ? Milliseconds(step_s / steps) : kNone,
                     Percent(collective_s, step_s), bytes(rank.resident_bytes()),
                     bytes(rank.kv_cache_bytes()), bytes(rank.device_reserved_bytes()),
                     rank.device_reserved_bytes() > 0 ? Bytes(rank.device_free_bytes()) : kNone);
}

void AddRanks(const ServerInfo& info, const Interval& interval, std::vector<std::string>* lines) {
  if (info.ranks().empty()) return;
  lines->emplace_back();
  lines->push_back(fmt::format(kRankColumns, "rank", "steps", "step ms", "waits", "memory",
                               "KV cache", "device", "free"));
  for (int i = 0; i < info.ranks_size(); ++i) {
    lines->push_back(RankLine(info.ranks(i), interval.RankBefore(i)));
  }
}

// Words that matter go on in the next line where they do not fit.
void AddWrapped(std::string_view text, int width, std::vector<std::string>* lines) {
  const auto step = static_cast<size_t>(std::max(width, 1));
  do {
    lines->emplace_back(text.substr(0, step));
    text.remove_prefix(std::min(step, text.size()));
  } while (!text.empty());
}

void AddGroup(const ServerInfo& info, std::vector<std::string>* lines) {
  if (info.num_ranks() == 0) {
    lines->push_back(fmt::format("no worker group   version {}", Plain(info.version())));
    return;
  }
  lines->push_back(fmt::format("{} {}   {} {}   version {}", info.num_ranks(),
                               info.num_ranks() == 1 ? "rank" : "ranks", Plain(info.device()),
                               Plain(info.isa()), Plain(info.version())));
}

std::vector<std::string> Figures(const std::string& server, const ServerInfo& info,
                                 const Interval& interval, int width) {
  std::vector<std::string> lines;
  lines.push_back(Header(server, info.model(), "up " + Duration(info.uptime_seconds()), width));
  const std::string reason = info.state_reason().empty() ? "" : ": " + Plain(info.state_reason());
  AddWrapped(Plain(info.state()) + reason, width, &lines);
  AddGroup(info, &lines);
  lines.emplace_back();
  lines.push_back(fmt::format("requests   {} open   {} answered   {} failed   {} refused",
                              info.num_open(), info.num_finished(), info.num_failed(),
                              info.num_refused()));
  if (info.num_ranks() == 0) return lines;
  lines.push_back(fmt::format(
      "streams    {} of {} running   {} waiting   {} prompt tokens wait   {} preemptions",
      info.num_running(), info.max_num_seqs(), info.num_waiting(), info.waiting_prompt_tokens(),
      info.num_preemptions()));
  lines.push_back(fmt::format("tokens/s   {} in   {} out   first token after {}",
                              interval.Rate(&ServerInfo::num_prompt_tokens),
                              interval.Rate(&ServerInfo::num_generated_tokens),
                              interval.FirstToken()));
  lines.push_back(KvLine(info, width));
  AddRanks(info, interval, &lines);
  return lines;
}

std::vector<std::string> Trouble(const std::string& server, const TopSample& now,
                                 std::optional<Time> last_answer, int width) {
  std::vector<std::string> lines = {Title(server)};
  AddWrapped("unreachable: " + Plain(now.status.ToString()), width, &lines);
  if (last_answer) {
    const double ago = std::chrono::duration<double>(now.time - *last_answer).count();
    lines.push_back(fmt::format("last answer {} ago; trying on", Duration(ago)));
  } else {
    lines.emplace_back("no answer yet; trying on");
  }
  return lines;
}

void Fit(TopViewport viewport, std::vector<std::string>* lines) {
  const auto width = static_cast<size_t>(std::max(viewport.width, 1));
  const auto height = static_cast<size_t>(std::max(viewport.height, 1));
  if (lines->size() > height) {
    const size_t hidden = lines->size() - height + 1;
    lines->resize(height);
    lines->back() = fmt::format("({} more lines)", hidden);
  }
  for (std::string& line : *lines) {
    if (line.size() <= width) continue;
    line.resize(width);
    line.back() = '>';
  }
}

}  // namespace

std::vector<std::string> RenderTop(const std::string& server,
                                   const std::optional<TopSample>& before, const TopSample& now,
                                   std::optional<Time> last_answer, TopViewport viewport) {
  std::vector<std::string> lines =
      now.status.ok() ? Figures(server, now.info, MakeInterval(before, now), viewport.width)
                      : Trouble(server, now, last_answer, viewport.width);
  Fit(viewport, &lines);
  return lines;
}

}  // namespace phalanx
