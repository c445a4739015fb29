#include "tests/worker/fake_coordinator.h"

#include <stdlib.h>

#include <chrono>
#include <fstream>
#include <thread>
#include <utility>

#include "kernels/base/check.h"

namespace phalanx::testing {
namespace {

constexpr std::chrono::seconds kPatience{10};

}  // namespace

FakeCoordinator::FakeCoordinator(Welcome welcome, std::string token)
    : welcome_(welcome), token_(std::move(token)) {
  std::string name = (std::filesystem::temp_directory_path() / "fake.XXXXXX").string();
  PHALANX_CHECK(mkdtemp(name.data()) != nullptr);
  folder_ = name;
}

FakeCoordinator::~FakeCoordinator() {
  if (server_ != nullptr) {
    Close(grpc::Status::OK);
    server_->Shutdown(std::chrono::system_clock::now());
  }
  std::filesystem::remove_all(folder_);
}

void FakeCoordinator::WriteToken(const std::string& token) const {
  std::ofstream(socket() + ".token") << token;
}

void FakeCoordinator::Listen() {
  WriteToken(token_);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.AddListeningPort("unix:" + socket(), grpc::InsecureServerCredentials());
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  PHALANX_CHECK(server_ != nullptr);
}

template <typename Predicate>
void FakeCoordinator::WaitUntil(std::unique_lock<std::mutex>& lock, Predicate predicate) {
  PHALANX_CHECK(changed_.wait_for(lock, kPatience, predicate));
}

grpc::Status FakeCoordinator::Attach(grpc::ServerContext* context, Channel* channel) {
  internal::EngineEvent first;
  if (!channel->Read(&first) || first.register_().token() != token_) {
    return {grpc::StatusCode::UNAUTHENTICATED, "register.token: is not this coordinator's"};
  }
  if (welcome_ == Welcome::kAtOnce) {
    internal::EngineCommand command;
    command.mutable_welcome()->set_epoch(kEpoch);
    channel->Write(command);
  }
  {
    const std::lock_guard lock(mu_);
    registration_ = std::make_unique<internal::Register>(first.register_());
    channel_ = channel;
    context_ = context;
    changed_.notify_all();
  }
  ReadEvents(*channel);
  const std::lock_guard lock(mu_);
  channel_ = nullptr;
  context_ = nullptr;
  ended_ = true;
  changed_.notify_all();
  return closing_ ? closing_status_ : grpc::Status::OK;
}

void FakeCoordinator::ReadEvents(Channel& channel) {
  for (;;) {
    {
      std::unique_lock lock(mu_);
      changed_.wait(lock, [this] { return !paused_ || closing_; });
      if (closing_) return;
    }
    internal::EngineEvent event;
    if (!channel.Read(&event)) return;
    const std::lock_guard lock(mu_);
    events_.push_back(std::move(event));
    changed_.notify_all();
  }
}

bool FakeCoordinator::Send(const internal::EngineCommand& command) {
  std::unique_lock lock(mu_);
  WaitUntil(lock, [this] { return channel_ != nullptr; });
  return channel_->Write(command);
}

internal::Register FakeCoordinator::WaitForRegistration() {
  std::unique_lock lock(mu_);
  WaitUntil(lock, [this] { return registration_ != nullptr; });
  return *registration_;
}

internal::EngineEvent FakeCoordinator::NextEvent() {
  std::unique_lock lock(mu_);
  WaitUntil(lock, [this] { return !events_.empty(); });
  internal::EngineEvent event = std::move(events_.front());
  events_.pop_front();
  return event;
}

internal::EngineEvent FakeCoordinator::NextEvent(internal::EngineEvent::EventCase kind) {
  for (;;) {
    internal::EngineEvent event = NextEvent();
    if (event.event_case() == kind) return event;
  }
}

void FakeCoordinator::Pause() {
  const std::lock_guard lock(mu_);
  paused_ = true;
}

void FakeCoordinator::Resume() {
  const std::lock_guard lock(mu_);
  paused_ = false;
  changed_.notify_all();
}

void FakeCoordinator::Close(const grpc::Status& status) {
  const std::lock_guard lock(mu_);
  closing_ = true;
  closing_status_ = status;
  if (context_ != nullptr && !paused_) context_->TryCancel();
  changed_.notify_all();
}

bool FakeCoordinator::WaitForEnd() {
  std::unique_lock lock(mu_);
  return changed_.wait_for(lock, kPatience, [this] { return ended_; });
}

}  // namespace phalanx::testing
