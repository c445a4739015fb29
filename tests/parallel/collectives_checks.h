// Checks that every communicator must pass; each rank of a group runs them in the same order.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "parallel/communicator.h"

namespace phalanx::testing_collectives {

// What `rank` contributes: of very different magnitudes, so that another order of summation gives
// other bits.
inline std::vector<float> Contribution(int rank, int64_t count, uint32_t seed) {
  std::mt19937 engine(seed * 1000003u + static_cast<uint32_t>(rank));
  std::uniform_real_distribution<float> mantissa(-1.0f, 1.0f);
  std::uniform_int_distribution<int> exponent(-12, 12);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = std::ldexp(mantissa(engine), exponent(engine));
  return values;
}

inline std::vector<float> SumInRankOrder(int size, int64_t count, uint32_t seed) {
  std::vector<float> sum = Contribution(0, count, seed);
  for (int rank = 1; rank < size; ++rank) {
    const std::vector<float> part = Contribution(rank, count, seed);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += part[i];
  }
  return sum;
}

inline void ExpectSameBits(const std::vector<float>& actual, const std::vector<float>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  size_t num_different = 0, first = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::memcmp(&actual[i], &expected[i], sizeof(float)) != 0 && num_different++ == 0)
      first = i;
  }
  ASSERT_EQ(num_different, 0u) << "of " << actual.size() << ", first at " << first << ": "
                               << actual[first] << ", expected " << expected[first];
}

inline void CheckAllReduce(Communicator& communicator, const std::vector<int64_t>& counts) {
  uint32_t seed = 1;
  for (const int64_t count : counts) {
    SCOPED_TRACE(testing::Message() << "rank " << communicator.rank() << " of "
                                    << communicator.size() << ", count " << count);
    std::vector<float> data = Contribution(communicator.rank(), count, ++seed);
    ASSERT_EQ(communicator.AllReduceSum(MakeTensor(data.data(), DType::kF32, 1, count)),
              OkStatus());
    ExpectSameBits(data, SumInRankOrder(communicator.size(), count, seed));
  }
}

// The same row inside messages of many sizes has the same bits.
inline void CheckRowsDoNotDependOnMessageSize(Communicator& communicator) {
  constexpr int64_t kCols = 896;
  const std::vector<float> row = Contribution(communicator.rank(), kCols, 77);
  std::vector<float> alone;
  for (const int64_t rows : {1, 2, 8, 37, 512}) {
    std::vector<float> data;
    for (int64_t r = 0; r < rows; ++r) data.insert(data.end(), row.begin(), row.end());
    ASSERT_EQ(communicator.AllReduceSum(MakeTensor(data.data(), DType::kF32, rows, kCols)),
              OkStatus());
    if (rows == 1) alone = data;
    for (int64_t r = 0; r < rows; ++r) {
      ExpectSameBits(std::vector<float>(data.begin() + r * kCols, data.begin() + (r + 1) * kCols),
                     alone);
    }
  }
}

inline void CheckAllGather(Communicator& communicator, const std::vector<size_t>& sizes) {
  const auto pattern = [](int rank, size_t i) {
    return static_cast<std::byte>((static_cast<size_t>(rank) * 131 + i * 7 + i / 251) & 0xff);
  };
  const auto num_ranks = static_cast<size_t>(communicator.size());
  for (const size_t bytes : sizes) {
    std::vector<std::byte> send(bytes), recv(bytes * num_ranks);
    for (size_t i = 0; i < bytes; ++i) send[i] = pattern(communicator.rank(), i);
    ASSERT_EQ(communicator.AllGather(send, recv), OkStatus());
    size_t num_wrong = 0;
    for (size_t peer = 0; peer < num_ranks; ++peer) {
      for (size_t i = 0; i < bytes; ++i)
        num_wrong += recv[peer * bytes + i] != pattern(static_cast<int>(peer), i);
    }
    ASSERT_EQ(num_wrong, 0u) << "rank " << communicator.rank() << ", " << bytes << " bytes";
  }
}

inline void CheckBroadcast(Communicator& communicator, const std::vector<size_t>& sizes) {
  for (const size_t bytes : sizes) {
    std::string expected(bytes, '\0');
    for (size_t i = 0; i < bytes; ++i) expected[i] = static_cast<char>(i * 31 + i / 255 + bytes);
    std::string message = communicator.rank() == 0 ? expected : "what was there before";
    ASSERT_EQ(communicator.Broadcast(message), OkStatus());
    ASSERT_TRUE(message == expected) << "rank " << communicator.rank() << ", " << bytes << " bytes";
  }
}

// Everything in turn, many times: buffers that are reused too early show here.
inline void CheckMixedOperations(Communicator& communicator, int rounds, int64_t largest_count) {
  std::mt19937 engine(4711);  // the same choices on every rank
  for (int round = 0; round < rounds; ++round) {
    const int64_t count = std::uniform_int_distribution<int64_t>(0, largest_count)(engine);
    switch (engine() % 5) {
      case 0:
      case 1:
        CheckAllReduce(communicator, {count, 3});
        break;
      case 2:
        CheckAllGather(communicator, {static_cast<size_t>(count)});
        break;
      case 3:
        CheckBroadcast(communicator, {static_cast<size_t>(count), 5});
        break;
      default:
        ASSERT_EQ(communicator.Barrier(), OkStatus());
    }
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace phalanx::testing_collectives
