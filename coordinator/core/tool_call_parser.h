// Tool calls in a model's output, in the Hermes format that Qwen2.5 writes:
//
//   text <tool_call>
//   {"name": "get_weather", "arguments": {"city": "Oslo"}}
//   </tool_call>
//
// Text that arrives in any pieces gives the same calls and the same content. A call comes out when
// it is complete, never in part: what turns out to be no call is content, and content cannot take
// back what a client was told to be a call.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/limits.h"

namespace phalanx {

struct ToolCallEvent {
  enum class Kind { kContent, kCall };
  Kind kind = Kind::kContent;
  std::string text;       // of content
  std::string name;       // of a call
  std::string arguments;  // of a call: the JSON object, byte for byte as the model wrote it

  bool operator==(const ToolCallEvent&) const = default;
};

// One choice's output. Not thread-safe.
class ToolCallParser {
 public:
  // `limits` bound the JSON of a call; beyond them it is content.
  explicit ToolCallParser(const Limits& limits) : limits_(limits) {}

  // Text before, between and after calls is content, except for white space that follows a call.
  // Events are appended; content events are not empty.
  void Append(std::string_view delta, std::vector<ToolCallEvent>* events);
  // The output is complete: a call that lacks only its end tag counts.
  void Finish(std::vector<ToolCallEvent>* events);

  int32_t num_calls() const { return num_calls_; }

 private:
  enum class Place { kText, kCall };

  void Scan(std::vector<ToolCallEvent>* events);
  bool ScanText(std::vector<ToolCallEvent>* events);
  bool ScanCall(std::vector<ToolCallEvent>* events);
  bool TakeCall(std::string_view body, std::vector<ToolCallEvent>* events);
  void EmitContent(std::string_view text, std::vector<ToolCallEvent>* events);

  const Limits limits_;
  Place place_ = Place::kText;
  std::string pending_;  // not yet decided; in a call: what follows the start tag
  std::string space_;    // white space after a call
  bool after_call_ = false;
  int32_t num_calls_ = 0;
  // Where the search for the end tag stands in pending_.
  size_t scanned_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace phalanx
