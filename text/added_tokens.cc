#include "text/added_tokens.h"

#include <cstring>

#include "kernels/base/check.h"
#include "text/utf8.h"

namespace phalanx {

AddedTokenMatcher::AddedTokenMatcher(std::vector<AddedToken> tokens,
                                     const std::vector<std::string>& contents,
                                     const unicode::Classes& classes)
    : tokens_(std::move(tokens)), classes_(classes), trie_(1) {
  PHALANX_CHECK_EQ(tokens_.size(), contents.size());
  for (size_t i = 0; i < tokens_.size(); ++i) {
    PHALANX_CHECK(!contents[i].empty());
    size_t node = 0;
    for (const char c : contents[i]) {
      const auto byte = static_cast<unsigned char>(c);
      const auto& children = trie_[node].children;
      const auto it = std::find_if(children.begin(), children.end(),
                                   [&](const auto& child) { return child.first == byte; });
      if (it != children.end()) {
        node = static_cast<size_t>(it->second);
        continue;
      }
      trie_[node].children.emplace_back(byte, static_cast<int32_t>(trie_.size()));
      node = trie_.size();
      trie_.emplace_back();
    }
    if (trie_[node].token < 0) trie_[node].token = static_cast<int32_t>(i);
    starts_[static_cast<unsigned char>(contents[i][0])] = true;
  }
  if (std::count(starts_.begin(), starts_.end(), true) == 1) {
    only_start_ =
        static_cast<int>(std::find(starts_.begin(), starts_.end(), true) - starts_.begin());
  }
}

AddedTokenMatcher::Found AddedTokenMatcher::Next(std::string_view text, size_t from) const {
  for (size_t begin = from; begin < text.size(); ++begin) {
    if (only_start_ >= 0) {
      const void* start = std::memchr(text.data() + begin, only_start_, text.size() - begin);
      if (start == nullptr) break;
      begin = static_cast<size_t>(static_cast<const char*>(start) - text.data());
    } else if (!starts_[static_cast<unsigned char>(text[begin])]) {
      continue;
    }
    Found longest{begin, begin, -1};
    size_t node = 0;
    for (size_t i = begin; i < text.size(); ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      const auto& children = trie_[node].children;
      const auto it = std::find_if(children.begin(), children.end(),
                                   [&](const auto& child) { return child.first == byte; });
      if (it == children.end()) break;
      node = static_cast<size_t>(it->second);
      if (trie_[node].token >= 0) longest = {begin, i + 1, trie_[node].token};
    }
    if (longest.token >= 0) return longest;
  }
  return {text.size(), text.size(), -1};
}

bool AddedTokenMatcher::IsInsideWord(std::string_view text, const Found& found) const {
  const auto is_word = [&](size_t i) {
    return (classes_.Of(DecodeCodePoint(text.data() + i).value) & unicode::kWord) != 0;
  };
  return (found.begin > 0 && is_word(PreviousCodePoint(text, found.begin))) ||
         (found.end < text.size() && is_word(found.end));
}

size_t AddedTokenMatcher::SpaceBefore(std::string_view text, size_t end) const {
  while (end > 0) {
    const size_t begin = PreviousCodePoint(text, end);
    const uint32_t cp = DecodeCodePoint(text.data() + begin).value;
    if ((classes_.Of(cp) & unicode::kSpace) == 0) break;
    end = begin;
  }
  return end;
}

size_t AddedTokenMatcher::SpaceBehind(std::string_view text, size_t begin) const {
  while (begin < text.size()) {
    const CodePoint cp = DecodeCodePoint(text.data() + begin);
    if ((classes_.Of(cp.value) & unicode::kSpace) == 0) break;
    begin += cp.length_bytes;
  }
  return begin;
}

}  // namespace phalanx
