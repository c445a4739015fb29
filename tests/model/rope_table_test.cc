#include "model/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/backend_factory.h"

namespace phalanx {
namespace {

TEST(LazyRopeTableTest, FillsAsFarAsItMustReachAndNoFurther) {
  const auto backend = std::move(CreateBackend({.num_threads = 1})).value();
  constexpr int64_t kPositions = 10000;
  LazyRopeTable table;
  ASSERT_TRUE(table.Allocate(*backend, {{1.0F, 0.25F}, 2.0F}, kPositions).ok());
  EXPECT_EQ(table.num_filled(), 0);
  table.Reach(1);
  EXPECT_EQ(table.num_filled(), 4096);
  table.Reach(4096);
  EXPECT_EQ(table.num_filled(), 4096);
  table.Reach(4097);
  EXPECT_EQ(table.num_filled(), 8192);
  table.Reach(kPositions);
  EXPECT_EQ(table.num_filled(), kPositions);
  const RopeTable& view = table.view();
  EXPECT_EQ(view.num_positions, kPositions);
  EXPECT_EQ(view.half_dim, 2);
  for (const int64_t p : {0, 1, 4095, 4096, 8192, 9999}) {
    const auto angle = static_cast<double>(static_cast<float>(p) * 0.25F);
    EXPECT_EQ(view.cos[p * 2 + 1], 2.0F * static_cast<float>(std::cos(angle))) << p;
    EXPECT_EQ(view.sin[p * 2 + 1], 2.0F * static_cast<float>(std::sin(angle))) << p;
  }
}

}  // namespace
}  // namespace phalanx
