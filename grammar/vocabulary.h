// The vocabulary of a tokenizer, as grammars see it.
#pragma once

#include <cstdint>

#include "grammar/grammar.h"
#include "text/tokenizer.h"

namespace phalanx {

// `vocab_size`: rows of the model's embedding; ids beyond the tokenizer's are never generated.
// Special tokens have no text, so no grammar generates them except as a stop.
GrammarVocabulary MakeGrammarVocabulary(const Tokenizer& tokenizer, int32_t vocab_size);

}  // namespace phalanx
