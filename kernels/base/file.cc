#include "kernels/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace phalanx {
namespace {

std::string_view KindOf(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  return "a device";
}

}  // namespace

StatusOr<RegularFile> RegularFile::Open(const std::filesystem::path& path) {
  // O_NONBLOCK: opening a pipe would wait for somebody to write into it.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const int error = errno;
    if (error == ENOENT) return NotFoundError("{}: no such file", path.string());
    return InvalidArgumentError("{}: cannot be opened: {}", path.string(), std::strerror(error));
  }
  RegularFile file(path.string(), fd);
  struct stat info {};
  if (fstat(fd, &info) != 0) {
    return InvalidArgumentError("{}: cannot be read: {}", file.path_, std::strerror(errno));
  }
  if (!S_ISREG(info.st_mode)) {
    return InvalidArgumentError("{}: is {}, allowed: a regular file", file.path_,
                                KindOf(info.st_mode));
  }
  file.size_bytes_ = info.st_size;
  return file;
}

RegularFile::~RegularFile() {
  if (fd_ >= 0) close(fd_);
}

Status RegularFile::Read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    const ssize_t got = pread(fd_, out.data(), out.size(), offset);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return DataLossError("{}: cannot be read: {}", path_, std::strerror(errno));
    if (got == 0) {
      return DataLossError("{}: ends at byte {}, {} more expected: it has become shorter", path_,
                           offset, out.size());
    }
    out = out.subspan(static_cast<size_t>(got));
    offset += got;
  }
  return OkStatus();
}

StatusOr<std::string> ReadSmallFile(const std::filesystem::path& path, int64_t max_bytes) {
  PHALANX_ASSIGN_OR_RETURN(const RegularFile file, RegularFile::Open(path));
  if (file.size_bytes() > max_bytes) {
    return InvalidArgumentError("{}: size is {} bytes, allowed: at most {}", file.path(),
                                file.size_bytes(), max_bytes);
  }
  std::string text(static_cast<size_t>(file.size_bytes()), '\0');
  PHALANX_RETURN_IF_ERROR(file.Read(0, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace phalanx
