#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/http/test_server.h"

namespace phalanx::http::testing {
namespace {

std::string TemporaryPath(const std::string& name) {
  return (std::filesystem::temp_directory_path() / (name + std::to_string(::getpid()))).string();
}

Status StartError(ServerOptions options) {
  const auto server = Server::Start(std::move(options), std::make_shared<TestHandler>());
  return server.ok() ? OkStatus() : server.status();
}

TEST(Listen, NamesTheAddressThatIsInUse) {
  TestServer server;
  const Status status = StartError({.port = server.port()});
  EXPECT_EQ(status.code(), StatusCode::kUnavailable);
  EXPECT_NE(status.message().find("127.0.0.1:" + std::to_string(server.port())), std::string::npos)
      << status;
}

TEST(Listen, RefusesWhatItCannotListenOn) {
  EXPECT_EQ(StartError({.host = "192.0.2.1", .port = 0}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StartError({.host = "no such host", .port = 0}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StartError({.port = 65'536}).message(), "HTTP port: is 65536, allowed: 0..65535");
  EXPECT_EQ(StartError({.port = 0, .num_threads = 0}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StartError({.port = 0, .max_connections = 0}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StartError({.host = ""}).code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(StartError({.host = "", .unix_socket = std::string(200, 'a')}).code(),
            StatusCode::kInvalidArgument);
}

TEST(Listen, ServesUnixSocketsBesideTcp) {
  const std::string path = TemporaryPath("phalanx-http-");
  {
    TestServer server({.unix_socket = path});
    RawClient client(path);
    ASSERT_TRUE(client.connected());
    client.Write(Get("/hold"));
    const std::shared_ptr<Exchange> exchange = server.handler().TakeHeld();
    EXPECT_EQ(exchange->request().peer, "unix");
    exchange->Send({.body = "local"});
    EXPECT_EQ(client.ReadResponse().body, "local");
    EXPECT_EQ(server.Ask(Get("/bytes?1")).body, "x");
    EXPECT_EQ(StartError({.host = "", .unix_socket = path}).code(), StatusCode::kUnavailable);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(Listen, TakesOverADeadServersUnixSocketAndNothingElse) {
  const std::string path = TemporaryPath("phalanx-http-dead-");
  const std::string kept = path + ".kept";
  {
    TestServer dead({.unix_socket = path});
    std::filesystem::rename(path, kept);
  }
  std::filesystem::rename(kept, path);
  { EXPECT_TRUE(StartError({.host = "", .unix_socket = path}).ok()); }
  std::ofstream(path) << "a file";
  EXPECT_EQ(StartError({.host = "", .unix_socket = path}).code(), StatusCode::kUnavailable);
  EXPECT_TRUE(std::filesystem::exists(path));
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace phalanx::http::testing
