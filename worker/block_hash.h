// Chained hashes of full KV blocks: the hash of a block covers its tokens and, through its
// parent's hash, everything before it and the cache salt. They only index the prefix cache, whose
// hits compare the content itself, so a collision costs a missed reuse and never a wrong one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace phalanx {

// SipHash-2-4 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012).
uint64_t SipHash24(uint64_t key0, uint64_t key1, std::span<const std::byte> bytes);

// The parent hash of a sequence's first block.
uint64_t HashSalt(std::string_view salt);

// `tokens`: [block_size].
uint64_t HashBlock(uint64_t parent_hash, std::span<const int32_t> tokens);

}  // namespace phalanx
