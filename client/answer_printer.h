// An answer for a person, as it comes: thinking, text, and calls of tools a line each.
#pragma once

#include "phalanx/v1/inference.pb.h"

namespace phalanx {

class AnswerPrinter {
 public:
  // To standard output at once. A call reads "-> NAME ARGUMENTS".
  void Print(const v1::StreamResponse& delta);
  bool has_printed() const { return has_printed_; }

 private:
  void PrintCall(const v1::ToolCallDelta& delta);

  bool has_printed_ = false;
};

}  // namespace phalanx
