#include "grammar/grammar.h"

namespace phalanx {

StatusOr<std::unique_ptr<GrammarCompiler>> CreateGrammarCompiler(const GrammarVocabulary&,
                                                                 const GrammarLimits&) {
  return UnimplementedError("this build has no structured output (PHALANX_WITH_GRAMMARS=OFF)");
}

}  // namespace phalanx
