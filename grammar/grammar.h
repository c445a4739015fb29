// What a sequence may say, as masks over the vocabulary: JSON, JSON that fits a schema, a regular
// expression, a grammar in EBNF, one of some strings, free text with tags that hold any of these.
//
// A grammar is compiled once for a vocabulary (milliseconds, off the step loop), then matched token
// by token. Byte-level pushdown automata with masks precomputed for the tokens that do not depend
// on the stack: Dong et al., "XGrammar: Flexible and Efficient Structured Generation Engine for
// Large Language Models" (2024), whose library does the work.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/grammar_spec.h"
#include "kernels/base/status.h"

namespace phalanx {

// The state of one sequence. One thread at a time.
class GrammarMatcher {
 public:
  virtual ~GrammarMatcher() = default;

  // Takes the sequence's next token. False: the grammar does not allow it; nothing has changed.
  // A stop id is allowed where the text may end, and finishes the matcher.
  virtual bool Accept(int32_t token_id) = 0;

  // Bit `id % 32` of words[id / 32] says whether token `id` may come next. `words` has
  // GrammarMaskWords(vocab_size) of them. kEverything: no token is excluded and words are not
  // written.
  enum class Mask { kEverything, kSome };
  virtual Mask FillMask(std::span<uint32_t> words) = 0;

  virtual bool finished() const = 0;
};

constexpr size_t GrammarMaskWords(int64_t vocab_size) {
  return static_cast<size_t>((vocab_size + 31) / 32);
}

// Immutable and shared by all sequences that use it.
class CompiledGrammar {
 public:
  virtual ~CompiledGrammar() = default;
  // `stop_ids`: the tokens that end the sequence.
  virtual std::unique_ptr<GrammarMatcher> NewMatcher(std::span<const int32_t> stop_ids) const = 0;
};

// The bytes of each token that masks are made for, by id; empty: never generated, except as a stop.
using GrammarVocabulary = std::vector<std::string>;

// Thread-safe.
class GrammarCompiler {
 public:
  virtual ~GrammarCompiler() = default;
  // Cached. INVALID_ARGUMENT naming `field`: not a grammar, or beyond the limits.
  virtual StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const GrammarSpec& spec,
                                                                   std::string_view field) = 0;
};

// UNIMPLEMENTED where the build has no grammar library (PHALANX_WITH_GRAMMARS=OFF).
StatusOr<std::unique_ptr<GrammarCompiler>> CreateGrammarCompiler(
    const GrammarVocabulary& vocabulary, const GrammarLimits& limits);

}  // namespace phalanx
