// ldmatrix and mma.sync of the PTX ISA, by the fragment layouts that primitives.h states.
#include <cstring>

#include "kernels/cuda/emulation/block.h"
#include "kernels/cuda/emulation/thread.h"

namespace phalanx::cuda::emulation {
namespace {

struct MatrixLane {
  const void* row;
  uint32_t* registers;
};

// matrices[i][row][column]
using Matrices = uint16_t[4][8][8];

void ReadMatrices(Block& block, void* const (&lanes)[32], Matrices& matrices) {
  for (int i = 0; i < 32; ++i) {
    const void* const row = static_cast<const MatrixLane*>(lanes[i])->row;
    const int thread = block.thread() / 32 * 32 + i;
    if (!block.InShared(row)) block.Fault(thread, "loads a matrix from what is no shared memory");
    block.OnAccessBy(thread, reinterpret_cast<uintptr_t>(row), 16, 16, Access::kRead);
    std::memcpy(matrices[i / 8][i % 8], row, 16);
  }
}

uint32_t Pack(uint16_t low, uint16_t high) {
  return static_cast<uint32_t>(low) | static_cast<uint32_t>(high) << 16;
}

void LoadWarp(Block& block, void* const (&lanes)[32]) {
  Matrices m;
  ReadMatrices(block, lanes, m);
  for (int lane = 0; lane < 32; ++lane) {
    uint32_t* const r = static_cast<const MatrixLane*>(lanes[lane])->registers;
    const int row = lane / 4;
    const int column = 2 * (lane % 4);
    for (int i = 0; i < 4; ++i) r[i] = Pack(m[i][row][column], m[i][row][column + 1]);
  }
}

void LoadWarpTransposed(Block& block, void* const (&lanes)[32]) {
  Matrices m;
  ReadMatrices(block, lanes, m);
  for (int lane = 0; lane < 32; ++lane) {
    uint32_t* const r = static_cast<const MatrixLane*>(lanes[lane])->registers;
    const int column = lane / 4;
    const int row = 2 * (lane % 4);
    for (int i = 0; i < 4; ++i) r[i] = Pack(m[i][row][column], m[i][row + 1][column]);
  }
}

struct TileLane {
  float* d;
  const uint32_t* a;
  const uint32_t* b;
  Widen widen;
};

// Products are exact and summed in double, then rounded once: at least as exact as the hardware,
// whose order and inner width are not documented.
void MultiplyWarp(Block& /*block*/, void* const (&lanes)[32]) {
  double a[16][16];
  double b[16][8];
  const auto lane_at = [&](int lane) -> const TileLane& {
    return *static_cast<const TileLane*>(lanes[lane]);
  };
  const Widen widen = lane_at(0).widen;
  const auto low = [&](uint32_t word) -> double { return widen(static_cast<uint16_t>(word)); };
  const auto high = [&](uint32_t word) -> double {
    return widen(static_cast<uint16_t>(word >> 16));
  };
  for (int lane = 0; lane < 32; ++lane) {
    const TileLane& mine = lane_at(lane);
    const int g = lane / 4;
    const int t = lane % 4;
    for (int i = 0; i < 4; ++i) {
      const int row = g + 8 * (i % 2);
      const int column = 2 * t + 8 * (i / 2);
      a[row][column] = low(mine.a[i]);
      a[row][column + 1] = high(mine.a[i]);
    }
    for (int i = 0; i < 2; ++i) {
      b[2 * t + 8 * i][g] = low(mine.b[i]);
      b[2 * t + 8 * i + 1][g] = high(mine.b[i]);
    }
  }
  for (int row = 0; row < 16; ++row) {
    double sums[8] = {};
    for (int k = 0; k < 16; ++k) {
      for (int column = 0; column < 8; ++column) sums[column] += a[row][k] * b[k][column];
    }
    for (int column = 0; column < 8; ++column) {
      const TileLane& lane = lane_at(row % 8 * 4 + column / 2);
      float& d = lane.d[row / 8 * 2 + column % 2];
      d = static_cast<float>(static_cast<double>(d) + sums[column]);
    }
  }
}

}  // namespace

void LoadMatrices(uint32_t (&r)[4], const void* row) {
  MatrixLane lane{row, r};
  Block::Current().WarpMeet("a load of matrices", LoadWarp, &lane);
}

void LoadMatricesTransposed(uint32_t (&r)[4], const void* row) {
  MatrixLane lane{row, r};
  Block::Current().WarpMeet("a transposed load of matrices", LoadWarpTransposed, &lane);
}

void MultiplyTile(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], Widen widen) {
  TileLane lane{d, a, b, widen};
  Block::Current().WarpMeet("a product of tiles", MultiplyWarp, &lane);
}

}  // namespace phalanx::cuda::emulation
