// The coordinator's binary: flags, files, signals, exit codes.
#include <gmock/gmock.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <future>
#include <sstream>
#include <thread>

#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using testing::FakeEngine;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testing::TempDir;

std::string ReadFile(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

class Process {
 public:
  Process(const TempDir& dir, const std::vector<std::string>& flags)
      : out_(dir.path() / "out"), err_(dir.path() / "err") {
    std::vector<std::string> words = {PHALANX_BIN_DIR "/coordinator"};
    words.insert(words.end(), flags.begin(), flags.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    pid_ = fork();
    if (pid_ == 0) {
      std::freopen(out_.c_str(), "w", stdout);
      std::freopen(err_.c_str(), "w", stderr);
      execv(argv[0], argv.data());
      _exit(127);
    }
  }
  ~Process() {
    if (pid_ > 0) Stop(SIGKILL);
  }
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  void Signal(int number) const { kill(pid_, number); }
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int Stop(int number) {
    Signal(number);
    return Wait();
  }
  std::string out() const { return ReadFile(out_); }
  std::string err() const { return ReadFile(err_); }

  // HOST:PORT of gRPC, once it listens.
  std::string Address() const {
    const std::string prefix = "listening grpc=";
    for (int i = 0; i < 1000; ++i) {
      const std::string text = out();
      if (text.find('\n') != std::string::npos) {
        return text.substr(prefix.size(), text.find_first_of(" \n", prefix.size()) - prefix.size());
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return "";
  }

 private:
  std::filesystem::path out_;
  std::filesystem::path err_;
  pid_t pid_ = -1;
};

std::vector<std::string> Flags(const TempDir& dir, const std::vector<std::string>& more = {}) {
  std::vector<std::string> flags = {"--model",     testing::DemoModel().string(),
                                    "--engine",    (dir.path() / "e.sock").string(),
                                    "--grpc-port", "0",
                                    "--port",      "0"};
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

// By gRPC's reflection protocol: one request, list_services (field 7, empty).
grpc::Status ListServices(const std::string& address, std::string* response) {
  grpc::GenericStub stub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  const grpc::Slice slice(std::string("\x3a\x00", 2));
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer answer;
  grpc::ClientContext context;
  std::promise<grpc::Status> done;
  stub.UnaryCall(&context, "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
                 grpc::StubOptions(), &request, &answer,
                 [&done](grpc::Status status) { done.set_value(std::move(status)); });
  grpc::Status status = done.get_future().get();
  grpc::Slice bytes;
  if (status.ok() && answer.DumpToSingleSlice(&bytes).ok()) {
    response->assign(reinterpret_cast<const char*>(bytes.begin()), bytes.size());
  }
  return status;
}

TEST(BinaryTest, ServesWritesReadyAndDrainsOnSigterm) {
  const TempDir dir;
  const auto ready = dir.path() / "ready";
  Process process(dir, Flags(dir, {"--ready-file", ready.string(), "--log-format", "json"}));
  const std::string address = process.Address();
  ASSERT_THAT(address, StartsWith("127.0.0.1:"));
  EXPECT_FALSE(std::filesystem::exists(ready));
  std::string services;
  EXPECT_EQ(ListServices(address, &services).error_code(), grpc::StatusCode::UNIMPLEMENTED)
      << "reflection is off";
  testing::Arrivals<uint64_t> submits;
  testing::Arrivals<int> drains;
  FakeEngine engine(dir.path() / "e.sock", FakeEngine::DefaultRegistration(2048),
                    {.on_submit = [&](const auto& submit) { submits.Push(submit.request()); },
                     .on_drain = [&] { drains.Push(0); }});
  ASSERT_TRUE(engine.WaitForWelcome());
  EXPECT_THAT(ReadFile(ready), StartsWith("grpc=" + address + " http=127.0.0.1:"));

  const auto stub =
      v1::Inference::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  auto reader = stub->GenerateStream(&context, testing::TextRequest("a secret text"));
  const uint64_t request = submits.Pop();
  process.Signal(SIGTERM);
  drains.Pop();
  engine.Send(FakeEngine::Output(request, 0, {100}, internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(testing::TestService::ReadAll(*reader).status.ok());
  engine.Leave();
  EXPECT_EQ(process.Wait(), 0);
  EXPECT_THAT(process.err(), HasSubstr("outcome=length"));
  EXPECT_THAT(process.err(), ::testing::Not(HasSubstr("secret")));
  EXPECT_THAT(process.err(), StartsWith("{\"time\""));
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "e.sock"));
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "e.sock.token"));
}

TEST(BinaryTest, ADrainEndsAtItsTimeout) {
  const TempDir dir;
  Process process(dir, Flags(dir, {"--shutdown-timeout", "0.2"}));
  const std::string address = process.Address();
  testing::Arrivals<uint64_t> submits;
  FakeEngine engine(dir.path() / "e.sock", FakeEngine::DefaultRegistration(2048),
                    {.on_submit = [&](const auto& submit) { submits.Push(submit.request()); }});
  ASSERT_TRUE(engine.WaitForWelcome());
  const auto stub =
      v1::Inference::NewStub(grpc::CreateChannel(address, grpc::InsecureChannelCredentials()));
  grpc::ClientContext context;
  auto reader = stub->GenerateStream(&context, testing::TextRequest("x"));
  submits.Pop();
  process.Signal(SIGTERM);
  EXPECT_EQ(testing::TestService::ReadAll(*reader).status.error_code(),
            grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(process.Wait(), 0);
}

TEST(BinaryTest, WhatCannotWorkIsRefusedWithItsName) {
  const TempDir dir;
  const auto config = dir.path() / "config.yaml";
  std::ofstream(config) << "grpc-prt: 7\n";
  struct Row {
    std::vector<std::string> flags;
    const char* named;
  };
  const Row rows[] = {
      {{"--model", "/no/such/folder"}, "/no/such/folder"},
      {Flags(dir, {"--no-such-flag"}), "--no-such-flag"},
      {Flags(dir, {"--grpc-port", "70000"}), "--grpc-port"},
      {Flags(dir, {"--host", "0.0.0.0"}), "--insecure"},
      {Flags(dir, {"--host", "0.0.0.0", "--grpc-uds", "x.sock"}), "--insecure"},
      {{"--model", testing::DemoModel().string(), "--port", "70000"}, "--port"},
      {Flags(dir, {"--host", "no such host"}), "--host"},
      {Flags(dir, {"--log-level", "loud"}), "--log-level"},
      {Flags(dir, {"--config", config.string()}), "'grpc-port'"},
      {Flags(dir, {"--generation-config", "/no/such"}), "--generation-config"},
      {Flags(dir, {"--override-generation-config", "{"}), "--override-generation-config"},
      {Flags(dir, {"--chat-template", "/no/such"}), "/no/such"},
  };
  for (const Row& row : rows) {
    Process process(dir, row.flags);
    EXPECT_EQ(process.Wait(), 2) << row.named;
    EXPECT_THAT(process.err(), HasSubstr(row.named));
    EXPECT_EQ(process.out(), "");
  }
}

TEST(BinaryTest, WhoServesOthersKeepsTheQueueShort) {
  struct Row {
    std::vector<std::string> flags;
    const char* wait;
  };
  const Row rows[] = {
      {{}, "max_first_token_wait=300s"},
      {{"--grpc-uds", "grpc.sock"}, "max_first_token_wait=300s"},
      {{"--api-key", "a key of sixteen or more"}, "max_first_token_wait=1.5s"},
      {{"--host", "0.0.0.0", "--insecure"}, "max_first_token_wait=1.5s"},
      {{"--host", "0.0.0.0", "--insecure", "--max-first-token-wait", "60"},
       "max_first_token_wait=60s"},
  };
  for (const Row& row : rows) {
    const TempDir dir;
    std::vector<std::string> flags = row.flags;
    for (std::string& flag : flags) {
      if (flag == "grpc.sock") flag = (dir.path() / flag).string();
    }
    Process process(dir, Flags(dir, flags));
    process.Address();
    EXPECT_EQ(process.Stop(SIGTERM), 0) << row.wait;
    EXPECT_THAT(process.err(), HasSubstr(row.wait));
  }
}

TEST(BinaryTest, APortInUseIsNamed) {
  const TempDir dir;
  Process first(dir, Flags(dir));
  const std::string address = first.Address();
  const std::string port = address.substr(address.find(':') + 1);
  const TempDir other;
  Process second(other, {"--model", testing::DemoModel().string(), "--engine",
                         (other.path() / "e.sock").string(), "--grpc-port", port, "--port", "0"});
  EXPECT_EQ(second.Wait(), 2);
  EXPECT_THAT(second.err(), HasSubstr("127.0.0.1:" + port + ": Address already in use"));
  EXPECT_EQ(first.Stop(SIGTERM), 0);
}

// What a server on this host answers to a GET, head and body.
std::string Get(int port, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    if (write(fd, request.data(), request.size()) < 0) answer = "cannot write";
    char buffer[4096];
    for (ssize_t n; (n = read(fd, buffer, sizeof(buffer))) > 0;) {
      answer.append(buffer, static_cast<size_t>(n));
    }
  }
  close(fd);
  return answer;
}

TEST(BinaryTest, HttpIsServedBesideGrpc) {
  const TempDir dir;
  Process first(dir, Flags(dir));
  first.Address();
  const std::string out = first.out();
  const std::string prefix = " http=127.0.0.1:";
  ASSERT_THAT(out, HasSubstr(prefix));
  const std::string port = out.substr(out.find(prefix) + prefix.size(),
                                      out.find('\n') - out.find(prefix) - prefix.size());
  EXPECT_THAT(Get(std::stoi(port), "/livez"), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(Get(std::stoi(port), "/health"), StartsWith("HTTP/1.1 503 ")) << "no worker yet";

  const TempDir other;
  const std::string engine = (other.path() / "e.sock").string();
  Process second(other, {"--model", testing::DemoModel().string(), "--engine", engine,
                         "--grpc-port", "0", "--port", port});
  EXPECT_EQ(second.Wait(), 2);
  EXPECT_THAT(second.err(), HasSubstr("--port"));
  EXPECT_THAT(second.err(), HasSubstr("127.0.0.1:" + port));

  Process without(other, {"--model", testing::DemoModel().string(), "--engine", engine,
                          "--grpc-port", "0", "--port", port, "--no-http"});
  without.Address();
  EXPECT_THAT(without.out(), ::testing::Not(HasSubstr("http=")));
  EXPECT_EQ(without.Stop(SIGTERM), 0);
  EXPECT_EQ(first.Stop(SIGTERM), 0);
}

TEST(BinaryTest, TheCommandLineWinsOverTheConfigFile) {
  const TempDir dir;
  const auto config = dir.path() / "config.yaml";
  const auto uds = dir.path() / "grpc.sock";
  std::ofstream(config) << "model: /no/such/folder\nserved-model-name: [one, two]\n"
                        << "enable-reflection: true\ngrpc-uds: " << uds.string() << "\n";
  Process process(dir, Flags(dir, {"--config", config.string()}));
  EXPECT_EQ(process.Address(), "unix:" + uds.string());
  const auto stub = v1::Inference::NewStub(
      grpc::CreateChannel("unix:" + uds.string(), grpc::InsecureChannelCredentials()));
  v1::ModelInfo info;
  v1::GetModelInfoRequest request;
  request.set_model("two");
  grpc::ClientContext context;
  EXPECT_TRUE(stub->GetModelInfo(&context, request, &info).ok());
  EXPECT_EQ(info.id(), "one");
  std::string services;
  EXPECT_TRUE(ListServices("unix:" + uds.string(), &services).ok());
  EXPECT_THAT(services, HasSubstr("phalanx.v1.Inference"));
  EXPECT_EQ(process.Stop(SIGINT), 0);
}

TEST(BinaryTest, VersionAndHelp) {
  const TempDir dir;
  Process version(dir, {"--version"});
  EXPECT_EQ(version.Wait(), 0);
  EXPECT_THAT(version.out(), StartsWith("phalanx coordinator "));
  Process help(dir, {"--help"});
  EXPECT_EQ(help.Wait(), 0);
  for (const char* flag : {"--served-model-name", "--grpc-port", "--max-logprobs"}) {
    EXPECT_THAT(help.out(), HasSubstr(flag));
  }
}

}  // namespace
}  // namespace phalanx
