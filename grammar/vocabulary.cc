#include "grammar/vocabulary.h"

#include <algorithm>

namespace phalanx {

GrammarVocabulary MakeGrammarVocabulary(const Tokenizer& tokenizer, int32_t vocab_size) {
  GrammarVocabulary vocabulary(static_cast<size_t>(vocab_size));
  for (int32_t id = 0; id < std::min(vocab_size, tokenizer.vocab_size()); ++id) {
    if (tokenizer.IsKnown(id) && !tokenizer.IsSpecial(id)) {
      vocabulary[static_cast<size_t>(id)] = tokenizer.TokenBytes(id);
    }
  }
  return vocabulary;
}

}  // namespace phalanx
