// The vocabulary and the merges of a byte-level BPE model, as tokenizer.json, vocab.json and
// merges.txt spell them. Errors name the place and what is allowed there.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "kernels/base/status.h"
#include "text/bpe.h"
#include "text/json_file.h"

namespace phalanx {

// Ids are at most this, so that a hostile file cannot ask for tables of any size.
inline constexpr int32_t kMaxTokenId = (1 << 24) - 1;

using Vocab = std::vector<std::pair<std::string, int32_t>>;        // spelling and id, ids distinct
using VocabIndex = std::unordered_map<std::string_view, int32_t>;  // views into a Vocab

// {"TOKEN": ID, ...}
Status ReadVocab(const JsonField& field, Vocab* vocab, VocabIndex* index);

// ["LEFT RIGHT", ...] or [["LEFT", "RIGHT"], ...], by rank.
Status ReadMergesJson(const JsonField& field, const VocabIndex& index,
                      std::vector<BpeMerge>* merges);

// merges.txt: a line "LEFT RIGHT" for each.
Status ReadMergesText(std::string_view text, const VocabIndex& index,
                      std::vector<BpeMerge>* merges);

}  // namespace phalanx
