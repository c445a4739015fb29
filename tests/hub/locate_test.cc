#include "hub/locate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/checkpoint_writer.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;

class LocateTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(snapshot_);
    std::filesystem::create_directories(entry_ / "refs");
    testing::WriteFile(snapshot_ / "config.json", "{}");
    testing::WriteFile(entry_ / "refs" / "main", "abc123\n");
  }

  testing::TempDir cache_;
  std::filesystem::path entry_ = cache_.path() / "models--Qwen--Tiny-0.5B";
  std::filesystem::path snapshot_ = entry_ / "snapshots" / "abc123";
};

TEST_F(LocateTest, TakesAFolderAsItIs) {
  EXPECT_EQ(*LocateModel(snapshot_.string(), "/nowhere"), snapshot_);
  EXPECT_EQ(*LocateModel(cache_.path().string(), "/nowhere"), cache_.path());
}

TEST_F(LocateTest, FindsAHubIdByRefOrCommit) {
  EXPECT_EQ(*LocateModel("Qwen/Tiny-0.5B", cache_.path()), snapshot_);
  EXPECT_EQ(*LocateModel("Qwen/Tiny-0.5B@abc123", cache_.path()), snapshot_);
}

TEST_F(LocateTest, SaysTheCommandThatFetches) {
  const auto missing = LocateModel("Qwen/Other", cache_.path());
  EXPECT_EQ(missing.status().code(), StatusCode::kNotFound);
  EXPECT_EQ(missing.status().field(), "--model");
  EXPECT_THAT(missing.status().message(), HasSubstr("launch/fetch.sh Qwen/Other"));
  EXPECT_FALSE(LocateModel("Qwen/Tiny-0.5B@v2", cache_.path()).ok());
}

TEST_F(LocateTest, RefusesWhatCouldLeaveTheCache) {
  testing::WriteFile(entry_ / "refs" / "main", "..");
  testing::WriteFile(entry_ / "config.json", "{}");
  EXPECT_FALSE(LocateModel("Qwen/Tiny-0.5B", cache_.path()).ok());
  for (const char* id : {"", "Qwen", "../x", "a/..", "a/b/c", "a/b@../..", "a/b@", "Qwen/"}) {
    const auto refused = LocateModel(id, cache_.path());
    EXPECT_EQ(refused.status().code(), StatusCode::kInvalidArgument) << id;
  }
}

}  // namespace
}  // namespace phalanx
