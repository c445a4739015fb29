// The grammar compiler of the served model.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "grammar/grammar.h"
#include "kernels/base/status.h"

namespace phalanx {

// `model`: a folder or a hub id; its tokenizer is loaded, which can take a second. `vocab_size`:
// rows of its embedding. UNIMPLEMENTED where the build has no grammar library.
StatusOr<std::unique_ptr<GrammarCompiler>> CreateModelGrammarCompiler(const std::string& model,
                                                                      int32_t vocab_size,
                                                                      const GrammarLimits& limits);

}  // namespace phalanx
