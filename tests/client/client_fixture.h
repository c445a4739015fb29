// Runs the binary against a fake server: what a script or a person sees.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tests/client/fake_inference.h"

namespace phalanx {

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    std::string name = testing::TempDir() + "phalanx_client_XXXXXX";
    directory_ = mkdtemp(name.data());
  }
  ~ClientTest() override { std::filesystem::remove_all(directory_); }

  std::string File(const std::string& name, const std::string& content) const {
    const std::string path = directory_ + "/" + name;
    std::ofstream(path) << content;
    return path;
  }
  static std::string Read(const std::string& path) {
    std::ifstream in(path);
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
  }

  struct Outcome {
    int exit_code = -1;
    std::string out, err;
  };
  // Through the shell: `arguments` is quoted by the caller.
  Outcome Run(const std::string& arguments, const std::string& input = "") const {
    const std::string in = File("stdin", input);
    const std::string command = std::string(PHALANX_BIN_DIR) + "/phalanx " + arguments + " <" + in +
                                " >" + directory_ + "/out 2>" + directory_ + "/err";
    const int status = std::system(command.c_str());
    return {WEXITSTATUS(status), Read(directory_ + "/out"), Read(directory_ + "/err")};
  }
  Outcome Online(const std::string& subcommand, const std::string& arguments,
                 const std::string& input = "") const {
    return Run(subcommand + " --server " + server_.address() + " " + arguments, input);
  }
  // Sends Ctrl-C once `sign` is in the output, or, of an empty sign, once a request has arrived.
  Outcome Interrupt(std::vector<std::string> arguments, const std::string& sign,
                    const std::string& input = "") {
    const std::string in = File("stdin", input);
    const std::string out = File("out", ""), err = File("err", "");
    arguments.insert(arguments.begin(), "phalanx");
    arguments.insert(arguments.end(), {"--server", server_.address()});
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    const std::string binary = std::string(PHALANX_BIN_DIR) + "/phalanx";
    const size_t num_requests = server_.num_requests();
    const pid_t child = fork();
    if (child == 0) {
      std::freopen(in.c_str(), "r", stdin);
      std::freopen(out.c_str(), "w", stdout);
      std::freopen(err.c_str(), "w", stderr);
      execv(binary.c_str(), argv.data());
      _exit(127);
    }
    const auto arrived = [&] {
      return sign.empty() ? server_.num_requests() > num_requests
                          : Read(out).find(sign) != std::string::npos;
    };
    for (int i = 0; i < 500 && !arrived(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    kill(child, SIGINT);
    int status = 0;
    waitpid(child, &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status), Read(out),
            Read(err)};
  }

  FakeInference server_;
  std::string directory_;
};

}  // namespace phalanx
