// Runs the binary against a fake server: what a script or a person sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "tests/client/fake_inference.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::HasSubstr;

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

  FakeInference server_;
  std::string directory_;
};

TEST_F(ClientTest, GenerateStreamsTextAndPrintsSpeed) {
  const Outcome outcome = Online("generate", "--prompt 'one two three'");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, "one two three\n");
  EXPECT_THAT(outcome.err, HasSubstr("3 tokens"));
  EXPECT_THAT(outcome.err, HasSubstr("tokens/s"));
  EXPECT_THAT(outcome.err, testing::Not(HasSubstr("\x1b")));  // no colours off a terminal
}

TEST_F(ClientTest, GenerateAsJson) {
  const Outcome outcome =
      Online("generate", "--prompt 'one two three' --max-tokens 2 --seed 5 --logprobs 1 --json");
  ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
  const json answer = json::parse(outcome.out);
  EXPECT_EQ(answer["text"], "one two");
  EXPECT_EQ(answer["token_ids"], json::array({3, 3}));
  EXPECT_EQ(answer["logprobs"].size(), 2u);
  EXPECT_EQ(answer["finish_reason"], "length");
  EXPECT_EQ(answer["usage"]["completion_tokens"], 2);
  EXPECT_EQ(answer["timings"]["prefill_ms"], 1.5);
  EXPECT_EQ(server_.generate_requests().at(0).sampling().seed(), 5u);
}

TEST_F(ClientTest, GenerateSeveralChoices) {
  const json answer = json::parse(Online("generate", "--prompt 'one two' --n 3 --json").out);
  ASSERT_EQ(answer["choices"].size(), 3u);
  EXPECT_EQ(answer["choices"][2]["text"], "one two");
}

TEST_F(ClientTest, PromptFromIdsFileAndEmpty) {
  EXPECT_EQ(Online("generate", "--prompt-ids 4,5,6").exit_code, 0);
  EXPECT_EQ(Online("generate", "--file -", "from a file").out, "from a file\n");
  EXPECT_EQ(Online("generate", "--prompt ''").exit_code, 0);
  const auto requests = server_.generate_requests();
  EXPECT_THAT(requests.at(0).token_ids().ids(), testing::ElementsAre(4, 5, 6));
  EXPECT_EQ(requests.at(2).prompt_case(), v1::GenerateRequest::kText);
  EXPECT_EQ(Online("generate", "--prompt a --prompt-ids 1").exit_code, 2);
  EXPECT_EQ(Online("generate", "").exit_code, 2);
  EXPECT_EQ(Online("generate", "--file /no/such/file").exit_code, 2);
}

TEST_F(ClientTest, ErrorsHaveExitCodesAndNameTheField) {
  const Outcome bad = Online("generate", "--prompt bad");
  EXPECT_EQ(bad.exit_code, 2);
  EXPECT_THAT(bad.err, HasSubstr("temperature"));
  EXPECT_THAT(bad.err, HasSubstr("allowed: 0..2"));
  const Outcome busy = Online("generate", "--prompt busy");
  EXPECT_EQ(busy.exit_code, 3);
  EXPECT_THAT(busy.err, HasSubstr("draining"));
  EXPECT_EQ(Run("generate --server unix:/no/such/socket --prompt a").exit_code, 3);
  EXPECT_EQ(Run("generate --no-such-flag").exit_code, 2);
  EXPECT_EQ(Run("").exit_code, 2);
  EXPECT_EQ(Run("--help").exit_code, 0);
  EXPECT_THAT(Run("--version").out, HasSubstr("phalanx "));
  EXPECT_EQ(Online("generate", "--prompt forever --timeout 0.1").exit_code, 1);
}

TEST_F(ClientTest, ChatKeepsHistory) {
  const Outcome outcome =
      Online("chat", "--system 'be kind'", "hello there\nand you\n/reset\nnew\n/quit\n");
  EXPECT_EQ(outcome.exit_code, 0);
  const auto requests = server_.chat_requests();
  ASSERT_EQ(requests.size(), 3u);
  ASSERT_EQ(requests[1].messages_size(), 4);
  EXPECT_EQ(requests[1].messages(0).content(), "be kind");
  EXPECT_EQ(requests[1].messages(2).role(), "assistant");
  EXPECT_EQ(requests[1].messages(2).content(), "hello there");
  EXPECT_EQ(requests[2].messages_size(), 2);
}

TEST_F(ClientTest, ChatForgetsAQuestionThatFailed) {
  Online("chat", "", "bad\nhello\n");
  EXPECT_EQ(server_.chat_requests().at(1).messages_size(), 1);
}

TEST_F(ClientTest, OneMessage) {
  const Outcome outcome = Online("chat", "--message 'hello there'");
  EXPECT_EQ(outcome.exit_code, 0);
  EXPECT_EQ(outcome.out, "hello there\n");
  EXPECT_EQ(Online("chat", "--message busy").exit_code, 3);
}

TEST_F(ClientTest, CtrlCStopsTheAnswerAndNotTheChat) {
  const std::string in = File("questions", "forever\nhello\n/quit\n");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::freopen(in.c_str(), "r", stdin);
    std::freopen((directory_ + "/out").c_str(), "w", stdout);
    std::freopen("/dev/null", "w", stderr);
    const std::string binary = std::string(PHALANX_BIN_DIR) + "/phalanx";
    execl(binary.c_str(), "phalanx", "chat", "--server", server_.address().c_str(), nullptr);
    _exit(127);
  }
  for (int i = 0; i < 500 && Read(directory_ + "/out").find("again") == std::string::npos; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  kill(child, SIGINT);
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  const auto requests = server_.chat_requests();
  ASSERT_EQ(requests.size(), 2u);
  ASSERT_EQ(requests[1].messages_size(), 3);
  EXPECT_THAT(requests[1].messages(1).content(), HasSubstr("again"));  // what was said stays
  EXPECT_THAT(Read(directory_ + "/out"), HasSubstr("hello"));
}

TEST_F(ClientTest, BatchAnswersEachLineOnceAndGoesOn) {
  const std::string input =
      "{\"id\": \"a\", \"prompt\": \"one two\"}\n"
      "{\"id\": 2, \"messages\": [{\"role\": \"user\", \"content\": \"three\"}]}\n"
      "{\"id\": \"b\", \"prompt\": \"bad\"}\n"
      "{\"id\": \"c\", \"prompt\": 5}\n"
      "no json\n";
  const std::string in = File("in.jsonl", input);
  // A line of an earlier run, and one that was cut off.
  const std::string out =
      File("out.jsonl", "{\"id\": 2, \"text\": \"earlier\"}\n{\"id\": \"a\", \"te");
  const Outcome outcome = Online("batch", "--input " + in + " --output " + out);
  EXPECT_EQ(outcome.exit_code, 1);  // some lines are wrong
  std::map<std::string, json> lines;
  std::istringstream text(Read(out));
  for (std::string line; std::getline(text, line);) {
    const json value = json::parse(line);
    EXPECT_TRUE(lines.emplace(value["id"].dump(), value).second);
  }
  ASSERT_EQ(lines.size(), 5u);
  EXPECT_EQ(lines["\"a\""]["text"], "one two");
  EXPECT_EQ(lines["2"]["text"], "earlier");
  EXPECT_EQ(lines["\"b\""]["error"]["code"], "INVALID_ARGUMENT");
  EXPECT_EQ(lines["\"b\""]["error"]["field"], "temperature");
  EXPECT_EQ(lines["\"c\""]["error"]["field"], "prompt");
  EXPECT_TRUE(lines["\"line-5\""].contains("error"));
  EXPECT_EQ(server_.generate_requests().size(), 2u);
  EXPECT_EQ(server_.chat_requests().size(), 0u);
}

TEST_F(ClientTest, BatchStopsWhereTheServerIsGone) {
  const Outcome outcome =
      Online("batch", "--concurrency 1", "{\"prompt\": \"busy\"}\n{\"prompt\": \"a\"}\n");
  EXPECT_EQ(outcome.exit_code, 3);
  EXPECT_EQ(server_.generate_requests().size(), 1u);
}

TEST_F(ClientTest, BenchPrintsTheUsualKeys) {
  for (const std::string load : {"--request-rate 200", "--concurrency 4"}) {
    const Outcome outcome =
        Online("bench", "--num-prompts 8 --prompt-tokens 5 --output-tokens 3 --json " + load);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    const json report = json::parse(outcome.out);
    EXPECT_EQ(report["completed"], 8);
    EXPECT_EQ(report["total_output_tokens"], 24);
    for (const char* statistic : {"mean", "median", "std", "p99"}) {
      for (const char* name : {"ttft_ms", "tpot_ms", "itl_ms", "e2el_ms"})
        EXPECT_TRUE(report.contains(std::string(statistic) + "_" + name));
    }
  }
}

TEST_F(ClientTest, TokenizeOffline) {
  const std::string model = std::string(PHALANX_SOURCE_DIR) + "/launch/demo/model";
  const std::string text = "Hello, W\xc3\xb6rld!\n  two";
  const Outcome ids = Run("tokenize --json --model " + model, text);
  ASSERT_EQ(ids.exit_code, 0) << ids.err;
  EXPECT_TRUE(json::parse(ids.out).is_array());
  EXPECT_EQ(Run("detokenize --model " + model, ids.out).out, text);
  const Outcome plain = Run("tokenize --model " + model, text);
  EXPECT_EQ(Run("detokenize --model " + model, plain.out).out, text);

  const Outcome lines = Run("tokenize --jsonl --model " + model, "\"a\"\n5\n\"\\ud800\"\n");
  EXPECT_EQ(lines.exit_code, 0);
  std::istringstream stream(lines.out);
  std::string line;
  std::getline(stream, line);
  EXPECT_TRUE(json::parse(line).is_array());
  EXPECT_EQ(Run("detokenize --jsonl --model " + model, line + "\n").out, "\"a\"\n");
  for (int i = 0; i < 2; ++i) {
    std::getline(stream, line);
    EXPECT_TRUE(json::parse(line).contains("error")) << line;
  }
  EXPECT_EQ(Run("tokenize --model /no/such/folder").exit_code, 2);
  EXPECT_EQ(Run("detokenize --model " + model, "[1, x]").exit_code, 2);
}

}  // namespace
}  // namespace phalanx
