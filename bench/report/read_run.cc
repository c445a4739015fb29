#include "bench/report/read_run.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "bench/report/text.h"
#include "kernels/base/file.h"

namespace phalanx::report {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 14> kStages = {
    "facts",     "host", "limits", "kernels", "models", "determinism", "hf",
    "sanitizer", "ops",  "decode", "prefill", "load",   "scaling",     "profile"};
constexpr int64_t kMaxStageBytes = int64_t{1} << 20;
constexpr int64_t kMaxProfileBytes = int64_t{1} << 20;
constexpr size_t kShownProfileBytes = size_t{64} << 10;
constexpr int64_t kLogEndBytes = 3000;
constexpr size_t kMaxStages = 100;
constexpr size_t kMaxCommands = 200;

std::optional<double> ParseSeconds(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  return is_number && std::isfinite(value) && value >= 0 ? std::optional(value) : std::nullopt;
}

// The last lines of a log; empty where it cannot be read.
std::string EndOf(const fs::path& log) {
  const StatusOr<RegularFile> file = RegularFile::Open(log);
  if (!file.ok()) return "";
  const int64_t begin = std::max<int64_t>(0, file->size_bytes() - kLogEndBytes);
  std::string text(static_cast<size_t>(file->size_bytes() - begin), '\0');
  if (!file->Read(begin, std::as_writable_bytes(std::span(text))).ok()) return "";
  if (begin > 0) text.erase(0, text.find('\n') + 1);
  return CleanText(text, kLogEndBytes * 3, Lines::kKept);
}

Stage ReadStage(const fs::path& raw, std::string_view name, Notes& notes) {
  const std::string file = fmt::format("{}.stage", name);
  Stage stage{.name = CleanText(name, kMaxNameChars)};
  const StatusOr<std::string> text = ReadSmallFile(raw / file, kMaxStageBytes);
  if (!text.ok()) {
    if (text.status().code() != StatusCode::kNotFound) AddNote(notes, text.status().message());
    return stage;
  }
  stage.state = StageState::kRunning;  // until its record says how it ended
  std::string_view rest = *text;
  for (int line = 1; !rest.empty(); ++line) {
    const size_t end = rest.find('\n');
    const std::string_view one = rest.substr(0, end);
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    const size_t equals = one.find('=');
    const std::string_view key = one.substr(0, equals);
    const std::string_view value = equals == std::string_view::npos ? "" : one.substr(equals + 1);
    const auto refuse = [&](std::string_view allowed) {
      AddNote(notes, fmt::format("raw/{}:{}: is {}, allowed: {}", file, line, one, allowed));
    };
    if (key == "state") {
      stage.state = StageStateOf(value);
      if (Name(stage.state) != value) refuse("state=passed, failed, skipped, timeout or running");
    } else if (key == "seconds") {
      stage.seconds = ParseSeconds(value);
      if (!stage.seconds) refuse("seconds=a number of 0 or more");
    } else if (key == "reason") {
      stage.reason = CleanText(value, kMaxMessageChars);
    } else if (key == "command") {
      if (stage.commands.size() < kMaxCommands) {
        stage.commands.push_back(CleanText(value, kMaxMessageChars));
      }
    } else if (!one.empty()) {
      refuse("state=, seconds=, reason=, command=");
    }
  }
  if (IsFailure(stage.state)) stage.log_end = EndOf(raw / fmt::format("{}.log", name));
  return stage;
}

// Those of the plan in its order, then what else has a record.
std::vector<Stage> ReadStages(const fs::path& raw, Notes& notes) {
  std::vector<std::string> names(kStages.begin(), kStages.end());
  std::vector<std::string> others;
  std::error_code error;
  for (fs::directory_iterator at(raw, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().stem().string();
    if (at->path().extension() == ".stage" && std::ranges::find(names, name) == names.end()) {
      others.push_back(name);
    }
  }
  if (error) AddNote(notes, fmt::format("raw: cannot be read: {}", error.message()));
  std::ranges::sort(others);
  names.insert(names.end(), others.begin(), others.end());
  if (names.size() > kMaxStages) names.resize(kMaxStages);
  std::vector<Stage> stages;
  for (const std::string& name : names) stages.push_back(ReadStage(raw, name, notes));
  return stages;
}

void ReadFacts(const fs::path& raw, RunData& run) {
  const auto object = ReadObject(raw / "facts.json", run.notes);
  if (!object) return;
  Fields fields(*object, "raw/facts.json", run.notes);
  for (const auto& [key, value] : object->items()) {
    std::string text = CleanText(fields.Text(key.c_str()), kMaxNameChars);
    if (!text.empty()) run.facts.emplace_back(CleanText(key, kMaxNameChars), std::move(text));
  }
}

void ReadProfile(const fs::path& raw, RunData& run) {
  const StatusOr<std::string> text = ReadSmallFile(raw / "profile.txt", kMaxProfileBytes);
  if (text.ok()) {
    run.profile = CleanText(*text, kShownProfileBytes, Lines::kKept);
  } else if (text.status().code() != StatusCode::kNotFound) {
    AddNote(run.notes, text.status().message());
  }
}

}  // namespace

StatusOr<RunData> ReadRun(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    return NotFoundError("{}: no such folder, allowed: a run of launch/gpu-check.sh",
                         path.string());
  }
  RunData run;
  fs::path folder = fs::absolute(path, error).lexically_normal();
  if (folder.filename().empty()) folder = folder.parent_path();
  run.name = CleanText(folder.filename().string(), kMaxNameChars);
  const fs::path raw = path / "raw";
  if (!fs::is_directory(raw, error)) AddNote(run.notes, "raw: no such folder in the run");
  ReadFacts(raw, run);
  run.device = run.Fact("device");
  run.stages = ReadStages(raw, run.notes);
  ReadMeasurements(raw, run);
  ReadProfile(raw, run);
  return run;
}

}  // namespace phalanx::report
