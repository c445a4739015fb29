// What `phalanx top` makes of two answers of a server.
#include "client/top_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

namespace phalanx {
namespace {

using std::chrono::seconds;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using Time = std::chrono::steady_clock::time_point;

constexpr TopViewport kWide{.width = 100, .height = 24};

v1::ServerInfo Busy() {
  v1::ServerInfo info;
  info.set_version("0.1.0");
  info.set_state("ready");
  info.set_model("demo");
  info.set_uptime_seconds(3725);
  info.set_num_ranks(2);
  info.set_device("cpu");
  info.set_isa("avx512");
  info.set_epoch(7);
  info.set_block_size(16);
  info.set_num_blocks(1000);
  info.set_num_free_blocks(750);
  info.set_num_running(8);
  info.set_max_num_seqs(64);
  info.set_num_waiting(3);
  info.set_num_open(11);
  info.set_waiting_prompt_tokens(512);
  info.set_num_preemptions(1);
  info.set_prefix_cache_queries(200);
  info.set_prefix_cache_hits(50);
  info.set_num_prompt_tokens(1000);
  info.set_num_generated_tokens(2000);
  info.set_num_first_tokens(10);
  info.set_first_token_seconds(1.0);
  info.set_num_finished(9);
  info.set_num_failed(2);
  info.set_num_refused(4);
  for (int rank = 0; rank < 2; ++rank) {
    v1::RankInfo& out = *info.add_ranks();
    out.set_rank(rank);
    out.set_num_steps(100);
    out.set_step_seconds(2.0);
    out.set_collective_seconds(0.5);
    out.set_resident_bytes(int64_t{300} << 20);
    out.set_kv_cache_bytes(int64_t{40} << 20);
    if (rank == 0) continue;
    out.set_device_reserved_bytes(int64_t{70} << 30);
    out.set_device_free_bytes(int64_t{2} << 30);
  }
  return info;
}

TopSample At(int second, v1::ServerInfo info) {
  return {.time = Time(seconds(second)), .status = {}, .info = std::move(info)};
}

std::vector<std::string> Render(const std::optional<TopSample>& before, const TopSample& now,
                                TopViewport viewport = kWide) {
  return RenderTop("here:1", before, now, now.time, viewport);
}

TEST(TopViewTest, RatesAreThoseBetweenTheTwoAnswers) {
  v1::ServerInfo later = Busy();
  later.set_uptime_seconds(3727);
  later.set_num_prompt_tokens(1600);
  later.set_num_generated_tokens(2050);
  later.set_num_first_tokens(14);
  later.set_first_token_seconds(1.1);
  later.mutable_ranks(0)->set_num_steps(120);
  later.mutable_ranks(0)->set_step_seconds(2.1);
  later.mutable_ranks(0)->set_collective_seconds(0.52);
  const std::string header =
      "phalanx top   here:1   demo" + std::string(100 - 27 - 8, ' ') + "up 1h02m";
  EXPECT_THAT(Render(At(0, Busy()), At(2, later)),
              ElementsAre(header, "ready", "2 ranks   cpu avx512   version 0.1.0", "",
                          "requests   11 open   9 answered   2 failed   4 refused",
                          "streams    8 of 64 running   3 waiting   512 prompt tokens wait   "
                          "1 preemptions",
                          "tokens/s   300 in   25 out   first token after 25.0 ms",
                          "KV cache   [#####...............] 25 %   250 of 1000 blocks of 16 tokens"
                          "   prefixes found 25 %",
                          "",
                          "rank       steps  step ms  waits     memory   KV cache     device"
                          "       free",
                          "   0         120     5.00   20 %    300 MiB     40 MiB          -"
                          "          -",
                          // Without a step between the answers: of all its steps.
                          "   1         100     20.0   25 %    300 MiB     40 MiB   70.0 GiB"
                          "   2048 MiB"));
}

TEST(TopViewTest, WithoutAnEarlierAnswerThereAreNoRates) {
  const std::string none = "tokens/s   - in   - out   first token after -";
  EXPECT_THAT(Render(std::nullopt, At(0, Busy())), Contains(none));
  EXPECT_THAT(Render(At(0, Busy()), At(0, Busy())), Contains(none)) << "no time has passed";
  TopSample lost = At(0, {});
  lost.status = UnavailableError("gone");
  EXPECT_THAT(Render(lost, At(1, Busy())), Contains(none));
  v1::ServerInfo anew;  // a server that was started again counts from 0
  anew.set_num_ranks(1);
  anew.set_uptime_seconds(1);
  EXPECT_THAT(Render(At(0, Busy()), At(1, anew)), Contains(none));
}

TEST(TopViewTest, RanksOfAnotherGroupAreNotComparedWith) {
  v1::ServerInfo later = Busy();
  later.set_epoch(8);
  later.mutable_ranks(0)->set_num_steps(200);
  later.mutable_ranks(0)->set_step_seconds(6.0);
  EXPECT_THAT(Render(At(0, Busy()), At(1, later)), Contains(HasSubstr("200     30.0")));
}

TEST(TopViewTest, WhyItIsUnavailableStandsBesideTheState) {
  v1::ServerInfo info = Busy();
  info.set_state("unavailable");
  info.set_state_reason("rank 1 sleeps");
  EXPECT_EQ(Render(std::nullopt, At(0, info)).at(1), "unavailable: rank 1 sleeps");
  const auto narrow = Render(std::nullopt, At(0, info), {.width = 10, .height = 24});
  EXPECT_EQ(narrow.at(1) + narrow.at(2) + narrow.at(3), "unavailable: rank 1 sleeps");
}

TEST(TopViewTest, WithoutAGroupNothingIsSaidOfIt) {
  v1::ServerInfo info;
  info.set_state("loading");
  info.set_version("0.1.0");
  const auto lines = Render(std::nullopt, At(0, info));
  EXPECT_THAT(lines, Contains("no worker group   version 0.1.0"));
  EXPECT_THAT(lines, Each(Not(StartsWith("KV cache"))));
}

TEST(TopViewTest, AServerOutOfReachHasNoFigures) {
  TopSample lost = At(9, {});
  lost.status = UnavailableError("connection refused");
  EXPECT_THAT(RenderTop("here:1", std::nullopt, lost, std::nullopt, kWide),
              ElementsAre("phalanx top   here:1", "unreachable: UNAVAILABLE: connection refused",
                          "no answer yet; trying on"));
  EXPECT_THAT(RenderTop("here:1", At(1, Busy()), lost, Time(seconds(2)), kWide),
              Contains("last answer 7s ago; trying on"));
}

TEST(TopViewTest, NothingIsLargerThanTheScreen) {
  v1::ServerInfo info = Busy();
  info.set_model(std::string(500, 'm'));
  for (int i = 2; i < 100; ++i) *info.add_ranks() = info.ranks(1);
  for (const int width : {1, 2, 7, 40, 80, 300}) {
    for (const int height : {1, 2, 5, 24}) {
      const auto lines = Render(std::nullopt, At(0, info), {.width = width, .height = height});
      EXPECT_LE(lines.size(), static_cast<size_t>(height));
      for (const std::string& line : lines) EXPECT_LE(line.size(), static_cast<size_t>(width));
    }
  }
  const auto few = Render(std::nullopt, At(0, info), {.width = 40, .height = 12});
  EXPECT_THAT(few, SizeIs(12));
  EXPECT_EQ(few.back(), "(99 more lines)");
  EXPECT_THAT(few.front(), ::testing::EndsWith("m>"));
  EXPECT_THAT(Render(std::nullopt, At(0, info), {.width = -3, .height = 0}), SizeIs(1));
}

TEST(TopViewTest, WhatAServerSaysCannotSteerTheTerminal) {
  const std::string hostile = "\x1b[2J\x07\n\xc2\x9b\xff\x7f";
  v1::ServerInfo info = Busy();
  info.set_model(hostile);
  info.set_state(hostile);
  info.set_state_reason(hostile);
  info.set_version(hostile);
  info.set_device(hostile);
  info.set_isa(hostile);
  TopSample lost = At(0, {});
  lost.status = UnavailableError("{}", hostile);
  for (const TopSample& sample : {At(0, info), lost}) {
    for (const std::string& line :
         RenderTop(hostile, std::nullopt, sample, std::nullopt, {.width = 400, .height = 99})) {
      for (const char c : line) EXPECT_TRUE(c >= ' ' && c <= '~') << line;
    }
  }
  EXPECT_THAT(Render(std::nullopt, At(0, info)),
              Contains(HasSubstr("\\x1b[2J\\x07\\x0a\\xc2\\x9b\\xff\\x7f")));
}

TEST(TopViewTest, AbsurdNumbersAreStillText) {
  v1::ServerInfo info = Busy();
  info.set_uptime_seconds(1e300);
  info.set_num_free_blocks(-5);
  info.set_num_blocks(1);
  info.mutable_ranks(0)->set_resident_bytes(INT64_MAX);
  info.mutable_ranks(0)->set_step_seconds(-1);
  info.mutable_ranks(0)->set_num_steps(INT64_MIN);
  EXPECT_THAT(Render(std::nullopt, At(0, info)), Contains(HasSubstr("100 %   6 of 1 blocks")));
}

}  // namespace
}  // namespace phalanx
