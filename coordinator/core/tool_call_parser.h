// Tool calls in a model's output, in the Hermes format that Qwen2.5 writes:
//
//   text <tool_call>
//   {"name": "get_weather", "arguments": {"city": "Oslo"}}
//   </tool_call>
//
// Text that arrives in any pieces gives the same calls and the same content. Content cannot take
// back what a client was told to be a call, so a call comes out
//   - when it is complete, where the model was free to write anything: up to the end tag the next
//     character may still make it no call, and what is no call is content;
//   - as it is written, from the beginning of its arguments on, where a grammar holds the output to
//     the format. If the output is cut short, so are the arguments.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/limits.h"

namespace phalanx {

struct ToolCallEvent {
  enum class Kind {
    kContent,
    kName,       // a call begins
    kArguments,  // a piece of its JSON object, byte for byte as the model wrote it
  };
  Kind kind = Kind::kContent;
  std::string text;

  bool operator==(const ToolCallEvent&) const = default;
};

// One choice's output. Not thread-safe.
class ToolCallParser {
 public:
  // `limits` bound the JSON of a call that no grammar holds to the format; beyond them it is
  // content.
  explicit ToolCallParser(const Limits& limits) : limits_(limits) {}

  // What follows is held to the format by a grammar.
  void TrustFormat() { is_trusted_ = true; }
  // Text before, between and after calls is content, except for white space that follows a call.
  // Events are appended; their texts are not empty.
  void Append(std::string_view delta, std::vector<ToolCallEvent>* events);
  // The output is complete: a call that lacks only its end tag counts.
  void Finish(std::vector<ToolCallEvent>* events);

  // The arguments of the last call go on.
  bool is_within_arguments() const { return place_ == Place::kArguments; }

 private:
  enum class Place {
    kText,
    kCall,       // after the start tag
    kArguments,  // of a call that came out already
    kTail,       // after them, up to the end tag
  };

  void Scan(std::vector<ToolCallEvent>* events);
  // Each does what it can; true: there is more to look at.
  bool ScanText(std::vector<ToolCallEvent>* events);
  bool ScanCall(std::vector<ToolCallEvent>* events);
  bool ScanArguments(std::vector<ToolCallEvent>* events);
  bool ScanTail();
  enum class Found { kNothing, kArguments, kEndTag };
  Found FindNext();
  bool StepString(char c);
  void OpenCall(std::vector<ToolCallEvent>* events);
  bool TakeCall(std::string_view body, std::vector<ToolCallEvent>* events);
  void EmitContent(std::string_view text, std::vector<ToolCallEvent>* events);
  void Enter(Place place);

  const Limits limits_;
  bool is_trusted_ = false;
  Place place_ = Place::kText;
  std::string pending_;  // not yet decided; in a call: what follows the start tag
  std::string space_;    // white space after a call
  bool after_call_ = false;
  // Where the scan of pending_ stands.
  size_t scanned_ = 0;
  size_t depth_ = 0;  // open braces
  bool in_string_ = false;
  bool escaped_ = false;
};

}  // namespace phalanx
