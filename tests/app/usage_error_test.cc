#include "app/usage_error.h"

#include <gtest/gtest.h>

#include "app/yaml_config.h"

namespace phalanx {
namespace {

// What `arguments`, the program's name left out, are answered with; empty where they are taken.
std::string ErrorOf(std::vector<const char*> arguments) {
  CLI::App app("A program.", "worker");
  uint64_t seed = 0;
  double share = 0;
  std::string level;
  AddYamlConfig(&app);
  app.add_option("--seed", seed, "a seed");
  app.add_option("--share", share, "a share");
  app.add_option("--level", level, "a level")->check(CLI::IsMember({"low", "high"}));
  arguments.insert(arguments.begin(), "worker");
  try {
    app.parse(static_cast<int>(arguments.size()), arguments.data());
  } catch (const CLI::ParseError& error) {
    return UsageError(app, error);
  }
  return "";
}

TEST(UsageErrorTest, NamesProgramFlagValueAndWhatIsAllowed) {
  EXPECT_EQ(ErrorOf({"--seed", "7", "--share", "0.5", "--level", "low"}), "");
  EXPECT_EQ(ErrorOf({"--seed", "x"}), "worker: --seed: is x, allowed: an integer of at least 0");
  EXPECT_EQ(ErrorOf({"--share", "much"}), "worker: --share: is much, allowed: a number");
  EXPECT_EQ(ErrorOf({"--level", "mid"}), "worker: --level: mid not in {low,high}");
  EXPECT_EQ(ErrorOf({"--config", "/no/such.yaml"}),
            "worker: --config: /no/such.yaml was not readable (missing?)");
}

}  // namespace
}  // namespace phalanx
