#include "text/detokenizer.h"

#include <utility>

#include "text/utf8.h"

namespace phalanx {

StatusOr<std::string> IncrementalDetokenizer::Append(int32_t id) { return Append({&id, 1}); }

StatusOr<std::string> IncrementalDetokenizer::Append(std::span<const int32_t> ids) {
  for (const int32_t id : ids) {
    if (!tokenizer_->IsKnown(id)) {
      return InvalidField("token_id", id,
                          fmt::format("the id of a token, less than {}", tokenizer_->vocab_size()));
    }
  }
  std::string bytes = std::exchange(pending_, {});
  for (const int32_t id : ids) {
    if (options_.special_tokens == SpecialTokenText::kSkip && tokenizer_->IsSpecial(id)) continue;
    bytes += tokenizer_->TokenBytes(id);
  }
  std::string text;
  AppendLossyUtf8(bytes, &text, &pending_);
  return text;
}

std::string IncrementalDetokenizer::Flush() {
  std::string text;
  AppendLossyUtf8(std::exchange(pending_, {}), &text);
  return text;
}

}  // namespace phalanx
