#include "client/batch_output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "client/answer_json.h"
#include "client/batch_input.h"
#include "client/input.h"

namespace phalanx {
namespace {

using Json = nlohmann::json;

// What every line of BatchAnswerLine begins with.
constexpr std::string_view kLineBegin = "{\"id\":";

Status CannotWrite(const std::string& path, int error) {
  return InternalError("--output: cannot write '{}': {}", path, std::strerror(error));
}

std::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISCHR(mode)) return "a character device";
  if (S_ISBLK(mode)) return "a block device";
  if (S_ISFIFO(mode)) return "a FIFO";
  return S_ISSOCK(mode) ? "a socket" : "no regular file";
}

std::optional<struct stat> StatOf(const std::string& path, int standard_descriptor) {
  struct stat info {};
  const int error = path == "-" ? fstat(standard_descriptor, &info) : stat(path.c_str(), &info);
  return error == 0 ? std::optional(info) : std::nullopt;
}

// Before anything is opened: opening a device or a FIFO for writing may itself do something.
Status CheckKind(const std::string& path, const std::string& input_path) {
  const auto output = StatOf(path, STDOUT_FILENO);
  if (!output) return OkStatus();
  if (path != "-" && !S_ISREG(output->st_mode))
    return InvalidArgumentError("--output: {} is {}, allowed: a new or a regular file, or -", path,
                                KindOf(output->st_mode));
  const auto input = StatOf(input_path, STDIN_FILENO);
  if (input && S_ISREG(input->st_mode) && input->st_dev == output->st_dev &&
      input->st_ino == output->st_ino)
    return InvalidArgumentError("--output: {} is the input itself, allowed: another file", path);
  return OkStatus();
}

bool IsAnswer(const Json& line) {
  return line.contains("text") && line["text"].is_string() && line.contains("token_ids") &&
         line["token_ids"].is_array() && line.contains("usage") && line["usage"].is_object();
}

bool IsError(const Json& line) {
  return line.contains("error") && line["error"].is_object() && line["error"].contains("code") &&
         line["error"].contains("message");
}

// The beginning of a line of ours, without its end.
bool IsCutOff(std::string_view text) {
  return text.starts_with(kLineBegin) || (!text.empty() && kLineBegin.starts_with(text));
}

struct Earlier {
  std::string kept;  // the lines with answers
  std::set<std::string> answered;
};

StatusOr<Earlier> ReadEarlier(const std::string& path, std::string_view text) {
  Earlier earlier;
  int64_t number = 0;
  while (!text.empty()) {
    ++number;
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const Json json = Json::parse(line, nullptr, false);
    if (json.is_discarded() && text.empty() && IsCutOff(line)) break;
    if (!json.is_object() || !json.contains("id") || !(IsAnswer(json) || IsError(json)))
      return InvalidArgumentError(
          "--output: line {} of {} is no answer of a batch, allowed: a new file, or one that "
          "`phalanx batch` wrote",
          number, path);
    if (IsError(json)) continue;
    earlier.answered.insert(IdKey(json["id"]));
    earlier.kept.append(line).push_back('\n');
  }
  return earlier;
}

Status WriteAll(int descriptor, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t count = write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CannotWrite(path, errno);
    text.remove_prefix(static_cast<size_t>(count));
  }
  return OkStatus();
}

// By a second file that takes the first one's place, so that a crash leaves one of the two whole.
Status Replace(const std::string& link, std::string_view text) {
  // What a symbolic link names is replaced, not the link.
  std::error_code unresolved;
  const std::string path = std::filesystem::canonical(link, unresolved).string();
  struct stat info {};
  if (unresolved || stat(path.c_str(), &info) != 0) return CannotWrite(link, errno);
  std::string draft = path + ".XXXXXX";
  const int descriptor = mkostemp(draft.data(), O_CLOEXEC);
  if (descriptor < 0) return CannotWrite(draft, errno);
  Status status = WriteAll(descriptor, text, draft);
  const bool is_whole = status.ok() && fchmod(descriptor, info.st_mode & 07777) == 0 &&
                        fsync(descriptor) == 0 && rename(draft.c_str(), path.c_str()) == 0;
  if (!is_whole) {
    if (status.ok()) status = CannotWrite(path, errno);
    unlink(draft.c_str());
  }
  close(descriptor);
  return status;
}

}  // namespace

std::string BatchAnswerLine(const Json& id, const StatusOr<StreamedAnswer>& answer) {
  const Status status = answer.ok() ? answer->status : answer.status();
  nlohmann::ordered_json line = {{"id", id}};
  if (status.ok()) {
    nlohmann::ordered_json fields = ToJson(*answer);
    fields.erase("id");  // the server's; the line has the user's own
    line.update(fields);
  } else {
    line["error"] = ToJson(status);
  }
  return ToLine(line);
}

StatusOr<BatchOutput> BatchOutput::Open(const std::string& path, const std::string& input_path) {
  PHALANX_RETURN_IF_ERROR(CheckKind(path, input_path));
  if (path == "-") return BatchOutput("standard output", STDOUT_FILENO);
  Earlier earlier;
  if (StatOf(path, STDOUT_FILENO)) {
    PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadInput("--output", path));
    PHALANX_ASSIGN_OR_RETURN(earlier, ReadEarlier(path, text));
    if (earlier.kept != text) PHALANX_RETURN_IF_ERROR(Replace(path, earlier.kept));
  }
  constexpr mode_t kMode = 0666;  // less the umask
  const int descriptor = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, kMode);
  if (descriptor < 0)
    return InvalidArgumentError("--output: cannot open '{}': {}", path, std::strerror(errno));
  BatchOutput output(path, descriptor);
  output.answered_ = std::move(earlier.answered);
  return output;
}

BatchOutput::~BatchOutput() {
  if (descriptor_ > STDOUT_FILENO) close(descriptor_);
}

BatchOutput::BatchOutput(BatchOutput&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      answered_(std::move(other.answered_)) {}

Status BatchOutput::Append(const std::string& line) {
  return WriteAll(descriptor_, line + '\n', path_);
}

}  // namespace phalanx
