#include "coordinator/grpc/engine_hub.h"

#include <grpcpp/support/server_callback.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>

#include "coordinator/core/engine_session.h"
#include "coordinator/core/printable.h"
#include "coordinator/grpc/wire.h"
#include "phalanx/internal/engine.grpc.pb.h"

namespace phalanx {
namespace {

// Takes the same time whatever the first difference is.
bool EqualInConstantTime(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  volatile unsigned char difference = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[i]));
  }
  return difference == 0;
}

// One channel. Lives until gRPC is done with it and the front has let go of the session.
class EngineChannel final
    : public grpc::ServerBidiReactor<internal::EngineEvent, internal::EngineCommand>,
      public EngineSession,
      public std::enable_shared_from_this<EngineChannel> {
 public:
  using OnAttach = std::function<void(int64_t pid, std::weak_ptr<EngineChannel>)>;

  // `on_attach` runs once, where the group is registered.
  EngineChannel(Dispatcher& dispatcher, const std::string& token, OnAttach on_attach)
      : dispatcher_(dispatcher), token_(token), on_attach_(std::move(on_attach)) {}

  void Start() {
    self_ = shared_from_this();
    StartRead(&event_);
  }

  // EngineSession.
  void Submit(internal::Submit submit) override {
    internal::EngineCommand command;
    *command.mutable_submit() = std::move(submit);
    Send(std::move(command));
  }
  void Cancel(uint64_t request) override {
    internal::EngineCommand command;
    command.mutable_cancel()->set_request(request);
    Send(std::move(command));
  }
  void Drain() override {
    internal::EngineCommand command;
    command.mutable_drain();
    Send(std::move(command));
  }
  const internal::Register& info() const override { return info_; }

  // Reactor.
  void OnReadDone(bool ok) override {
    if (!ok) {
      End(Closed(), grpc::Status::OK);
      return;
    }
    const Status status = Handle();
    if (!status.ok()) {
      spdlog::warn("engine channel refused: {}", status.ToString());
      End(status.message(), ToGrpc(status));
      return;
    }
    StartRead(&event_);
  }

  void OnWriteDone(bool ok) override {
    std::unique_lock lock(mu_);
    commands_.pop_front();
    writing_ = false;
    if (!ok) commands_.clear();
    Pump(lock);
  }

  // Another rank of this channel's group saw the group break; the reason is the first one.
  void Lose(std::string_view reason) { dispatcher_.Detach(*this, reason); }

  void OnCancel() override { dispatcher_.Detach(*this, Closed()); }

  void OnDone() override {
    dispatcher_.Detach(*this, Closed());
    const std::shared_ptr<EngineChannel> self = std::move(self_);
  }

 private:
  std::string Closed() const {
    return fmt::format("rank 0 (pid {}) is gone: it closed the engine channel and gave no reason",
                       pid_.load());
  }

  Status Handle() {
    if (!attached_) return Register();
    switch (event_.event_case()) {
      case internal::EngineEvent::kStep:
        dispatcher_.OnStep(*this, event_.step());
        return OkStatus();
      case internal::EngineEvent::kStats:
        dispatcher_.OnStats(*this, event_.stats());
        return OkStatus();
      case internal::EngineEvent::kPulse:
        dispatcher_.OnPulse(*this, event_.pulse());
        return OkStatus();
      case internal::EngineEvent::kFatal:
        // The first error is the one that explains the rest, so it is the reason that is kept.
        dispatcher_.Detach(*this, event_.fatal().message());
        return OkStatus();
      default:
        return InvalidArgumentError(
            "the worker sent event {}, allowed: step, stats, pulse or fatal",
            static_cast<int>(event_.event_case()));
    }
  }

  Status Register() {
    if (!event_.has_register_()) {
      return UnauthenticatedError("the first event is no registration");
    }
    if (!EqualInConstantTime(event_.register_().token(), token_)) {
      return UnauthenticatedError("register.token: is not this coordinator's");
    }
    info_ = event_.register_();
    info_.clear_token();
    pid_ = info_.pid();
    // Held back until the welcome is first in the queue, so that no command precedes it.
    {
      std::lock_guard lock(mu_);
      writing_ = true;
    }
    const StatusOr<uint64_t> epoch = dispatcher_.Attach(shared_from_this());
    std::unique_lock lock(mu_);
    writing_ = false;
    if (!epoch.ok()) {
      commands_.clear();
      return epoch.status();
    }
    attached_ = true;
    on_attach_(info_.pid(), weak_from_this());
    internal::EngineCommand welcome;
    welcome.mutable_welcome()->set_epoch(*epoch);
    commands_.push_front(std::move(welcome));
    Pump(lock);
    return OkStatus();
  }

  void Send(internal::EngineCommand command) {
    std::unique_lock lock(mu_);
    if (ending_) return;
    commands_.push_back(std::move(command));
    Pump(lock);
  }

  void End(std::string_view reason, grpc::Status status) {
    dispatcher_.Detach(*this, reason);
    std::unique_lock lock(mu_);
    ending_ = true;
    final_status_ = std::move(status);
    Pump(lock);
  }

  // Starts the next write, or the finish once no write is under way. gRPC is called unlocked.
  void Pump(std::unique_lock<std::mutex>& lock) {
    if (writing_ || finished_) return;
    if (ending_) {
      finished_ = true;
      lock.unlock();
      Finish(final_status_);
    } else if (!commands_.empty()) {
      writing_ = true;
      const internal::EngineCommand* command = &commands_.front();
      lock.unlock();
      StartWrite(command);
    }
  }

  Dispatcher& dispatcher_;
  const std::string& token_;
  const OnAttach on_attach_;
  std::shared_ptr<EngineChannel> self_;
  internal::EngineEvent event_;
  internal::Register info_;
  std::atomic<int64_t> pid_ = 0;  // 0: not registered; the end may come while that is under way
  bool attached_ = false;         // touched by reads only

  std::mutex mu_;
  std::deque<internal::EngineCommand> commands_;  // the first one is being written while writing_
  bool writing_ = false;
  bool ending_ = false;
  bool finished_ = false;
  grpc::Status final_status_;
};

class EngineHub final : public internal::EngineHub::CallbackService {
 public:
  EngineHub(Dispatcher& dispatcher, std::string token)
      : dispatcher_(dispatcher), token_(std::move(token)) {}

  grpc::ServerBidiReactor<internal::EngineEvent, internal::EngineCommand>* Attach(
      grpc::CallbackServerContext*) override {
    const auto channel = std::make_shared<EngineChannel>(
        dispatcher_, token_, [this](int64_t pid, std::weak_ptr<EngineChannel> attached) {
          const std::lock_guard lock(mu_);
          attached_pid_ = pid;
          attached_ = std::move(attached);
        });
    channel->Start();
    return channel.get();
  }

  grpc::ServerUnaryReactor* ReportLoss(grpc::CallbackServerContext* context,
                                       const internal::GroupLoss* loss,
                                       internal::GroupLossAck*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    if (!EqualInConstantTime(loss->token(), token_)) {
      reactor->Finish(ToGrpc(UnauthenticatedError("loss.token: is not this coordinator's")));
      return reactor;
    }
    if (const std::shared_ptr<EngineChannel> channel = Find(loss->pid())) {
      channel->Lose(loss->reason());
    }
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  std::shared_ptr<EngineChannel> Find(int64_t pid) {
    const std::lock_guard lock(mu_);
    return pid == attached_pid_ ? attached_.lock() : nullptr;
  }

  Dispatcher& dispatcher_;
  const std::string token_;
  std::mutex mu_;  // guards the group that attached last; the front takes one at a time
  int64_t attached_pid_ = 0;
  std::weak_ptr<EngineChannel> attached_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeEngineHub(Dispatcher& dispatcher, std::string token) {
  return std::make_unique<EngineHub>(dispatcher, std::move(token));
}

}  // namespace phalanx
