// Between the engine's types and the messages of the engine channel.
#pragma once

#include <optional>
#include <span>

#include "grammar/grammar_spec.h"
#include "kernels/base/status.h"
#include "phalanx/internal/engine.pb.h"
#include "worker/engine.h"
#include "worker/rank_stats.h"

namespace phalanx {

// Checks only what the conversion needs; the scheduler refuses the rest by field.
EngineRequest FromWire(internal::Submit submit);
// What the request's output must fit, not yet compiled.
std::optional<GrammarSpec> GrammarFromWire(const internal::ResolvedSampling& sampling);

internal::RequestOutput ToWire(const EngineOutput& output);
internal::RequestOutput ErrorOutput(uint64_t request, const Status& status);
internal::EngineStats ToWire(const SchedulerStats& stats, std::span<const RankStats> ranks,
                             uint64_t last_step);

}  // namespace phalanx
