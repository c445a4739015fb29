#include "client/answer_printer.h"

#include "client/terminal.h"

namespace phalanx {

void AnswerPrinter::Print(const v1::StreamResponse& delta) {
  if (!delta.reasoning_delta().empty()) {
    PrintNow(Coloured(delta.reasoning_delta(), Colour::kDim, stdout));
    has_printed_ = true;
  }
  if (!delta.text_delta().empty()) {
    PrintNow(delta.text_delta());
    has_printed_ = true;
  }
  for (const v1::ToolCallDelta& call : delta.tool_calls()) PrintCall(call);
}

void AnswerPrinter::PrintCall(const v1::ToolCallDelta& delta) {
  if (!delta.id().empty()) {
    if (has_printed_) PrintNow("\n");
    PrintNow(Coloured("-> " + delta.name(), Colour::kPrompt, stdout) + " ");
    has_printed_ = true;
  }
  PrintNow(delta.arguments_json());
}

}  // namespace phalanx
