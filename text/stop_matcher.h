// Stop strings in a stream of text: they are found across the edges of deltas, and no text is let
// through that may still turn out to be part of one.
//
// The match whose last character comes first wins, and of those that end at one character the
// longest. So the result depends on the text alone and not on how it was cut into tokens. Time is
// linear in the text: Aho and Corasick, "Efficient String Matching: An Aid to Bibliographic Search"
// (1975).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

enum class StopText { kDrop, kInclude };  // kInclude: include_stop_str_in_output=True

struct StopOptions {
  StopText stop_text = StopText::kDrop;
};

// Belongs to one stream: not thread-safe.
class StopMatcher {
 public:
  struct Output {
    std::string text;                  // may be sent now
    std::optional<size_t> stop_index;  // which stop string ended the stream, in the order given
  };

  // INVALID_ARGUMENT "stop[i]: ..." for an empty string or one that is not UTF-8. No stop strings
  // at all: every text passes at once. How many and how long is the caller's limit to set.
  static StatusOr<StopMatcher> Create(std::vector<std::string> stop_strings,
                                      StopOptions options = {});

  // `delta` is whole UTF-8 characters, and so is the text returned. After a match nothing more
  // comes out.
  Output Append(std::string_view delta);

  // As Append, for text within which no match counts; one that begins in it and ends in later text
  // still does. Returns what may be sent now.
  std::string Pass(std::string_view delta);

  // The stream ended for another reason: what was withheld. Afterwards nothing more comes out.
  std::string Flush();

  size_t withheld_bytes() const { return withheld_.size(); }

 private:
  struct Node {
    std::vector<std::pair<char, int32_t>> children;
    int32_t fail = 0;
    int32_t depth = 0;           // bytes; also how much text must be withheld in this state
    int32_t longest_match = -1;  // index of the longest stop string that ends here, -1: none
  };

  StopMatcher(std::vector<std::string> stop_strings, StopOptions options);
  int32_t Next(int32_t node, char byte) const;
  std::string Release();

  std::vector<std::string> stop_strings_;
  StopOptions options_;
  std::vector<Node> nodes_;
  int32_t state_ = 0;
  std::string withheld_;
  bool stopped_ = false;
};

}  // namespace phalanx
