#include "worker/block_hash.h"

#include <bit>
#include <cstring>

namespace phalanx {
namespace {

struct SipState {
  uint64_t v0, v1, v2, v3;

  void Round() {
    v0 += v1;
    v1 = std::rotl(v1, 13) ^ v0;
    v0 = std::rotl(v0, 32);
    v2 += v3;
    v3 = std::rotl(v3, 16) ^ v2;
    v0 += v3;
    v3 = std::rotl(v3, 21) ^ v0;
    v2 += v1;
    v1 = std::rotl(v1, 17) ^ v2;
    v2 = std::rotl(v2, 32);
  }
  void Compress(uint64_t word) {
    v3 ^= word;
    Round();
    Round();
    v0 ^= word;
  }
};

uint64_t LoadLittleEndian(const std::byte* bytes, size_t size_bytes) {
  uint64_t word = 0;
  for (size_t i = 0; i < size_bytes; ++i) {
    word |= static_cast<uint64_t>(bytes[i]) << (8 * i);
  }
  return word;
}

// Any constant would do; it separates salts from blocks.
constexpr uint64_t kSaltKey = 0x7068616c616e7873;

}  // namespace

uint64_t SipHash24(uint64_t key0, uint64_t key1, std::span<const std::byte> bytes) {
  SipState state{key0 ^ 0x736f6d6570736575, key1 ^ 0x646f72616e646f6d, key0 ^ 0x6c7967656e657261,
                 key1 ^ 0x7465646279746573};
  const size_t whole_bytes = bytes.size() & ~size_t{7};
  for (size_t i = 0; i < whole_bytes; i += 8) {
    state.Compress(LoadLittleEndian(bytes.data() + i, 8));
  }
  state.Compress(LoadLittleEndian(bytes.data() + whole_bytes, bytes.size() - whole_bytes) |
                 static_cast<uint64_t>(bytes.size()) << 56);
  state.v2 ^= 0xff;
  for (int round = 0; round < 4; ++round) state.Round();
  return state.v0 ^ state.v1 ^ state.v2 ^ state.v3;
}

uint64_t HashSalt(std::string_view salt) {
  return SipHash24(kSaltKey, 0, std::as_bytes(std::span(salt.data(), salt.size())));
}

uint64_t HashBlock(uint64_t parent_hash, std::span<const int32_t> tokens) {
  return SipHash24(parent_hash, ~parent_hash, std::as_bytes(tokens));
}

}  // namespace phalanx
