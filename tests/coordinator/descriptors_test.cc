#include "coordinator/core/descriptors.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace phalanx {
namespace {

TEST(DescriptorsTest, TheSoftLimitIsRaisedToTheHardOne) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = 100;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &low), 0);
  EXPECT_EQ(RaiseDescriptorLimit(), before.rlim_max);
  rlimit now{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &now), 0);
  EXPECT_EQ(now.rlim_cur, before.rlim_max);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

TEST(DescriptorsTest, ConnectionsLeaveSomeForTheRest) {
  EXPECT_EQ(ConnectionsWithin(16'384, 1'048'576), 16'384U);
  EXPECT_EQ(ConnectionsWithin(16'384, 4'096), 3'584U);
  EXPECT_EQ(ConnectionsWithin(16'384, 1'024), 512U);
  EXPECT_EQ(ConnectionsWithin(10, 1'024), 10U);
  EXPECT_EQ(ConnectionsWithin(16'384, 0), 1U);
}

}  // namespace
}  // namespace phalanx
