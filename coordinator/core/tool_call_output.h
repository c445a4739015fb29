// A chat's content apart from the calls of tools in it, as every skin gives them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "coordinator/core/limits.h"
#include "coordinator/core/tool_call_parser.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {

enum class ToolParsing {
  kOff,  // what looks like a call is text
  kFirstCall,
  kAllCalls,
};

// What a request says of calls.
struct ToolCallRules {
  ToolParsing parsing = ToolParsing::kOff;
  v1::ToolChoice::ChoiceCase choice = v1::ToolChoice::CHOICE_NOT_SET;
  Limits limits;

  // A grammar makes the answer calls.
  bool are_forced() const {
    return choice == v1::ToolChoice::kRequired || choice == v1::ToolChoice::kFunction;
  }
};

// One choice's output. Not thread-safe.
class ToolCallOutput {
 public:
  // `id` is the choice's, unique in the service. `rules` parse.
  ToolCallOutput(const ToolCallRules& rules, std::string id);

  // As ToolCallParser's.
  void TrustFormat() { parser_.TrustFormat(); }
  // Appends to text_delta and tool_calls of `message`, which may hold some already.
  void Append(std::string_view text, v1::StreamResponse* message);
  // The output is complete.
  void Finish(v1::StreamResponse* message);
  // The finish reason of an output that ended with `reason`.
  v1::FinishReason ReasonFor(v1::FinishReason reason) const;

 private:
  void Take(std::vector<ToolCallEvent> events, v1::StreamResponse* message);
  void BeginCall(std::string name, v1::StreamResponse* message);
  void AppendArguments(std::string_view arguments, v1::StreamResponse* message) const;
  std::string CallId(int32_t call) const;

  const ToolParsing parsing_;
  const v1::ToolChoice::ChoiceCase choice_;
  const std::string id_;
  ToolCallParser parser_;
  int32_t num_calls_ = 0;  // those that are left out, too
};

}  // namespace phalanx
