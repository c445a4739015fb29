#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <type_traits>

#include "kernels/cpu/tiles.h"

// The rest of the program must run on machines without tiles.
#define PHALANX_AMX __attribute__((target("amx-tile,amx-bf16,amx-int8")))

namespace phalanx {
namespace {

constexpr int64_t kRowBytes = 64;  // of every tile
constexpr int64_t kTileBytes = kTileRows * kRowBytes;

// Operand of LDTILECFG, palette 1.
struct alignas(64) Configuration {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Rows of x are cut into one, two or three tiles; the second of two may be a row shorter.
int64_t NumTiles(int64_t num_rows) { return (num_rows + kTileRows - 1) / kTileRows; }
int64_t RowsOfFirstTile(int64_t num_rows) {
  const int64_t num_tiles = NumTiles(num_rows);
  return (num_rows + num_tiles - 1) / num_tiles;
}

// Registers, by the number of tiles of x:
//   one    sums 0 (low half), 1 (high); x 4; weights 6, 7
//   two    sums 0, 1 (low), 2, 3 (high); x 4, 5; weights 6, 7
//   three  sums 0, 1, 2 (low), 3, 4, 5 (high); x 7, one after another; weights 6
PHALANX_AMX void Configure(int64_t num_rows) {
  const int64_t num_tiles = NumTiles(num_rows);
  const int64_t first = RowsOfFirstTile(num_rows);
  Configuration configuration;
  for (int tile = 0; tile < 8; ++tile) {
    const bool holds_weights = tile == 6 || (tile == 7 && num_tiles < 3);
    const bool is_second = num_tiles == 2 && tile % 2 == 1;
    const int64_t rows = holds_weights ? kTileDepth / 2 : is_second ? num_rows - first : first;
    configuration.row_bytes[tile] = kRowBytes;
    configuration.rows[tile] = static_cast<uint8_t>(rows);
  }
  // GCC believes that the instruction reads eight bytes, and would drop the other stores.
  asm volatile("" : : "r"(&configuration) : "memory");
  _tile_loadconfig(&configuration);
}

// Registers are named by literals.
#define PHALANX_TILE_DOT(sums, x, weights)                  \
  if constexpr (std::is_same_v<Product, Int8TileProduct>) { \
    _tile_dpbssd(sums, x, weights);                         \
  } else {                                                  \
    _tile_dpbf16ps(sums, x, weights);                       \
  }

PHALANX_AMX void Release() { _tile_release(); }

template <class Product>
PHALANX_AMX void MultiplyOne(const Product& product) {
  const std::byte* x = product.x;
  const std::byte* weights = product.weights;
  const int64_t step_bytes = product.num_rows * kRowBytes;
  auto* low = product.sums;
  auto* high = low + product.num_rows * kTileSlots;
  if (product.start == TileStart::kZero) {
    _tile_zero(0);
    _tile_zero(1);
  } else {
    _tile_loadd(0, low, kRowBytes);
    _tile_loadd(1, high, kRowBytes);
  }
  for (int64_t step = 0; step < product.num_steps; ++step) {
    _tile_loadd(4, x, kRowBytes);
    _tile_loadd(6, weights, kRowBytes);
    PHALANX_TILE_DOT(0, 4, 6);
    _tile_loadd(7, weights + kTileBytes, kRowBytes);
    PHALANX_TILE_DOT(1, 4, 7);
    x += step_bytes;
    weights += 2 * kTileBytes;
  }
  _tile_stored(0, low, kRowBytes);
  _tile_stored(1, high, kRowBytes);
}

template <class Product>
PHALANX_AMX void MultiplyTwo(const Product& product) {
  const int64_t first = RowsOfFirstTile(product.num_rows);
  const int64_t step_bytes = product.num_rows * kRowBytes;
  const std::byte* x0 = product.x;
  const std::byte* x1 = x0 + first * kRowBytes;
  const std::byte* weights = product.weights;
  auto* low = product.sums;
  auto* high = low + product.num_rows * kTileSlots;
  const int64_t second = first * kTileSlots;
  if (product.start == TileStart::kZero) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, low, kRowBytes);
    _tile_loadd(1, low + second, kRowBytes);
    _tile_loadd(2, high, kRowBytes);
    _tile_loadd(3, high + second, kRowBytes);
  }
  for (int64_t step = 0; step < product.num_steps; ++step) {
    _tile_loadd(4, x0, kRowBytes);
    _tile_loadd(6, weights, kRowBytes);
    PHALANX_TILE_DOT(0, 4, 6);
    _tile_loadd(5, x1, kRowBytes);
    PHALANX_TILE_DOT(1, 5, 6);
    _tile_loadd(7, weights + kTileBytes, kRowBytes);
    PHALANX_TILE_DOT(2, 4, 7);
    PHALANX_TILE_DOT(3, 5, 7);
    x0 += step_bytes;
    x1 += step_bytes;
    weights += 2 * kTileBytes;
  }
  _tile_stored(0, low, kRowBytes);
  _tile_stored(1, low + second, kRowBytes);
  _tile_stored(2, high, kRowBytes);
  _tile_stored(3, high + second, kRowBytes);
}

// Six sums leave two registers, so each tile of x is read twice, the second time from the
// first-level cache: still fewer cycles of loads than of products.
template <class Product>
PHALANX_AMX void MultiplyThree(const Product& product) {
  const int64_t step_bytes = product.num_rows * kRowBytes;
  const int64_t tile_bytes = step_bytes / 3;
  const int64_t tile_floats = product.num_rows / 3 * kTileSlots;
  const std::byte* x0 = product.x;
  const std::byte* x1 = x0 + tile_bytes;
  const std::byte* x2 = x1 + tile_bytes;
  const std::byte* weights = product.weights;
  auto* low = product.sums;
  auto* high = low + 3 * tile_floats;
  if (product.start == TileStart::kZero) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    _tile_zero(4);
    _tile_zero(5);
  } else {
    _tile_loadd(0, low, kRowBytes);
    _tile_loadd(1, low + tile_floats, kRowBytes);
    _tile_loadd(2, low + 2 * tile_floats, kRowBytes);
    _tile_loadd(3, high, kRowBytes);
    _tile_loadd(4, high + tile_floats, kRowBytes);
    _tile_loadd(5, high + 2 * tile_floats, kRowBytes);
  }
  for (int64_t step = 0; step < product.num_steps; ++step) {
    _tile_loadd(6, weights, kRowBytes);
    _tile_loadd(7, x0, kRowBytes);
    PHALANX_TILE_DOT(0, 7, 6);
    _tile_loadd(7, x1, kRowBytes);
    PHALANX_TILE_DOT(1, 7, 6);
    _tile_loadd(7, x2, kRowBytes);
    PHALANX_TILE_DOT(2, 7, 6);
    _tile_loadd(6, weights + kTileBytes, kRowBytes);
    _tile_loadd(7, x0, kRowBytes);
    PHALANX_TILE_DOT(3, 7, 6);
    _tile_loadd(7, x1, kRowBytes);
    PHALANX_TILE_DOT(4, 7, 6);
    _tile_loadd(7, x2, kRowBytes);
    PHALANX_TILE_DOT(5, 7, 6);
    x0 += step_bytes;
    x1 += step_bytes;
    x2 += step_bytes;
    weights += 2 * kTileBytes;
  }
  _tile_stored(0, low, kRowBytes);
  _tile_stored(1, low + tile_floats, kRowBytes);
  _tile_stored(2, low + 2 * tile_floats, kRowBytes);
  _tile_stored(3, high, kRowBytes);
  _tile_stored(4, high + tile_floats, kRowBytes);
  _tile_stored(5, high + 2 * tile_floats, kRowBytes);
}

template <class Product>
void Multiply(const Product& product) {
  switch (NumTiles(product.num_rows)) {
    case 1:
      return MultiplyOne(product);
    case 2:
      return MultiplyTwo(product);
    default:
      return MultiplyThree(product);
  }
}

bool HasInstructions() {
  constexpr unsigned kBf16 = 1U << 22;
  constexpr unsigned kTile = 1U << 24;
  constexpr unsigned kInt8 = 1U << 25;
  constexpr unsigned kAll = kBf16 | kTile | kInt8;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return false;
  return (edx & kAll) == kAll;
}

// Linux saves the registers only for processes that asked: its "Using XSTATE features in user
// space applications". For all threads; asking again changes nothing.
bool AskForPermission() {
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

constexpr TileFunctions kFunctions = {
    .configure = &Configure,
    .multiply = &Multiply<TileProduct>,
    .multiply_int8 = &Multiply<Int8TileProduct>,
    .release = &Release,
};

}  // namespace

const TileFunctions* FindTileFunctions() {
  return HasInstructions() && AskForPermission() ? &kFunctions : nullptr;
}

}  // namespace phalanx
