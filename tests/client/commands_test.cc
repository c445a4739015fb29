#include <sys/stat.h>

#include <map>

#include "tests/client/client_fixture.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::HasSubstr;

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

TEST_F(ClientTest, InputThatCannotBeRead) {
  for (const std::string command : {"generate --file ", "batch --input "}) {
    const Outcome folder = Run(command + directory_);
    EXPECT_EQ(folder.exit_code, 2);
    EXPECT_THAT(folder.err, HasSubstr("'" + directory_ + "': Is a directory"));
    const Outcome missing = Run(command + "/no/such/file");
    EXPECT_EQ(missing.exit_code, 2);
    EXPECT_THAT(missing.err, HasSubstr("'/no/such/file': No such file or directory"));
    const std::string secret = File("secret", "text");
    chmod(secret.c_str(), 0);
    if (access(secret.c_str(), R_OK) != 0) {  // root reads all
      const Outcome unreadable = Run(command + secret);
      EXPECT_EQ(unreadable.exit_code, 2);
      EXPECT_THAT(unreadable.err, HasSubstr("Permission denied"));
    }
  }
  EXPECT_THAT(Run("generate --file ''").err, HasSubstr("--file: cannot read ''"));
  const std::string from_folder = std::string(PHALANX_BIN_DIR) + "/phalanx generate --file - </ 2>";
  EXPECT_EQ(WEXITSTATUS(std::system((from_folder + directory_ + "/err").c_str())), 2);
  EXPECT_THAT(Read(directory_ + "/err"), HasSubstr("standard input: Is a directory"));
}

TEST_F(ClientTest, TextThatIsNoUtf8IsNotSent) {
  const std::string broken = "ok\xff";
  const auto refuses = [&](const Outcome& outcome, const std::string& name) {
    EXPECT_EQ(outcome.exit_code, 2) << name;
    EXPECT_EQ(outcome.err, "phalanx: INVALID_ARGUMENT: " + name +
                               ": is no UTF-8 at byte 2 (0xff), allowed: UTF-8\n");
  };
  refuses(Online("generate", "--prompt '" + broken + "'"), "--prompt");
  refuses(Online("generate", "--file -", broken), "--file");
  refuses(Online("generate", "--prompt a --stop '" + broken + "'"), "stop");
  refuses(Online("generate", "--prompt a --request-id '" + broken + "'"), "request_id");
  refuses(Online("chat", "--message '" + broken + "'"), "--message");
  refuses(Online("chat", "--system '" + broken + "'", "hello\n"), "--system");
  refuses(Online("chat", "", broken + "\n"), "message");
  refuses(Online("batch", "--bad-words '" + broken + "'", "{\"prompt\": \"a\"}\n"), "bad_words");
  EXPECT_EQ(server_.num_requests(), 0u);
}

TEST_F(ClientTest, NumbersOutOfRangeNameFlagValueAndRange) {
  const std::map<std::string, std::string> cases = {
      {"--seed -1", "--seed: is '-1', allowed: an integer from 0 to 18446744073709551615"},
      {"--seed 010x", "--seed: is '010x', allowed: an integer from 0"},
      {"--max-tokens 2147483648", "--max-tokens: is '2147483648', allowed: an integer from -2147"},
      {"--temperature nan", "--temperature: is 'nan', allowed: a finite number"},
      {"--timeout nan", "--timeout: is 'nan', allowed: a number from 0 to 1e+09"},
      {"--timeout -1", "--timeout: is '-1', allowed: a number from 0"},
      {"--timeout inf", "--timeout: is 'inf', allowed: a number from 0"},
      {"--allowed-token-ids ''", "--allowed-token-ids: is '', allowed: at least one token id"},
      {"--stop-token-ids 1,x", "--stop-token-ids: is '1,x', allowed: token ids"},
      {"--logit-bias 5=inf", "--logit-bias: is 'inf', allowed: a finite number"},
      {"--server nowhere", "--server: is 'nowhere', allowed: HOST:PORT"},
      {"--server nowhere:0", "--server: is 'nowhere:0', allowed: HOST:PORT"}};
  for (const auto& [flags, message] : cases) {
    const Outcome outcome = Run("generate --prompt a " + flags);
    EXPECT_EQ(outcome.exit_code, 2) << flags;
    EXPECT_THAT(outcome.err, HasSubstr(message));
  }
  const Outcome ids = Run("generate --prompt-ids ''");
  EXPECT_EQ(ids.exit_code, 2);
  EXPECT_THAT(ids.err, HasSubstr("--prompt-ids: is '', allowed: at least one token id"));
  EXPECT_EQ(Online("generate", "--prompt a --seed 010").exit_code, 0);
  EXPECT_EQ(server_.generate_requests().at(0).sampling().seed(), 10u);
}

TEST_F(ClientTest, TextEndsWithANewlineWhateverItIs) {
  EXPECT_EQ(Online("generate", "--prompt 'one two' --echo --max-tokens 0").out, "one two\n");
  EXPECT_EQ(Online("generate", "--prompt 'one two' --max-tokens 0").out, "\n");
  EXPECT_EQ(Online("generate", "--prompt bad").out, "");
}

TEST_F(ClientTest, CtrlCEndsGenerate) {
  const Outcome outcome = Interrupt({"generate", "--prompt", "forever"}, "again again");
  EXPECT_EQ(outcome.exit_code, 130);
  EXPECT_THAT(outcome.out, testing::EndsWith("\n"));
  EXPECT_THAT(outcome.err,
              testing::MatchesRegex("[0-9]+ tokens, first after [0-9.]+ ms, [0-9.]+ tokens/s, "
                                    "stopped\n"));
  EXPECT_THAT(outcome.err, testing::Not(HasSubstr(" 0.0 tokens/s")));
  EXPECT_EQ(Interrupt({"generate", "--prompt", "silence"}, "").err, "0 tokens, stopped\n");
}

TEST_F(ClientTest, UsageErrorsSayWhatIsAllowed) {
  EXPECT_THAT(Run("generat").err, HasSubstr("no subcommand 'generat', allowed: generate, chat"));
  EXPECT_THAT(Run("").err, HasSubstr("no subcommand is given"));
  EXPECT_THAT(Run("quantize --model a --output b --scheme int3").err,
              HasSubstr("--scheme: int3 not in {int8,int4}"));
  for (const std::string prompts : {"", " --prompt a --file b"}) {
    EXPECT_THAT(Run("generate" + prompts).err,
                HasSubstr("exactly one of --prompt, --prompt-ids, --file is allowed"));
  }
  EXPECT_THAT(Run("generate --help").out, testing::Not(HasSubstr("{")));
  EXPECT_THAT(Run("chat --no-such-flag").err, HasSubstr("phalanx chat: "));
  EXPECT_THAT(Run("generate --prompt a --server unix:/no/such/socket").err,
              HasSubstr("no service answers at unix:/no/such/socket"));
  EXPECT_THAT(Online("generate", "--prompt silence --timeout 0.1").err,
              HasSubstr("--timeout 0.1 has passed"));
}

TEST_F(ClientTest, OutputThatCannotBeWritten) {
  const std::string server = " --server " + server_.address();
  const std::string binary = std::string(PHALANX_BIN_DIR) + "/phalanx";
  const auto run = [&](const std::string& command) {
    return WEXITSTATUS(std::system((binary + " " + command).c_str()));
  };
  const std::string err = directory_ + "/err";
  EXPECT_EQ(run("generate --prompt 'one two'" + server + " 2>" + err + " >/dev/full"), 1);
  EXPECT_THAT(Read(err), HasSubstr("cannot write to standard output"));
  // Nowhere to report to is no reason to fail.
  EXPECT_EQ(run("generate --prompt 'one two'" + server + " >" + err + " 2>&-"), 0);
  // As other filters, quietly.
  EXPECT_EQ(run("generate --prompt forever" + server + " 2>" + err + " | head -c 5 >" + err), 0);
  EXPECT_EQ(Read(err), "again");
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

}  // namespace
}  // namespace phalanx
