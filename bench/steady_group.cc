#include "bench/steady_group.h"

#include <chrono>
#include <thread>
#include <utility>

#include "kernels/base/check.h"

namespace phalanx::bench {
namespace {

internal::Register Registration(const SteadyGroupOptions& options) {
  internal::Register registration = testing::FakeEngine::DefaultRegistration(options.vocab_size);
  registration.set_max_model_len(options.max_model_len);
  registration.set_max_num_seqs(options.max_num_seqs);
  return registration;
}

}  // namespace

SteadyGroup::SteadyGroup(const SteadyGroupOptions& options)
    : options_(options),
      engine_(options.socket, Registration(options),
              {.on_submit = [this](const internal::Submit& submit) { OnSubmit(submit); },
               .on_cancel = [this](uint64_t request) { OnCancel(request); }}) {
  PHALANX_CHECK(engine_.WaitForWelcome());
}

void SteadyGroup::OnSubmit(const internal::Submit& submit) {
  if (submit.sampling().max_tokens() == 1) {
    engine_.Send(Token(submit.request(), 0, internal::ENGINE_FINISH_LENGTH));
    return;
  }
  std::lock_guard lock(mu_);
  requests_.push_back(submit.request());
  changed_.notify_all();
}

void SteadyGroup::OnCancel(uint64_t request) {
  std::lock_guard lock(mu_);
  std::erase(requests_, request);
  ++num_cancels_;
  changed_.notify_all();
}

internal::RequestOutput SteadyGroup::Token(uint64_t request, int32_t index,
                                           internal::EngineFinish finish) {
  constexpr int32_t kFirstWord = 300;
  constexpr int32_t kNumWords = 1700;
  const int32_t id = kFirstWord + (index * 7 + static_cast<int32_t>(request)) % kNumWords;
  internal::RequestOutput output = testing::FakeEngine::Output(request, index, {id}, finish);
  for (int k = 0; k < options_.logprobs; ++k) {
    output.mutable_tokens(0)->add_top()->set_token_id(id);
  }
  return output;
}

void SteadyGroup::WaitForRequests(size_t count) {
  std::unique_lock lock(mu_);
  changed_.wait(lock, [&] { return requests_.size() >= count; });
}

void SteadyGroup::WaitForCancels(int64_t count) {
  std::unique_lock lock(mu_);
  changed_.wait(lock, [&] { return num_cancels_ >= count; });
}

void SteadyGroup::Run(int32_t steps, int step_us) {
  std::vector<uint64_t> requests;
  {
    std::lock_guard lock(mu_);
    requests.swap(requests_);
  }
  auto next = std::chrono::steady_clock::now();
  for (int32_t index = 0; index < steps; ++index) {
    internal::StepOutput step;
    step.set_epoch(engine_.epoch());
    const auto finish =
        index + 1 == steps ? internal::ENGINE_FINISH_LENGTH : internal::ENGINE_FINISH_NONE;
    for (const uint64_t request : requests) *step.add_outputs() = Token(request, index, finish);
    engine_.SendStep(step);
    next += std::chrono::microseconds(step_us);
    std::this_thread::sleep_until(next);
  }
}

}  // namespace phalanx::bench
