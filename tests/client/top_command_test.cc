// `phalanx top` where its output is no terminal; on one, see tests/e2e/test_top.py.
#include "tests/client/client_fixture.h"

namespace phalanx {
namespace {

using testing::HasSubstr;

TEST_F(ClientTest, TopPrintsOnePlainSnapshotOffATerminal) {
  for (const char* arguments : {"--interval 0.1", "--once --interval 0.1"}) {
    const Outcome outcome = Online("top", arguments);
    ASSERT_EQ(outcome.exit_code, 0) << outcome.err;
    EXPECT_THAT(outcome.out, testing::StartsWith("phalanx top   " + server_.address() + "   fake"));
    EXPECT_THAT(outcome.out, HasSubstr("\nready\n2 ranks   cpu none   version test\n"));
    EXPECT_THAT(outcome.out, testing::ContainsRegex("tokens/s   [1-9][0-9]* in   [1-9][0-9]* out"));
    EXPECT_THAT(outcome.out, HasSubstr("first token after 20.0 ms"));
    EXPECT_THAT(outcome.out, testing::Not(HasSubstr("\x1b")));
    EXPECT_EQ(outcome.err, "");
  }
}

TEST_F(ClientTest, TopSaysWhatKeepsItFromTheServer) {
  const Outcome nobody = Run("top --once --server 127.0.0.1:1");
  EXPECT_EQ(nobody.exit_code, 3);
  EXPECT_THAT(nobody.err, HasSubstr("no service answers at 127.0.0.1:1"));
  EXPECT_EQ(nobody.out, "");
  const Outcome wrong = Online("top", "--interval 0");
  EXPECT_EQ(wrong.exit_code, 2);
  EXPECT_THAT(wrong.err, HasSubstr("--interval: is '0', allowed: a number from 0.1 to 3600"));
}

}  // namespace
}  // namespace phalanx
