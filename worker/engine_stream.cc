#include "worker/engine_stream.h"

#include <fstream>
#include <utility>

namespace phalanx {
namespace {

// A Submit holds a whole prompt; ids take at most 5 bytes each.
constexpr int kMaxCommandBytes = 64 << 20;

using Clock = std::chrono::steady_clock;

// The token file is written before the socket is bound, so it may be absent for a moment.
StatusOr<std::string> ReadToken(const std::string& path, Clock::time_point deadline) {
  for (;;) {
    std::ifstream file(path);
    std::string token;
    if (file >> token) return token;
    if (Clock::now() >= deadline) {
      return UnavailableError("--engine: no coordinator: cannot read {}", path);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

}  // namespace

StatusOr<std::unique_ptr<EngineStream>> EngineStream::Dial(const DialOptions& options,
                                                           internal::Register registration) {
  const Clock::time_point deadline = Clock::now() + options.patience;
  PHALANX_ASSIGN_OR_RETURN(*registration.mutable_token(),
                           ReadToken(options.socket_path + ".token", deadline));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxCommandBytes);
  arguments.SetMaxSendMessageSize(kMaxCommandBytes);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
      "unix:" + options.socket_path, grpc::InsecureChannelCredentials(), arguments);
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
  if (!channel->WaitForConnected(std::chrono::system_clock::now() + left)) {
    return UnavailableError("--engine: no coordinator listens on {}", options.socket_path);
  }
  std::unique_ptr<EngineStream> self(new EngineStream());
  self->stub_ = internal::EngineHub::NewStub(channel);
  self->stream_ = self->stub_->Attach(&self->context_);
  PHALANX_RETURN_IF_ERROR(self->Register(std::move(registration)));
  self->reader_ = std::thread([stream = self.get()] { stream->Read(); });
  return self;
}

Status EngineStream::Register(internal::Register registration) {
  internal::EngineEvent event;
  *event.mutable_register_() = std::move(registration);
  internal::EngineCommand command;
  if (stream_->Write(event) && stream_->Read(&command) && command.has_welcome()) {
    epoch_ = command.welcome().epoch();
    return OkStatus();
  }
  context_.TryCancel();
  const grpc::Status refusal = stream_->Finish();
  stream_.reset();
  return Status(
      StatusCode::kUnavailable,
      fmt::format("the coordinator refused this worker group: {}", refusal.error_message()));
}

EngineStream::~EngineStream() {
  if (stream_ == nullptr) return;
  // The other side reads what was written before it sees the end.
  stream_->WritesDone();
  std::unique_lock lock(mu_);
  arrived_.wait_for(lock, std::chrono::seconds(1), [this] { return closed_; });
  lock.unlock();
  context_.TryCancel();
  if (reader_.joinable()) reader_.join();
  stream_->Finish();
}

void EngineStream::Read() {
  internal::EngineCommand command;
  while (stream_->Read(&command)) {
    std::lock_guard lock(mu_);
    commands_.push_back(std::move(command));
    arrived_.notify_one();
  }
  std::lock_guard lock(mu_);
  closed_ = true;
  arrived_.notify_one();
}

std::vector<internal::EngineCommand> EngineStream::Take(std::chrono::nanoseconds patience) {
  std::unique_lock lock(mu_);
  if (patience.count() > 0) {
    arrived_.wait_for(lock, patience, [this] { return closed_ || !commands_.empty(); });
  }
  return std::exchange(commands_, {});
}

bool EngineStream::is_closed() const {
  std::lock_guard lock(mu_);
  return closed_ && commands_.empty();
}

Status EngineStream::Send(const internal::EngineEvent& event) {
  if (stream_->Write(event)) return OkStatus();
  return UnavailableError("the coordinator closed the engine channel");
}

}  // namespace phalanx
