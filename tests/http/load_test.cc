// Many connections at once, and connections that end anywhere.
#include <dirent.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

using std::chrono::milliseconds;

size_t NumOpenFiles() {
  size_t count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

TEST(Load, ServesAThousandConnections) {
  constexpr size_t kNumConnections = 1000;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < 2 * kNumConnections + 100) {
    GTEST_SKIP() << "open files are limited to " << limit.rlim_cur;
  }
  TestServer server;
  std::vector<RawClient> clients;
  for (size_t i = 0; i < kNumConnections; ++i) clients.push_back(server.Connect());
  for (int round = 0; round < 3; ++round) {
    for (size_t i = 0; i < kNumConnections; ++i) {
      ASSERT_TRUE(clients[i].Write(Post("/echo", std::to_string(i))));
    }
    for (size_t i = 0; i < kNumConnections; ++i) {
      ASSERT_EQ(clients[i].ReadResponse().body, std::to_string(i));
    }
  }
  EXPECT_EQ(server.server().num_connections(), kNumConnections);
}

TEST(Load, LeavesNothingOfConnectionsThatAreCutAnywhere) {
  TestServer server;
  EXPECT_EQ(server.Ask(Get("/bytes?1")).status, 200);
  ASSERT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
  const size_t files_before = NumOpenFiles();
  std::mt19937 random(7);
  const std::vector<std::string> requests = {Get("/stream?1000"),
                                             Get("/bytes?100000"),
                                             Get("/flood"),
                                             Post("/echo", std::string(5000, 'x')),
                                             Get("/bytes?1") + Get("/stream?5") + Get("/bytes?2"),
                                             "GET / HTTP/1.1\r\nHost : a\r\n\r\n"};
  for (int i = 0; i < 2000; ++i) {
    RawClient client = server.Connect();
    ASSERT_TRUE(client.connected());
    const std::string& request = requests[random() % requests.size()];
    const bool whole = random() % 2 == 0;
    client.Write(whole ? std::string_view(request)
                       : std::string_view(request).substr(0, random() % request.size()));
    if (whole && random() % 2 == 0) client.ReadSome(1 + random() % 2000);
    if (random() % 2 == 0) client.Reset();
  }
  // A neighbour is served as ever.
  EXPECT_EQ(server.Ask(Get("/stream?3")).body, "0\n1\n2\n");
  EXPECT_TRUE(Eventually([&] { return NumOpenFiles() == files_before; })) << NumOpenFiles();
  // A connection is counted until its owners have heard of its end, a moment after its file is
  // shut.
  EXPECT_TRUE(Eventually([&] { return server.server().num_connections() == 0; }));
}

TEST(Load, SurvivesRunningOutOfDescriptors) {
  TestServer server;
  EXPECT_EQ(server.Ask(Get("/bytes?1")).status, 200);
  rlimit before{};
  ::getrlimit(RLIMIT_NOFILE, &before);
  const rlimit few{.rlim_cur = NumOpenFiles() + 20, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  // Client sockets use them up; the kernel completes connections that nobody accepts.
  std::vector<RawClient> clients;
  while (clients.empty() || clients.back().connected()) clients.push_back(server.Connect());
  rusage usage_before{};
  ::getrusage(RUSAGE_SELF, &usage_before);
  std::this_thread::sleep_for(milliseconds(300));
  rusage usage_after{};
  ::getrusage(RUSAGE_SELF, &usage_after);
  const auto cpu_us = [](const rusage& usage) {
    return usage.ru_utime.tv_sec * 1'000'000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_sec * 1'000'000 + usage.ru_stime.tv_usec;
  };
  EXPECT_LT(cpu_us(usage_after) - cpu_us(usage_before), 100'000) << "it must not spin";
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  clients.pop_back();
  for (RawClient& client : clients) {
    client.Write(Get("/bytes?1"));
    EXPECT_EQ(client.ReadResponse().body, "x");
  }
}

}  // namespace
}  // namespace phalanx::http::testing
