// Byte-pair encoding: the model of a tokenizer, bytes of one piece in, ids out.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace phalanx {

class BpeScratch;

struct BpeMerge {
  int32_t left;
  int32_t right;
  int32_t result;
};

enum class WholePieces {
  kByMerges,   // a piece that is a token of the vocabulary is still built by merges
  kTakenAsIs,  // ignore_merges: it is taken at once
};

struct BpeConfig {
  std::array<int32_t, 256> byte_ids;  // the token of each byte, -1: none, and the byte is dropped
  std::vector<BpeMerge> merges;       // by rising rank; of two merges of one pair the later holds
  // Bytes and id of every token that a text can spell; the bytes outlive the model.
  std::vector<std::pair<std::string_view, int32_t>> tokens;
  WholePieces whole_pieces = WholePieces::kByMerges;
};

// Repeatedly joins the adjacent pair of the lowest rank, the leftmost of equal ones. Immutable.
class BpeModel {
 public:
  explicit BpeModel(const BpeConfig& config);
  ~BpeModel();

  // Appends the ids of `piece`. O(n log n) in its length, O(1) where it is one token.
  void Encode(std::string_view piece, BpeScratch* scratch, std::vector<int32_t>* ids) const;

 private:
  class PairTable;
  class WordTable;

  void MergeShort(std::string_view piece, std::vector<int32_t>* ids) const;
  void MergeLong(std::string_view piece, BpeScratch* scratch, std::vector<int32_t>* ids) const;

  std::array<int32_t, 256> byte_ids_;
  std::unique_ptr<PairTable> pairs_;
  std::unique_ptr<WordTable> words_;
};

}  // namespace phalanx
