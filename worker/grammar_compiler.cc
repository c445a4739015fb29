#include "worker/grammar_compiler.h"

#include "grammar/vocabulary.h"
#include "hub/locate.h"

namespace phalanx {

StatusOr<std::unique_ptr<GrammarCompiler>> CreateModelGrammarCompiler(const std::string& model,
                                                                      int32_t vocab_size,
                                                                      const GrammarLimits& limits) {
  PHALANX_ASSIGN_OR_RETURN(const auto folder, LocateModel(model));
  PHALANX_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Load(folder));
  return CreateGrammarCompiler(MakeGrammarVocabulary(*tokenizer, vocab_size), limits);
}

}  // namespace phalanx
