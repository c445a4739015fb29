#include "client/key.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <span>
#include <sstream>

#include "client/terminal.h"

namespace phalanx {
namespace {

struct KeyFlags {
  std::string id;
  std::string expires;
  int32_t streams = 0;
  bool metrics = false;
  std::string file;
};

std::string Hex(std::span<const unsigned char> bytes) {
  std::string hex;
  for (const unsigned char byte : bytes) hex += fmt::format("{:02x}", byte);
  return hex;
}

// What the file holds before a new line: "\n" is missing where somebody's editor left its last line
// open. FAILED_PRECONDITION: the id is there already, which the server would refuse.
StatusOr<std::string> Separator(const std::string& file, const std::string& id) {
  std::ifstream in(file);
  std::string last;
  for (std::string line; std::getline(in, line); last = line) {
    std::string first;
    std::istringstream(line) >> first;
    if (first == id) {
      return FailedPreconditionError("{}: has a key of {} already; take its line out first", file,
                                     id);
    }
    if (in.eof()) return "\n";
  }
  return "";
}

// Appends in one write, so that a server that reads the file meanwhile never sees half a line.
Status Append(const std::string& file, const std::string& line) {
  const auto failed = [&] {
    return FailedPreconditionError("{}: cannot be written: {}", file, std::strerror(errno));
  };
  const int fd = open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return failed();
  Status status;
  struct stat state {};
  if (fstat(fd, &state) != 0) {
    status = failed();
  } else if ((state.st_mode & 0077) != 0) {
    status =
        FailedPreconditionError("{}: has mode {:04o}, allowed: 0600", file, state.st_mode & 0777);
  } else if (write(fd, line.data(), line.size()) != static_cast<ssize_t>(line.size())) {
    status = failed();
  }
  close(fd);
  return status;
}

int RunKey(const KeyFlags& flags) {
  std::array<unsigned char, 32> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    return ReportError(InternalError("the system gives no random numbers"));
  }
  const std::string key = "phx-" + Hex(random);
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  std::string line = fmt::format("{} {}", flags.id, Hex(digest));
  if (!flags.expires.empty()) line += " expires=" + flags.expires;
  if (flags.streams > 0) line += fmt::format(" streams={}", flags.streams);
  if (flags.metrics) line += " metrics";
  if (flags.file.empty()) {
    Print(fmt::format("key:  {}\nline: {}\n", key, line));
    return kExitOk;
  }
  const StatusOr<std::string> separator = Separator(flags.file, flags.id);
  if (!separator.ok()) return ReportError(separator.status());
  const Status status = Append(flags.file, *separator + line + '\n');
  if (!status.ok()) return ReportError(status);
  Print(key + '\n');
  return kExitOk;
}

// The server refuses the same; here the mistake is still cheap.
std::string CheckId(const std::string& id) {
  constexpr char kAllowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_";
  constexpr size_t kMaxBytes = 64;
  const bool fits =
      !id.empty() && id.size() <= kMaxBytes && id.find_first_not_of(kAllowed) == std::string::npos;
  return fits ? "" : "is no id, allowed: 1 to 64 of A-Z a-z 0-9 . - _";
}

std::string CheckDay(const std::string& day) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  bool is_day = day.size() == 10;
  for (size_t i = 0; is_day && i < day.size(); ++i) {
    is_day = i == 4 || i == 7 ? day[i] == '-' : is_digit(day[i]);
  }
  if (is_day) {
    is_day =
        std::chrono::year_month_day{
            std::chrono::year(std::stoi(day.substr(0, 4))),
            std::chrono::month(static_cast<unsigned>(std::stoi(day.substr(5, 2)))),
            std::chrono::day(static_cast<unsigned>(std::stoi(day.substr(8, 2))))}
            .ok();
  }
  return is_day ? "" : "is no day, allowed: YYYY-MM-DD";
}

}  // namespace

void AddKey(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<KeyFlags>();
  CLI::App& sub = *app.add_subcommand(
      "key", "Make an API key and its line for the coordinator's --api-key-file, offline");
  sub.add_option("id", flags->id, "whose key it is; it stands in the server's log")
      ->required()
      ->check(CheckId);
  sub.add_option("--expires", flags->expires, "the first day, UTC, on which it is not taken")
      ->check(CheckDay);
  sub.add_option("--streams", flags->streams, "how many it may have at once")
      ->check(CLI::Range(1, 1 << 20));
  sub.add_flag("--metrics", flags->metrics,
               "it may read metrics, which count everybody's requests");
  sub.add_option(
      "--add", flags->file,
      "append the line to this file, which is made if it is not there, and print the key "
      "alone");
  sub.callback([flags, &command] { command = [flags] { return RunKey(*flags); }; });
}

}  // namespace phalanx
