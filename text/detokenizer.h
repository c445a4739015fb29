// Token ids in, whole UTF-8 characters out, for streams.
//
// The concatenation of all returned text, Flush() included, equals Tokenizer::Decode of the whole
// list.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/status.h"
#include "text/tokenizer.h"

namespace phalanx {

// Belongs to one stream: not thread-safe. `tokenizer` must outlive it.
class IncrementalDetokenizer {
 public:
  explicit IncrementalDetokenizer(const Tokenizer& tokenizer, DecodeOptions options = {})
      : tokenizer_(&tokenizer), options_(options) {}

  // The text that became certain: at most the 3 bytes of an unfinished character are withheld.
  // INVALID_ARGUMENT at an unknown id; then none of the ids has been taken.
  StatusOr<std::string> Append(int32_t id);
  StatusOr<std::string> Append(std::span<const int32_t> ids);

  // Ends the stream: an unfinished character becomes U+FFFD. Afterwards the detokenizer is as new.
  std::string Flush();

  // Bytes of the unfinished character, 0..3.
  std::string_view withheld_bytes() const { return pending_; }

 private:
  const Tokenizer* tokenizer_;
  DecodeOptions options_;
  std::string pending_;
};

}  // namespace phalanx
