#include "coordinator/grpc/public_server.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "coordinator/core/bind_address.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

// Errno of a connection to that port of ::1; 0 where somebody listens.
int ErrorOverIpv6(int port) {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return errno;
  sockaddr_in6 address{};
  address.sin6_family = AF_INET6;
  address.sin6_addr = in6addr_loopback;
  address.sin6_port = htons(static_cast<uint16_t>(port));
  const int result = connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = result == 0 ? 0 : errno;
  close(fd);
  return error;
}

TEST(PublicServerTest, OpensNoAddressOfIpv6WhereIpv4IsAskedFor) {
  testing::TestService service;
  TaskQueue queue(16);
  auto server = PublicServer::Start({.host = "0.0.0.0", .port = 0}, service.frontend(), queue);
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string& address = (*server)->address();
  ASSERT_TRUE(address.starts_with("0.0.0.0:")) << address;
  const std::string port = address.substr(address.find(':') + 1);
  EXPECT_NE(ErrorOverIpv6(std::stoi(port)), 0) << "port " << port;

  const auto ask = [&port] {
    const auto stub = v1::Inference::NewStub(
        grpc::CreateChannel("127.0.0.1:" + port, grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    v1::ModelInfo info;
    return stub->GetModelInfo(&context, {}, &info);
  };
  EXPECT_TRUE(ask().ok()) << ask().error_message();

  const auto second =
      PublicServer::Start({.host = "0.0.0.0", .port = std::stoi(port)}, service.frontend(), queue);
  EXPECT_EQ(second.status().code(), StatusCode::kFailedPrecondition);
  EXPECT_EQ(second.status().message(),
            "--grpc-port: cannot listen on 0.0.0.0:" + port + ": Address already in use");
  (*server)->Shutdown();
  EXPECT_FALSE(ask().ok());
}

TEST(BindAddressTest, KnowsAllOfIpv4) {
  EXPECT_TRUE(IsAllOfIpv4("0.0.0.0"));
  EXPECT_TRUE(IsAllOfIpv4("0"));
  for (const char* other : {"127.0.0.1", "::", "::1", "no such host"}) {
    EXPECT_FALSE(IsAllOfIpv4(other)) << other;
  }
}

}  // namespace
}  // namespace phalanx
