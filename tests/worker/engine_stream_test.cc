// Rank 0's end of the engine channel against a coordinator that is late, gone, wrong or slow.
#include "worker/engine_stream.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "tests/worker/fake_coordinator.h"

namespace phalanx {
namespace {

using std::chrono::milliseconds;
using testing::FakeCoordinator;
using ::testing::HasSubstr;
using Clock = std::chrono::steady_clock;

internal::Register Registration() {
  internal::Register registration;
  registration.set_num_ranks(3);
  registration.set_pid(99);
  return registration;
}

StatusOr<std::unique_ptr<EngineStream>> Dial(const FakeCoordinator& coordinator,
                                             milliseconds patience = std::chrono::seconds(20)) {
  return EngineStream::Dial({.socket_path = coordinator.socket(), .patience = patience},
                            Registration());
}

std::vector<internal::EngineCommand> TakeAll(EngineStream& stream, size_t count) {
  std::vector<internal::EngineCommand> all;
  while (all.size() < count && !stream.is_closed()) {
    for (auto& command : stream.Take(std::chrono::seconds(10))) all.push_back(std::move(command));
  }
  return all;
}

TEST(EngineStreamTest, RegistersWithTheTokenAndGetsAnEpoch) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kAtOnce);
  coordinator.Listen();
  const auto stream = Dial(coordinator);
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_EQ((*stream)->epoch(), FakeCoordinator::kEpoch);
  const internal::Register registration = coordinator.WaitForRegistration();
  EXPECT_EQ(registration.token(), "secret");
  EXPECT_EQ(registration.num_ranks(), 3);
  EXPECT_EQ(registration.pid(), 99);
}

TEST(EngineStreamTest, WaitsForACoordinatorThatStartsLater) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kAtOnce);
  std::thread late([&coordinator] {
    std::this_thread::sleep_for(milliseconds(300));
    coordinator.Listen();
  });
  const auto stream = Dial(coordinator);
  late.join();
  ASSERT_TRUE(stream.ok()) << stream.status();
}

TEST(EngineStreamTest, SaysWhatItWaitedForInVain) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kNever);
  EXPECT_THAT(Dial(coordinator, milliseconds(100)).status().message(),
              HasSubstr("no coordinator: cannot read " + coordinator.socket() + ".token"));
  coordinator.WriteToken("secret");
  EXPECT_THAT(Dial(coordinator, milliseconds(200)).status().message(),
              HasSubstr("no coordinator listens on " + coordinator.socket()));
  coordinator.Listen();
  const Status status = Dial(coordinator, milliseconds(300)).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("does not answer"));
}

TEST(EngineStreamTest, AWrongTokenIsRefusedWithTheCoordinatorsWords) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kAtOnce);
  coordinator.Listen();
  coordinator.WriteToken("guess");
  const Status status = Dial(coordinator).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_THAT(status.message(), HasSubstr("register.token: is not this coordinator's"));
}

// Each thing that dialing waits for can be left at once.
TEST(EngineStreamTest, AnErrorWhileWaitingEndsTheDialing) {
  for (const auto stage : {0, 1, 2}) {
    SCOPED_TRACE(::testing::Message() << "stage " << stage);
    FakeCoordinator coordinator(FakeCoordinator::Welcome::kNever);
    if (stage == 1) coordinator.WriteToken("secret");
    if (stage == 2) coordinator.Listen();
    DialOptions options{.socket_path = coordinator.socket()};
    const Clock::time_point stop = Clock::now() + milliseconds(200);
    options.while_waiting = [stop] {
      return Clock::now() < stop ? OkStatus() : CancelledError("enough");
    };
    const Status status = EngineStream::Dial(options, Registration()).status();
    EXPECT_EQ(status.message(), "enough");
    EXPECT_LT(Clock::now() - stop, std::chrono::seconds(1));
  }
}

TEST(EngineStreamTest, CommandsComeInOrderAndTheEndBehindThem) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kAtOnce);
  coordinator.Listen();
  const auto stream = Dial(coordinator);
  ASSERT_TRUE(stream.ok()) << stream.status();
  EXPECT_TRUE((*stream)->Take(milliseconds(0)).empty());
  for (uint64_t i = 1; i <= 100; ++i) {
    internal::EngineCommand command;
    command.mutable_cancel()->set_request(i);
    ASSERT_TRUE(coordinator.Send(command));
  }
  const auto commands = TakeAll(**stream, 100);
  ASSERT_EQ(commands.size(), 100U);
  for (uint64_t i = 1; i <= 100; ++i) EXPECT_EQ(commands[i - 1].cancel().request(), i);
  EXPECT_FALSE((*stream)->is_closed());

  coordinator.Close(grpc::Status::OK);
  const Clock::time_point begin = Clock::now();
  EXPECT_TRUE((*stream)->Take(std::chrono::seconds(10)).empty());
  EXPECT_LT(Clock::now() - begin, std::chrono::seconds(5));
  EXPECT_TRUE((*stream)->is_closed());
  internal::EngineEvent event;
  event.mutable_stats();
  // The transport may take a few more messages before it knows.
  Status sent;
  for (int i = 0; i < 1000 && sent.ok(); ++i) sent = (*stream)->Send(event);
  EXPECT_EQ(sent.code(), StatusCode::kUnavailable);
}

TEST(EngineStreamTest, ALongPromptFitsAndAnOversizedFrameEndsTheChannel) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kAtOnce);
  coordinator.Listen();
  const auto stream = Dial(coordinator);
  ASSERT_TRUE(stream.ok()) << stream.status();
  internal::EngineCommand command;
  command.mutable_submit()->set_cache_salt(std::string(size_t{16} << 20, 'x'));
  ASSERT_TRUE(coordinator.Send(command));
  const auto taken = TakeAll(**stream, 1);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].submit().cache_salt().size(), size_t{16} << 20);

  command.mutable_submit()->set_cache_salt(std::string(size_t{65} << 20, 'x'));
  coordinator.Send(command);
  EXPECT_TRUE(TakeAll(**stream, 1).empty());
  EXPECT_TRUE((*stream)->is_closed());
}

TEST(EngineStreamTest, NothingIsLostWhereTheCoordinatorReadsSlowly) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kAtOnce);
  coordinator.Listen();
  const auto stream = Dial(coordinator);
  ASSERT_TRUE(stream.ok()) << stream.status();
  coordinator.WaitForRegistration();
  coordinator.Pause();
  constexpr int kEvents = 200;
  std::atomic<int> num_sent = 0;
  std::thread sender([&] {
    for (int i = 0; i < kEvents; ++i) {
      internal::EngineEvent event;
      internal::RequestOutput& output = *event.mutable_step()->add_outputs();
      output.set_first_index(i);
      output.set_error(std::string(100'000, 'x'));
      EXPECT_TRUE((*stream)->Send(event).ok());
      ++num_sent;
    }
  });
  std::this_thread::sleep_for(milliseconds(500));
  EXPECT_LT(num_sent, kEvents);  // the window is full: the sender waits and buffers nothing more
  coordinator.Resume();
  for (int i = 0; i < kEvents; ++i) {
    EXPECT_EQ(coordinator.NextEvent().step().outputs(0).first_index(), i);
  }
  sender.join();
}

TEST(EngineStreamTest, WhatWasWrittenArrivesBeforeTheEnd) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kAtOnce);
  coordinator.Listen();
  {
    const auto stream = Dial(coordinator);
    ASSERT_TRUE(stream.ok()) << stream.status();
    internal::EngineEvent event;
    event.mutable_fatal()->set_message("the last words");
    ASSERT_TRUE((*stream)->Send(event).ok());
  }
  EXPECT_EQ(coordinator.NextEvent().fatal().message(), "the last words");
  EXPECT_TRUE(coordinator.WaitForEnd());
}

// A peer that takes the connection and cuts it in the middle of a frame.
TEST(EngineStreamTest, ACutConnectionIsNoCoordinator) {
  FakeCoordinator coordinator(FakeCoordinator::Welcome::kNever);
  coordinator.WriteToken("secret");
  const int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_GE(listener, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(coordinator.socket().size(), sizeof(address.sun_path));
  std::strcpy(address.sun_path, coordinator.socket().c_str());
  ASSERT_EQ(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(listener, 8), 0);
  std::atomic<bool> done = false;
  std::thread cutter([&] {
    while (!done) {
      const int peer = accept(listener, nullptr, nullptr);
      if (peer < 0) return;
      // SETTINGS, empty, and then the first half of a DATA frame of 255 bytes.
      constexpr unsigned char kFrames[] = {0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 255, 0, 0, 0, 0, 0};
      EXPECT_EQ(write(peer, kFrames, sizeof(kFrames)), static_cast<ssize_t>(sizeof(kFrames)));
      std::this_thread::sleep_for(milliseconds(20));
      close(peer);
    }
  });
  const Status status = Dial(coordinator, milliseconds(1000)).status();
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  done = true;
  shutdown(listener, SHUT_RDWR);
  cutter.join();
  close(listener);
}

}  // namespace
}  // namespace phalanx
