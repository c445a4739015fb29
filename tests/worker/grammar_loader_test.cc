#include "worker/grammar_loader.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/worker/fake_grammar_compiler.h"

namespace phalanx {
namespace {

GrammarSpec Spec(std::string source) {
  return {.kind = GrammarSpec::Kind::kRegex, .source = std::move(source)};
}

class GrammarLoaderTest : public ::testing::Test {
 protected:
  GrammarLoaderOptions Options() {
    return {.make_compiler = [this]() -> StatusOr<std::unique_ptr<GrammarCompiler>> {
              ++compilers_made_;
              return std::make_unique<testing::FakeGrammarCompiler>(let_go_);
            },
            .on_loaded =
                [this] {
                  ++num_loaded_;
                  num_loaded_.notify_all();
                },
            .max_waiting = 2};
  }
  void WaitForLoaded(int count) {
    for (int now = num_loaded_; now < count; now = num_loaded_) num_loaded_.wait(now);
  }

  std::atomic<bool> let_go_{false};
  std::atomic<int> num_loaded_{0};
  std::atomic<int> compilers_made_{0};
};

TEST_F(GrammarLoaderTest, GivesGrammarsAndErrorsInOrder) {
  GrammarLoader loader(Options());
  EXPECT_TRUE(loader.Take().empty());
  ASSERT_TRUE(loader.Load(7, Spec("a"), "regex").ok());
  WaitForLoaded(1);
  ASSERT_TRUE(loader.Load(8, Spec("bad"), "regex").ok());
  WaitForLoaded(2);
  const auto loaded = loader.Take();
  ASSERT_EQ(loaded.size(), 2);
  EXPECT_EQ(loaded[0].request, 7);
  EXPECT_TRUE(loaded[0].grammar.ok());
  EXPECT_EQ(loaded[1].request, 8);
  EXPECT_EQ(loaded[1].grammar.status().field(), "regex");
  EXPECT_EQ(compilers_made_, 1);
}

TEST_F(GrammarLoaderTest, NeverBlocksAndRefusesBeyondItsQueue) {
  GrammarLoader loader(Options());
  int num_accepted = 0;
  Status refused = OkStatus();
  for (uint64_t request = 1; refused.ok(); ++request) {
    refused = loader.Load(request, Spec("slow"), "regex");
    if (refused.ok()) ++num_accepted;
  }
  EXPECT_EQ(refused.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(loader.Take().empty());
  let_go_ = true;
  let_go_.notify_all();
  WaitForLoaded(num_accepted);
  EXPECT_EQ(loader.Take().size(), num_accepted);
}

TEST_F(GrammarLoaderTest, EachRequestHearsThatThereIsNoCompiler) {
  GrammarLoaderOptions options = Options();
  options.make_compiler = []() -> StatusOr<std::unique_ptr<GrammarCompiler>> {
    return UnimplementedError("no structured output");
  };
  GrammarLoader loader(std::move(options));
  ASSERT_TRUE(loader.Load(1, Spec("a"), "regex").ok());
  WaitForLoaded(1);
  EXPECT_EQ(loader.Take().at(0).grammar.status().code(), StatusCode::kUnimplemented);
}

TEST_F(GrammarLoaderTest, EndsWhileOthersWait) {
  GrammarLoader loader(Options());
  ASSERT_TRUE(loader.Load(1, Spec("a"), "regex").ok());
  ASSERT_TRUE(loader.Load(2, Spec("a"), "regex").ok());
}

}  // namespace
}  // namespace phalanx
