#include "tests/testing/fake_engine.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <condition_variable>
#include <fstream>
#include <mutex>
#include <thread>
#include <utility>

#include "phalanx/internal/engine.grpc.pb.h"

namespace phalanx::testing {

struct FakeEngine::Impl {
  FakeEngineHandlers handlers;
  grpc::ClientContext context;
  std::unique_ptr<internal::EngineHub::Stub> stub;
  std::unique_ptr<grpc::ClientReaderWriter<internal::EngineEvent, internal::EngineCommand>> stream;
  std::mutex write_mu;
  std::mutex mu;
  std::condition_variable changed;
  uint64_t epoch = 0;
  bool ended = false;
  std::string error;
  std::thread thread;
  bool hushed = false;
  std::thread pulse;

  void Pulse() {
    constexpr std::chrono::milliseconds kPeriod(250);
    internal::EngineEvent event;
    event.mutable_pulse();
    std::unique_lock lock(mu);
    // Nothing may precede the welcome of a channel that may be refused.
    changed.wait(lock, [this] { return hushed || ended || epoch != 0; });
    while (!changed.wait_for(lock, kPeriod, [this] { return hushed || ended; })) {
      lock.unlock();
      Write(event);
      lock.lock();
    }
  }

  void Hush() {
    {
      std::lock_guard lock(mu);
      hushed = true;
      changed.notify_all();
    }
    if (pulse.joinable()) pulse.join();
  }

  void Read() {
    internal::EngineCommand command;
    while (stream->Read(&command)) {
      switch (command.command_case()) {
        case internal::EngineCommand::kWelcome: {
          std::lock_guard lock(mu);
          epoch = command.welcome().epoch();
          changed.notify_all();
          break;
        }
        case internal::EngineCommand::kSubmit:
          handlers.on_submit(command.submit());
          break;
        case internal::EngineCommand::kCancel:
          handlers.on_cancel(command.cancel().request());
          break;
        case internal::EngineCommand::kDrain:
          handlers.on_drain();
          break;
        default:
          break;
      }
    }
    const grpc::Status status = stream->Finish();
    std::lock_guard lock(mu);
    ended = true;
    error = status.error_message();
    changed.notify_all();
  }

  void Write(const internal::EngineEvent& event) {
    std::lock_guard lock(write_mu);
    stream->Write(event);
  }
};

internal::Register FakeEngine::DefaultRegistration(int32_t vocab_size) {
  internal::Register registration;
  registration.set_numerics_id("fake");
  registration.set_version("test");
  registration.set_num_ranks(1);
  registration.set_device("cpu");
  registration.set_isa("none");
  registration.set_max_model_len(2048);
  registration.set_vocab_size(vocab_size);
  registration.set_block_size(16);
  registration.set_num_blocks(4096);
  registration.set_max_num_seqs(64);
  registration.set_max_num_batched_tokens(512);
  registration.set_dtype("float32");
  registration.set_shares_places(true);
  return registration;
}

FakeEngine::FakeEngine(const std::filesystem::path& socket, internal::Register registration,
                       FakeEngineHandlers handlers)
    : impl_(std::make_unique<Impl>()) {
  if (registration.token().empty()) {
    std::ifstream in(socket.string() + ".token");
    std::string token;
    in >> token;
    registration.set_token(token);
  }
  impl_->handlers = std::move(handlers);
  impl_->stub = internal::EngineHub::NewStub(grpc::CreateChannel(
      "unix:" + std::filesystem::absolute(socket).string(), grpc::InsecureChannelCredentials()));
  impl_->stream = impl_->stub->Attach(&impl_->context);
  internal::EngineEvent event;
  *event.mutable_register_() = std::move(registration);
  impl_->stream->Write(event);
  impl_->thread = std::thread([impl = impl_.get()] { impl->Read(); });
  impl_->pulse = std::thread([impl = impl_.get()] { impl->Pulse(); });
}

FakeEngine::~FakeEngine() {
  impl_->context.TryCancel();
  impl_->Hush();
  impl_->thread.join();
}

bool FakeEngine::WaitForWelcome() {
  std::unique_lock lock(impl_->mu);
  impl_->changed.wait(lock, [this] { return impl_->epoch != 0 || impl_->ended; });
  return impl_->epoch != 0;
}

std::string FakeEngine::error() const {
  std::lock_guard lock(impl_->mu);
  return impl_->error;
}

uint64_t FakeEngine::epoch() const {
  std::lock_guard lock(impl_->mu);
  return impl_->epoch;
}

internal::RequestOutput FakeEngine::Output(uint64_t request, int32_t first_index,
                                           const std::vector<int32_t>& tokens,
                                           internal::EngineFinish finish) {
  internal::RequestOutput output;
  output.set_request(request);
  output.set_first_index(first_index);
  for (const int32_t id : tokens) output.add_tokens()->set_token_id(id);
  output.set_finish(finish);
  return output;
}

void FakeEngine::Send(internal::RequestOutput output) {
  internal::StepOutput step;
  step.set_epoch(epoch());
  *step.add_outputs() = std::move(output);
  SendStep(step);
}

void FakeEngine::SendStep(const internal::StepOutput& step) {
  internal::EngineEvent event;
  *event.mutable_step() = step;
  impl_->Write(event);
}

void FakeEngine::SendStats(const internal::EngineStats& stats) {
  internal::EngineEvent event;
  *event.mutable_stats() = stats;
  impl_->Write(event);
}

void FakeEngine::SendFatal(const std::string& message) {
  internal::EngineEvent event;
  event.mutable_fatal()->set_message(message);
  impl_->Write(event);
}

void FakeEngine::SendPulse(const internal::Pulse& pulse) {
  internal::EngineEvent event;
  *event.mutable_pulse() = pulse;
  impl_->Write(event);
}

void FakeEngine::Hush() { impl_->Hush(); }

void FakeEngine::Leave() {
  Hush();
  std::lock_guard lock(impl_->write_mu);
  impl_->stream->WritesDone();
}

}  // namespace phalanx::testing
