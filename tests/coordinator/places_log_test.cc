#include "coordinator/core/places_log.h"

#include <gtest/gtest.h>

namespace phalanx {
namespace {

using std::chrono::seconds;

TEST(PlacesLogTest, SpeaksOfLargeChangesAndSeldom) {
  Clock::time_point now{seconds(100)};
  PlacesLog log;
  log.Reset(256);
  EXPECT_EQ(log.Update(256, now), std::nullopt);
  EXPECT_EQ(log.Update(171, now), std::nullopt) << "it drifts";
  EXPECT_EQ(log.Update(170, now), 256) << "by half of what is left";
  EXPECT_EQ(log.Update(20, now += seconds(9)), std::nullopt) << "a line was just written";
  EXPECT_EQ(log.Update(20, now += seconds(1)), 170);
  EXPECT_EQ(log.Update(29, now += seconds(60)), std::nullopt);
  EXPECT_EQ(log.Update(30, now), 20) << "up as well";
  log.Reset(4);
  EXPECT_EQ(log.Update(2, now), 4) << "another group";
}

}  // namespace
}  // namespace phalanx
