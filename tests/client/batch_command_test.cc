#include <pty.h>
#include <sys/stat.h>

#include <algorithm>
#include <map>

#include "client/connection.h"
#include "tests/client/client_fixture.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// As an earlier run would have written them.
const std::string kAnswer =
    R"({"id":2,"text":"earlier","token_ids":[1],"finish_reason":"stop","usage":{}})";
const std::string kError =
    R"({"id":"a","error":{"code":"UNAVAILABLE","message":"the server is draining"}})";

TEST_F(ClientTest, BatchAnswersEachLineOnceAndGoesOn) {
  const std::string input =
      "{\"id\": \"a\", \"prompt\": \"one two\"}\n"
      "{\"id\": 2, \"messages\": [{\"role\": \"user\", \"content\": \"three\"}]}\n"
      "{\"id\": \"b\", \"prompt\": \"bad\"}\n"
      "{\"id\": \"c\", \"prompt\": 5}\n"
      "no json\n";
  const std::string in = File("in.jsonl", input);
  // A line of an earlier run, and one that was cut off.
  const std::string out = File("out.jsonl", kAnswer + "\n" + kError.substr(0, 12));
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

ino_t InodeOf(const std::string& path) {
  struct stat info {};
  EXPECT_EQ(stat(path.c_str(), &info), 0);
  return info.st_ino;
}

TEST_F(ClientTest, BatchOutputIsAFileOfAnswersAndNothingElse) {
  const std::string in = File("in.jsonl", "{\"id\": \"a\", \"prompt\": \"one\"}\n");
  const auto refuses = [&](const std::string& output, const std::string& message) {
    const Outcome outcome = Online("batch", "--input " + in + " --output " + output);
    EXPECT_EQ(outcome.exit_code, 2) << output;
    EXPECT_THAT(outcome.err, HasSubstr(message));
  };
  refuses(directory_, "is a folder");
  const std::string fifo = directory_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  refuses(fifo, "is a FIFO");
  // Of devices this one alone: in its folder no file can be made or replaced, whatever goes wrong.
  int controller = -1, terminal = -1;
  char device[64];
  ASSERT_EQ(openpty(&controller, &terminal, device, nullptr, nullptr), 0);
  refuses(device, "is a character device");
  close(controller);
  close(terminal);
  refuses(in, "is the input itself");
  refuses(directory_ + "/./in.jsonl", "is the input itself");
  ASSERT_EQ(link(in.c_str(), (directory_ + "/hard").c_str()), 0);
  refuses(directory_ + "/hard", "is the input itself");
  refuses("/no/such/folder/out", "No such file");

  for (const auto& [text, line] : std::map<std::string, int>{
           {"my notes", 1},
           {kAnswer + "\nmy notes", 2},
           {kAnswer + "\nmy notes\n" + kAnswer + "\n", 2},
           {kAnswer + "\n\n", 2},
           {kAnswer + "\n{\"id\":5,\"te\n" + kAnswer + "\n", 2},  // cut, but not at the end
           {"{\"id\": 1, \"prompt\": \"a\"}\n", 1},
           {"{\"id\": 1, \"error\": 5}\n", 1},
           {"[1]\n", 1}}) {
    const std::string out = File("out.jsonl", text);
    refuses(out, "line " + std::to_string(line) + " of");
    EXPECT_EQ(Read(out), text);
  }
  EXPECT_EQ(server_.num_requests(), 0u);
}

TEST_F(ClientTest, BatchAppendsAndRewritesOnlyWhatItMust) {
  const std::string in =
      File("in.jsonl", "{\"id\": \"a\", \"prompt\": \"one\"}\n{\"id\": 2, \"prompt\": \"two\"}\n");
  const std::string out = File("out.jsonl", kAnswer + "\n");
  chmod(out.c_str(), 0640);
  const ino_t inode = InodeOf(out);
  EXPECT_EQ(Online("batch", "--input " + in + " --output " + out).exit_code, 0);
  EXPECT_EQ(InodeOf(out), inode);  // added to
  const std::string whole = Read(out);
  EXPECT_TRUE(whole.starts_with(kAnswer + "\n{\"id\":\"a\",\"text\":\"one\""));
  EXPECT_EQ(Online("batch", "--input " + in + " --output " + out).exit_code, 0);
  EXPECT_EQ(Read(out), whole);
  EXPECT_EQ(server_.num_requests(), 1u);

  // An error is asked again, a lost end of line is put back; mode and link stay.
  std::ofstream(out) << kError << '\n' << kAnswer;
  const std::string link = directory_ + "/link";
  ASSERT_EQ(symlink("out.jsonl", link.c_str()), 0);
  EXPECT_EQ(Online("batch", "--input " + in + " --output " + link).exit_code, 0);
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_TRUE(Read(out).starts_with(kAnswer + "\n{\"id\":\"a\",\"text\":\"one\"")) << Read(out);
  EXPECT_EQ(static_cast<int>(std::filesystem::status(out).permissions()), 0640);
}

TEST_F(ClientTest, BatchRefusesTwoLinesOfOneId) {
  const std::string out = File("out.jsonl", kError + "\n");
  for (const std::string second : {"\"a\"", "\"line-1\""}) {
    const Outcome outcome =
        Online("batch", "--output " + out,
               (second == "\"a\"" ? "{\"id\": \"a\", \"prompt\": \"x\"}" : std::string("no json")) +
                   "\n\n{\"id\": " + second + ", \"prompt\": \"y\"}\n");
    EXPECT_EQ(outcome.exit_code, 2);
    EXPECT_THAT(outcome.err, HasSubstr("lines 1 and 3 have the same id " + second));
  }
  EXPECT_EQ(server_.num_requests(), 0u);
  EXPECT_EQ(Read(out), kError + "\n");
}

TEST_F(ClientTest, BatchReportsEachBadLine) {
  const Outcome outcome = Online("batch", "",
                                 "{\"prompt\": \"one\"\n{\"prompt\": \"a\xff\"}\n[1]\n"
                                 "{\"id\": null, \"prompt\": \"two\"}\n");
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.out, HasSubstr("line: is no JSON, wrong at byte"));
  EXPECT_THAT(outcome.out, HasSubstr("line: is no UTF-8 at byte 13 (0xff)"));
  EXPECT_THAT(outcome.out, HasSubstr("line: is no JSON object"));
  EXPECT_THAT(outcome.out, HasSubstr("{\"id\":\"line-4\",\"text\":\"two\""));
}

TEST_F(ClientTest, BatchWritesWhatWasUnderWayWhenTheServerWent) {
  std::string input;
  for (int i = 0; i < 8; ++i) input += "{\"prompt\": \"busy\"}\n{\"prompt\": \"one two\"}\n";
  const Outcome outcome = Online("batch", "--concurrency 16", input);
  EXPECT_EQ(outcome.exit_code, 3);
  const auto num_lines = std::count(outcome.out.begin(), outcome.out.end(), '\n');
  EXPECT_EQ(num_lines, static_cast<int64_t>(server_.num_requests()));
}

TEST_F(ClientTest, BatchStopsWhereNothingCanBeWritten) {
  std::string input;
  for (int i = 0; i < 50; ++i) input += "{\"prompt\": \"one\"}\n";
  const std::string in = File("stdin", input);
  const std::string command = std::string(PHALANX_BIN_DIR) + "/phalanx batch --concurrency 1 " +
                              "--server " + server_.address() + " <" + in + " >/dev/full 2>" +
                              directory_ + "/err";
  EXPECT_EQ(WEXITSTATUS(std::system(command.c_str())), kExitError);
  EXPECT_THAT(Read(directory_ + "/err"), HasSubstr("No space left on device"));
  EXPECT_EQ(server_.num_requests(), 1u);
}

}  // namespace
}  // namespace phalanx
