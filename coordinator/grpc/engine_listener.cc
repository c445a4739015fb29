#include "coordinator/grpc/engine_listener.h"

#include <fcntl.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

#include "coordinator/core/printable.h"
#include "coordinator/grpc/engine_hub.h"

namespace phalanx {
namespace {

namespace fs = std::filesystem;

// A group's registration, events of a step, prompt log-probabilities of a long prompt.
constexpr int kMaxEventBytes = 64 << 20;

Status Errno(std::string_view what, const fs::path& path) {
  return FailedPreconditionError("--engine: {} {}: {}", what, path.string(), std::strerror(errno));
}

Status PrepareFolder(const fs::path& folder) {
  if (mkdir(folder.c_str(), S_IRWXU) != 0 && errno != EEXIST) {
    return Errno("cannot make the folder", folder);
  }
  struct stat info {};
  if (lstat(folder.c_str(), &info) != 0) return Errno("cannot inspect the folder", folder);
  constexpr mode_t kOthers = S_IRWXG | S_IRWXO;
  if (!S_ISDIR(info.st_mode) || info.st_uid != geteuid() || (info.st_mode & kOthers) != 0) {
    return FailedPreconditionError(
        "--engine: the folder {} has mode {:04o} and owner {}, allowed: a folder of mode 0700 "
        "owned "
        "by {}",
        folder.string(), info.st_mode & 07777U, info.st_uid, geteuid());
  }
  return OkStatus();
}

StatusOr<std::string> WriteToken(const fs::path& file) {
  std::array<unsigned char, 32> random{};
  if (getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
    return Errno("cannot draw a token for", file);
  }
  std::string token;
  for (const unsigned char byte : random) token += fmt::format("{:02x}", byte);
  unlink(file.c_str());
  const int fd =
      open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (fd < 0) return Errno("cannot create", file);
  const bool written = write(fd, token.data(), token.size()) == static_cast<ssize_t>(token.size());
  close(fd);
  if (!written) return Errno("cannot write", file);
  return token;
}

StatusOr<int> Listen(const fs::path& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string name = path.string();
  if (name.size() >= sizeof(address.sun_path)) {
    return InvalidArgumentError("--engine: is {} bytes long, allowed: at most {}", name.size(),
                                sizeof(address.sun_path) - 1);
  }
  std::memcpy(address.sun_path, name.data(), name.size());
  const auto* raw = reinterpret_cast<const sockaddr*>(&address);
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return Errno("cannot make a socket for", path);
  // A socket that somebody answers on is in use; one that nobody does is left over.
  if (connect(fd, raw, sizeof(address)) == 0) {
    close(fd);
    return FailedPreconditionError("--engine: {} is in use by another coordinator", name);
  }
  unlink(name.c_str());
  constexpr int kBacklog = 16;
  if (bind(fd, raw, sizeof(address)) != 0 || chmod(name.c_str(), S_IRUSR | S_IWUSR) != 0 ||
      listen(fd, kBacklog) != 0) {
    const Status status = Errno("cannot listen on", path);
    close(fd);
    return status;
  }
  return fd;
}

}  // namespace

fs::path DefaultEngineSocket() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): read before any thread starts
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  const fs::path folder = runtime != nullptr && *runtime != '\0'
                              ? fs::path(runtime) / "phalanx"
                              : fs::path(fmt::format("/tmp/phalanx-{}", geteuid()));
  return folder / "engine.sock";
}

StatusOr<std::unique_ptr<EngineListener>> EngineListener::Start(const fs::path& socket,
                                                                Dispatcher& dispatcher) {
  const fs::path absolute = fs::absolute(socket);
  PHALANX_RETURN_IF_ERROR(PrepareFolder(absolute.parent_path()));
  PHALANX_ASSIGN_OR_RETURN(const int listen_fd, Listen(absolute));
  std::unique_ptr<EngineListener> listener(new EngineListener());
  listener->listen_fd_ = listen_fd;
  listener->socket_ = absolute;
  listener->token_file_ = absolute.string() + ".token";
  PHALANX_ASSIGN_OR_RETURN(std::string token, WriteToken(listener->token_file_));

  listener->hub_ = MakeEngineHub(dispatcher, std::move(token));
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMaxEventBytes);
  builder.RegisterService(listener->hub_.get());
  listener->server_ = builder.BuildAndStart();
  if (listener->server_ == nullptr) return InternalError("cannot start the engine server");
  listener->wake_fd_ = eventfd(0, EFD_CLOEXEC);
  listener->thread_ = std::thread([raw = listener.get()] { raw->Accept(); });
  return listener;
}

EngineListener::~EngineListener() {
  if (thread_.joinable()) {
    const uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
    thread_.join();
  }
  if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  for (const int fd : {listen_fd_, wake_fd_}) {
    if (fd >= 0) close(fd);
  }
  unlink(socket_.c_str());
  unlink(token_file_.c_str());
}

void EngineListener::Accept() {
  std::array<pollfd, 2> waits = {pollfd{listen_fd_, POLLIN, 0}, pollfd{wake_fd_, POLLIN, 0}};
  while (true) {
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    if ((waits[1].revents & POLLIN) != 0) return;
    const int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      constexpr int kPauseMs = 100;  // out of descriptors: whoever waits stays in the queue
      if (errno == EMFILE || errno == ENFILE) poll(&waits[1], 1, kPauseMs);
      continue;
    }
    ucred peer{};
    socklen_t size = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.uid != geteuid()) {
      spdlog::warn("engine socket: refused a peer of user {}, allowed: {}", peer.uid, geteuid());
      close(fd);
      continue;
    }
    grpc::AddInsecureChannelFromFd(server_.get(), fd);
  }
}

}  // namespace phalanx
