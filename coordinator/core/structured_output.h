// What a request wants its answer to fit, checked before a worker sees it. Rank 0 compiles it
// (worker/grammar_loader.h) and may still refuse it there.
#pragma once

#include <string>

#include "coordinator/core/limits.h"
#include "coordinator/core/served_model.h"
#include "kernels/base/status.h"
#include "phalanx/internal/engine.pb.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {

struct WantedGrammar {
  GrammarSpec spec;
  internal::GrammarKind kind = internal::GRAMMAR_KIND_UNSPECIFIED;
  std::string field;  // of the request, for errors
};

// INVALID_ARGUMENT naming the wanted field: the spec is malformed or beyond the limits, or the
// model cannot end a text by itself; naming "sampling.ignore_eos": combined with it, since only the
// end of sequence ends such an answer.
Status SetGrammar(WantedGrammar wanted, const v1::SamplingParams& request, const ServedModel& model,
                  const Limits& limits, internal::ResolvedSampling* out);

// SetGrammar of what "sampling.structured_outputs.CONSTRAINT" wants; does nothing where nothing is
// wanted.
Status ResolveStructuredOutput(const v1::SamplingParams& request, const ServedModel& model,
                               const Limits& limits, internal::ResolvedSampling* out);

}  // namespace phalanx
