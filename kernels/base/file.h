// Reading files that somebody else wrote. What is no regular file is refused, without waiting for a
// pipe's other end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <utility>

#include "kernels/base/status.h"

namespace phalanx {

// An open file. Thread-safe.
class RegularFile {
 public:
  // NOT_FOUND where there is none; INVALID_ARGUMENT for a folder, pipe or device, and where it may
  // not be read. All errors name the path.
  static StatusOr<RegularFile> Open(const std::filesystem::path& path);
  ~RegularFile();
  RegularFile(RegularFile&& other) noexcept
      : path_(std::move(other.path_)),
        fd_(std::exchange(other.fd_, -1)),
        size_bytes_(other.size_bytes_) {}
  RegularFile& operator=(RegularFile&&) = delete;

  const std::string& path() const { return path_; }
  int64_t size_bytes() const { return size_bytes_; }  // when it was opened

  // Fills `out` from byte `offset`. DATA_LOSS where the file cannot be read or has become shorter.
  Status Read(int64_t offset, std::span<std::byte> out) const;

 private:
  RegularFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_ = -1;
  int64_t size_bytes_ = 0;
};

// A whole file; INVALID_ARGUMENT where it has more than `max_bytes`.
StatusOr<std::string> ReadSmallFile(const std::filesystem::path& path, int64_t max_bytes);

}  // namespace phalanx
