#include "worker/engine_stream.h"

#include <fstream>
#include <utility>

namespace phalanx {
namespace {

// A Submit holds a whole prompt; ids take at most 5 bytes each.
constexpr int kMaxCommandBytes = 64 << 20;

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{50};  // between two looks at what is waited for

// The token file is written before the socket is bound, so it may be absent for a moment.
StatusOr<std::string> ReadToken(const DialOptions& options, Clock::time_point deadline) {
  const std::string path = options.socket_path + ".token";
  for (;;) {
    std::ifstream file(path);
    std::string token;
    if (file >> token) return token;
    if (Clock::now() >= deadline) {
      return UnavailableError("--engine: no coordinator: cannot read {}", path);
    }
    PHALANX_RETURN_IF_ERROR(options.while_waiting());
    std::this_thread::sleep_for(kLook);
  }
}

Status Connect(const DialOptions& options, Clock::time_point deadline, grpc::Channel& channel) {
  while (!channel.WaitForConnected(std::chrono::system_clock::now() + kLook)) {
    if (Clock::now() >= deadline) {
      return UnavailableError("--engine: no coordinator listens on {}", options.socket_path);
    }
    PHALANX_RETURN_IF_ERROR(options.while_waiting());
  }
  return OkStatus();
}

}  // namespace

StatusOr<std::unique_ptr<EngineStream>> EngineStream::Dial(const DialOptions& options,
                                                           internal::Register registration) {
  const Clock::time_point deadline = Clock::now() + options.patience;
  PHALANX_ASSIGN_OR_RETURN(*registration.mutable_token(), ReadToken(options, deadline));
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxCommandBytes);
  arguments.SetMaxSendMessageSize(kMaxCommandBytes);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  const std::shared_ptr<grpc::Channel> channel = grpc::CreateCustomChannel(
      "unix:" + options.socket_path, grpc::InsecureChannelCredentials(), arguments);
  PHALANX_RETURN_IF_ERROR(Connect(options, deadline, *channel));
  std::unique_ptr<EngineStream> self(new EngineStream());
  self->stub_ = internal::EngineHub::NewStub(channel);
  self->stream_ = self->stub_->Attach(&self->context_);
  self->reader_ = std::thread([stream = self.get()] { stream->Read(); });
  PHALANX_RETURN_IF_ERROR(self->Register(options, deadline, std::move(registration)));
  return self;
}

// The reader takes the answer, so that a coordinator that does not answer can be waited for with
// open eyes.
Status EngineStream::Register(const DialOptions& options, Clock::time_point deadline,
                              internal::Register registration) {
  internal::EngineEvent event;
  *event.mutable_register_() = std::move(registration);
  stream_->Write(event);  // a refusal says more than a failed write
  std::unique_lock lock(mu_);
  const auto has_answer = [this] { return closed_ || !commands_.empty(); };
  while (!arrived_.wait_for(lock, kLook, has_answer)) {
    Status status = Clock::now() >= deadline
                        ? UnavailableError("--engine: the coordinator on {} does not answer",
                                           options.socket_path)
                        : options.while_waiting();
    if (!status.ok()) {
      context_.TryCancel();
      return status;
    }
  }
  if (!commands_.empty() && commands_.front().has_welcome()) {
    epoch_ = commands_.front().welcome().epoch();
    commands_.erase(commands_.begin());
    return OkStatus();
  }
  context_.TryCancel();
  arrived_.wait(lock, [this] { return closed_; });
  return UnavailableError("the coordinator refused this worker group: {}",
                          final_status_.error_message());
}

EngineStream::~EngineStream() {
  if (stream_ == nullptr) return;
  // The other side reads what was written before it sees the end.
  stream_->WritesDone();
  {
    std::unique_lock lock(mu_);
    arrived_.wait_for(lock, std::chrono::seconds(1), [this] { return closed_; });
  }
  context_.TryCancel();
  reader_.join();
}

void EngineStream::Read() {
  internal::EngineCommand command;
  while (stream_->Read(&command)) {
    std::lock_guard lock(mu_);
    commands_.push_back(std::move(command));
    arrived_.notify_one();
  }
  grpc::Status status = stream_->Finish();
  std::lock_guard lock(mu_);
  final_status_ = std::move(status);
  closed_ = true;
  arrived_.notify_one();
}

std::vector<internal::EngineCommand> EngineStream::Take(std::chrono::nanoseconds patience) {
  std::unique_lock lock(mu_);
  if (patience.count() > 0) {
    arrived_.wait_for(lock, patience, [this] { return closed_ || woken_ || !commands_.empty(); });
  }
  woken_ = false;
  return std::exchange(commands_, {});
}

void EngineStream::Wake() {
  std::lock_guard lock(mu_);
  woken_ = true;
  arrived_.notify_one();
}

bool EngineStream::is_closed() const {
  std::lock_guard lock(mu_);
  return closed_ && commands_.empty();
}

Status EngineStream::Send(const internal::EngineEvent& event) {
  const std::lock_guard lock(write_mu_);
  if (stream_->Write(event)) return OkStatus();
  return UnavailableError("the coordinator closed the engine channel");
}

}  // namespace phalanx
