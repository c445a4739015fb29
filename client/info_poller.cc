#include "client/info_poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include "kernels/base/check.h"

namespace phalanx {

TopSample AskForInfo(v1::Inference::StubInterface& stub, const ConnectionFlags& flags,
                     grpc::ClientContext& context) {
  constexpr double kPatienceSeconds = 3;
  ConnectionFlags bounded = flags;
  if (bounded.timeout_seconds <= 0) bounded.timeout_seconds = kPatienceSeconds;
  Prepare(context, bounded);
  TopSample sample;
  sample.status = FromGrpc(stub.GetServerInfo(&context, {}, &sample.info));
  sample.time = std::chrono::steady_clock::now();
  return sample;
}

InfoPoller::InfoPoller(const ConnectionFlags& flags, std::chrono::milliseconds interval)
    : flags_(flags),
      interval_(interval),
      stub_(Connect(flags)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      thread_([this] { Run(); }) {
  PHALANX_CHECK_GE(wake_, 0);
}

InfoPoller::~InfoPoller() {
  {
    const std::lock_guard lock(mu_);
    stopping_ = true;
    if (call_ != nullptr) call_->TryCancel();
    changed_.notify_all();
  }
  thread_.join();
  close(wake_);
}

std::deque<TopSample> InfoPoller::Take() {
  uint64_t count = 0;
  (void)!read(wake_, &count, sizeof(count));
  const std::lock_guard lock(mu_);
  return std::exchange(samples_, {});
}

void InfoPoller::Run() {
  auto next = std::chrono::steady_clock::now();
  std::unique_lock lock(mu_);
  while (!stopping_) {
    grpc::ClientContext context;
    call_ = &context;
    lock.unlock();
    TopSample sample = AskForInfo(*stub_, flags_, context);
    lock.lock();
    call_ = nullptr;
    samples_.push_back(std::move(sample));
    const uint64_t one = 1;
    (void)!write(wake_, &one, sizeof(one));
    next = std::max(next + interval_, std::chrono::steady_clock::now());
    changed_.wait_until(lock, next, [this] { return stopping_; });
  }
}

}  // namespace phalanx
