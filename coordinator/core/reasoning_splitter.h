// A model's thinking apart from its answer, in the form of DeepSeek-R1 and its distillations:
//
//   <think>
//   Let me see ...
//   </think>
//
//   The answer is 42.
//
// The template may have written the opening tag already, so all text before the closing one is
// thinking, and so is an output without a closing tag (vLLM's deepseek_r1). Text that arrives in
// any pieces is split at the same place.
#pragma once

#include <string>
#include <string_view>

namespace phalanx {

inline constexpr std::string_view kReasoningBegin = "<think>";
inline constexpr std::string_view kReasoningEnd = "</think>";

// One choice's output. Not thread-safe.
class ReasoningSplitter {
 public:
  struct Pieces {
    std::string reasoning;
    std::string content;
  };

  // What is decided. The tags are in neither; everything else is in one, byte for byte, except for
  // white space before the opening tag.
  Pieces Append(std::string_view delta);
  // The output is complete: the rest.
  Pieces Finish();
  // All that follows is content.
  bool has_ended() const { return place_ == Place::kContent; }

 private:
  enum class Place { kStart, kReasoning, kContent };

  void SkipBegin();

  Place place_ = Place::kStart;
  std::string pending_;  // not yet decided
};

}  // namespace phalanx
