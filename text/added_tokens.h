// Tokens that are found in the text before BPE sees it, with Hugging Face's meaning of their flags.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/unicode/classes.h"

namespace phalanx {

struct AddedToken {
  int32_t id = 0;
  std::string content;
  bool special = false;      // skipped by Decode with kSkip
  bool normalized = false;   // looked for in normalized text, not in the text as it came
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // takes the white space behind it along
  bool single_word = false;  // only where no word character touches it
};

// Finds tokens in text: the leftmost match, of several the longest, then on behind it. Immutable.
class AddedTokenMatcher {
 public:
  // `contents[i]` is what to look for to find `tokens[i]`. `classes` must outlive this.
  AddedTokenMatcher(std::vector<AddedToken> tokens, const std::vector<std::string>& contents,
                    const unicode::Classes& classes);

  bool empty() const { return tokens_.empty(); }

  struct Split {
    std::string_view text;  // between tokens; empty where `id` is set
    int32_t id = -1;
  };

  // Calls `on_split(Split)` in order. Time: length of the text x length of the longest token at
  // worst.
  template <typename OnSplit>
  void Match(std::string_view text, OnSplit&& on_split) const;

 private:
  struct Node {
    std::vector<std::pair<unsigned char, int32_t>> children;
    int32_t token = -1;
  };
  struct Found {
    size_t begin;
    size_t end;
    int32_t token;  // -1: none
  };

  Found Next(std::string_view text, size_t from) const;
  bool IsInsideWord(std::string_view text, const Found& found) const;
  size_t SpaceBefore(std::string_view text, size_t end) const;
  size_t SpaceBehind(std::string_view text, size_t begin) const;

  std::vector<AddedToken> tokens_;
  const unicode::Classes& classes_;
  std::vector<Node> trie_;
  std::array<bool, 256> starts_{};  // bytes with which a token starts
  int only_start_ = -1;             // the byte where there is only one
};

template <typename OnSplit>
void AddedTokenMatcher::Match(std::string_view text, OnSplit&& on_split) const {
  size_t rest = 0;  // what is not yet given out begins here
  for (size_t from = 0; !tokens_.empty();) {
    Found found = Next(text, from);
    if (found.token < 0) break;
    from = found.end;
    const AddedToken& token = tokens_[static_cast<size_t>(found.token)];
    if (token.single_word && IsInsideWord(text, found)) continue;
    if (token.lstrip) found.begin = std::max(SpaceBefore(text, found.begin), rest);
    if (token.rstrip) found.end = SpaceBehind(text, found.end);
    if (rest < found.begin) on_split(Split{text.substr(rest, found.begin - rest), -1});
    on_split(Split{{}, token.id});
    // A token of white space behind an rstrip token moves `rest` back again, as it does in Hugging
    // Face.
    rest = found.end;
  }
  if (rest < text.size()) on_split(Split{text.substr(rest), -1});
}

}  // namespace phalanx
