// What a request wants its answer to fit, checked before a worker sees it. Rank 0 compiles it
// (worker/grammar_loader.h) and may still refuse it there.
#pragma once

#include "coordinator/core/limits.h"
#include "coordinator/core/served_model.h"
#include "kernels/base/status.h"
#include "phalanx/internal/engine.pb.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {

// Does nothing where nothing is wanted. INVALID_ARGUMENT naming
// "sampling.structured_outputs.CONSTRAINT": malformed or beyond the limits; naming
// "sampling.ignore_eos": combined with it, since only the end of sequence ends such an answer.
Status ResolveStructuredOutput(const v1::SamplingParams& request, const ServedModel& model,
                               const Limits& limits, internal::ResolvedSampling* out);

}  // namespace phalanx
