#include <poll.h>
#include <pty.h>

#include "tests/client/client_fixture.h"

namespace phalanx {
namespace {

using testing::HasSubstr;
using testing::Not;

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
  const Outcome outcome = Interrupt({"chat"}, "again", "forever\nhello\n/quit\n");
  EXPECT_EQ(outcome.exit_code, 0);
  const auto requests = server_.chat_requests();
  ASSERT_EQ(requests.size(), 2u);
  ASSERT_EQ(requests[1].messages_size(), 3);
  EXPECT_THAT(requests[1].messages(1).content(), HasSubstr("again"));  // what was said stays
  EXPECT_THAT(outcome.out, HasSubstr("hello"));
  EXPECT_THAT(outcome.err, HasSubstr("stopped"));
  EXPECT_THAT(outcome.err, Not(HasSubstr(" 0.0 ")));
}

TEST_F(ClientTest, AQuestionStoppedBeforeItsAnswerIsForgotten) {
  EXPECT_EQ(Interrupt({"chat"}, "", "silence\nhello\n").exit_code, 0);
  EXPECT_EQ(server_.chat_requests().at(1).messages_size(), 1);
}

TEST_F(ClientTest, CtrlCEndsOneMessage) {
  const Outcome outcome = Interrupt({"chat", "--message", "forever"}, "again");
  EXPECT_EQ(outcome.exit_code, 130);
  EXPECT_THAT(outcome.out, testing::EndsWith("\n"));
}

TEST_F(ClientTest, ATooLongConversationSaysWhatHelps) {
  const Outcome outcome = Online("chat", "--max-tokens 9", "hello\ntoo long\nhello\n");
  EXPECT_THAT(outcome.err, HasSubstr("/clear"));
  EXPECT_THAT(outcome.err, HasSubstr("/set max_tokens"));
  EXPECT_EQ(outcome.exit_code, 2);  // a question failed
  const auto requests = server_.chat_requests();
  ASSERT_EQ(requests.size(), 3u);
  EXPECT_EQ(requests[2].messages_size(), 3);  // without the one that failed
  EXPECT_THAT(Online("chat", "", "too long\n").err, Not(HasSubstr("/clear")));
}

TEST_F(ClientTest, PipedQuestionsGiveAnswersAlone) {
  const Outcome outcome = Online("chat", "", "one two\n/clear\nthree\n");
  EXPECT_EQ(outcome.out, "one two\nthree\n");
  EXPECT_EQ(server_.chat_requests().at(1).messages_size(), 1);
}

TEST_F(ClientTest, ChatCommands) {
  const Outcome outcome = Online("chat", "",
                                 "/set max-tokens 1\n/set nothing 5\n/set top_k x\n/no\n"
                                 "/system be kind\n\"\"\"one\ntwo\"\"\"\n/bye\nthree\n");
  EXPECT_THAT(outcome.err, HasSubstr("nothing"));
  EXPECT_THAT(outcome.err, HasSubstr("top_k"));
  EXPECT_THAT(outcome.err, HasSubstr("no command /no"));
  EXPECT_EQ(outcome.out, "one\n");
  const auto requests = server_.chat_requests();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].messages(0).content(), "be kind");
  EXPECT_EQ(requests[0].messages(1).content(), "one\ntwo");
}

TEST_F(ClientTest, ChatShowsCallsAndTakesTheirResults) {
  const std::string tools =
      File("tools.json", R"([{"type": "function", "function": {"z": 1, "name": "f"}}])");
  const Outcome outcome = Online("chat", "--tools " + tools,
                                 "/result early\ncalls\n/result 21\n/result 22\n/result 23\n");
  EXPECT_EQ(outcome.out, "I look.\n-> f {\"a\": 1}\n-> g {}\n22\n");
  EXPECT_THAT(outcome.err, HasSubstr("/result: is given, allowed: nothing"));
  const auto requests = server_.chat_requests();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_THAT(requests[0].tools_json(),
              testing::ElementsAre(R"({"type":"function","function":{"z":1,"name":"f"}})"));
  ASSERT_EQ(requests[1].messages_size(), 4);
  const v1::ChatMessage& answer = requests[1].messages(1);
  EXPECT_EQ(answer.content(), "I look.");
  ASSERT_EQ(answer.tool_calls_size(), 2);
  EXPECT_EQ(answer.tool_calls(0).arguments_json(), "{\"a\": 1}");
  EXPECT_EQ(requests[1].messages(2).role(), "tool");
  EXPECT_EQ(requests[1].messages(2).content(), "21");
  EXPECT_EQ(requests[1].messages(2).tool_call_id(), "call_1");
  EXPECT_EQ(requests[1].messages(3).tool_call_id(), "call_2");
}

TEST_F(ClientTest, ChatPrintsCallsAsJson) {
  const auto json = nlohmann::json::parse(Online("chat", "--json --message calls").out);
  EXPECT_EQ(json["text"], "I look.");
  EXPECT_EQ(json["finish_reason"], "tool_calls");
  EXPECT_EQ(json["tool_calls"], nlohmann::json::parse(R"([
      {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1}"}},
      {"id": "call_2", "type": "function", "function": {"name": "g", "arguments": "{}"}}])"));
}

TEST_F(ClientTest, ToolsThatAreNoListAreRefused) {
  for (const char* content : {"{}", "[", "[]", ""}) {
    const Outcome outcome = Online("chat", "--message hi --tools " + File("tools.json", content));
    EXPECT_EQ(outcome.exit_code, 2) << content;
    EXPECT_THAT(outcome.err, HasSubstr("--tools"));
  }
  EXPECT_EQ(Online("chat", "--message hi --tools " + directory_ + "/none").exit_code, 2);
}

// What the terminal shows up to `sign`.
std::string ReadUntil(int terminal, const std::string& sign) {
  std::string text;
  pollfd ready{terminal, POLLIN, 0};
  constexpr int kTimeoutMs = 5000;
  for (char c = 0; poll(&ready, 1, kTimeoutMs) > 0 && read(terminal, &c, 1) == 1;) {
    text += c;
    if (text.ends_with(sign)) break;
  }
  return text;
}

TEST_F(ClientTest, AtATerminal) {
  const std::string binary = std::string(PHALANX_BIN_DIR) + "/phalanx";
  int terminal = -1;
  const pid_t child = forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(child, 0);
  if (child == 0) {
    execl(binary.c_str(), "phalanx", "chat", "--server", server_.address().c_str(), nullptr);
    _exit(127);
  }
  const auto type = [&](std::string_view text) {
    EXPECT_EQ(write(terminal, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  };
  const std::string prompt = "\x1b[36m> \x1b[0m";
  EXPECT_THAT(ReadUntil(terminal, prompt), HasSubstr("/clear"));
  type("forever\n");
  EXPECT_THAT(ReadUntil(terminal, "again again"), HasSubstr("again again"));
  type("\x03");
  EXPECT_THAT(ReadUntil(terminal, prompt), HasSubstr("stopped"));
  type("\x03");  // nothing is under way
  EXPECT_THAT(ReadUntil(terminal, prompt), HasSubstr("/clear"));
  type("bad\n");
  EXPECT_THAT(ReadUntil(terminal, prompt), HasSubstr("temperature"));
  type("\x04");  // the end of the input
  ReadUntil(terminal, "no such text");
  int status = 0;
  waitpid(child, &status, 0);
  close(terminal);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace phalanx
