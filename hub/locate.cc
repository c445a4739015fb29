#include "hub/locate.h"

#include <algorithm>
#include <cstdlib>

#include "kernels/base/file.h"

namespace phalanx {
namespace {

namespace fs = std::filesystem;

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.';
}

// A part of a hub id, or a revision: it becomes a path, so it may not climb out of its folder.
bool IsNamePart(std::string_view part) {
  constexpr size_t kMaxLength = 96;
  return !part.empty() && part.size() <= kMaxLength && part.front() != '.' &&
         part.find("..") == std::string_view::npos &&
         std::all_of(part.begin(), part.end(), IsNameChar);
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool HasConfig(const fs::path& folder) {
  std::error_code ignored;
  return fs::exists(folder / "config.json", ignored);
}

}  // namespace

fs::path HubCacheDir() {
  if (const std::string cache = Environment("HF_HUB_CACHE"); !cache.empty()) return cache;
  if (const std::string home = Environment("HF_HOME"); !home.empty()) return fs::path(home) / "hub";
  if (const std::string xdg = Environment("XDG_CACHE_HOME"); !xdg.empty()) {
    return fs::path(xdg) / "huggingface" / "hub";
  }
  return fs::path(Environment("HOME")) / ".cache" / "huggingface" / "hub";
}

StatusOr<fs::path> LocateModel(std::string_view model, const fs::path& hub_cache) {
  std::error_code ignored;
  const fs::path folder(model);
  if (!model.empty() && fs::is_directory(folder, ignored)) return folder;
  const size_t at = std::min(model.find('@'), model.size());
  const std::string_view id = model.substr(0, at);
  const std::string_view revision = at < model.size() ? model.substr(at + 1) : "main";
  const size_t slash = id.find('/');
  const bool is_id = slash != std::string_view::npos && IsNamePart(id.substr(0, slash)) &&
                     IsNamePart(id.substr(slash + 1)) && IsNamePart(revision);
  if (!is_id) {
    return InvalidField(
        "--model",
        fmt::format("{:?}{}", model, fs::exists(folder, ignored) ? ", a file" : ", no folder"),
        "a model's folder, or a hub id OWNER/NAME or OWNER/NAME@REVISION");
  }
  const fs::path entry =
      hub_cache / fmt::format("models--{}--{}", id.substr(0, slash), id.substr(slash + 1));
  std::string commit(revision);
  constexpr int64_t kMaxRefBytes = 128;
  if (auto ref = ReadSmallFile(entry / "refs" / commit, kMaxRefBytes); ref.ok()) {
    commit = *ref;
    commit.erase(std::find_if_not(commit.begin(), commit.end(), IsNameChar), commit.end());
  }
  const fs::path snapshot = entry / "snapshots" / commit;
  if (IsNamePart(commit) && HasConfig(snapshot)) return snapshot;
  return NotFoundError(
             "--model: \"{}\" is neither a folder nor in the Hugging Face cache {}; fetch it with: "
             "launch/fetch.sh {}",
             model, hub_cache.string(), model)
      .WithField("--model");
}

}  // namespace phalanx
