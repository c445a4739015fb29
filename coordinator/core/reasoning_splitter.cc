#include "coordinator/core/reasoning_splitter.h"

#include <utility>

#include "coordinator/core/partial_tag.h"

namespace phalanx {

void ReasoningSplitter::SkipBegin() {
  const size_t text = pending_.find_first_not_of(" \t\r\n");
  const std::string_view rest =
      text == std::string::npos ? std::string_view() : std::string_view(pending_).substr(text);
  if (rest.size() < kReasoningBegin.size() && kReasoningBegin.starts_with(rest)) return;
  if (rest.starts_with(kReasoningBegin)) pending_.erase(0, text + kReasoningBegin.size());
  place_ = Place::kReasoning;
}

ReasoningSplitter::Pieces ReasoningSplitter::Append(std::string_view delta) {
  pending_ += delta;
  Pieces pieces;
  if (place_ == Place::kStart) SkipBegin();
  if (place_ == Place::kReasoning) {
    const size_t end = pending_.find(kReasoningEnd);
    const bool found = end != std::string::npos;
    const size_t decided = found ? end : pending_.size() - PartialTag(pending_, kReasoningEnd);
    pieces.reasoning = pending_.substr(0, decided);
    pending_.erase(0, found ? decided + kReasoningEnd.size() : decided);
    if (found) place_ = Place::kContent;
  }
  if (place_ == Place::kContent) pieces.content = std::exchange(pending_, {});
  return pieces;
}

ReasoningSplitter::Pieces ReasoningSplitter::Finish() {
  Pieces pieces;
  (place_ == Place::kContent ? pieces.content : pieces.reasoning) = std::exchange(pending_, {});
  return pieces;
}

}  // namespace phalanx
