// How the attention of one step is cut into tasks.
#pragma once

#include <vector>

#include "kernels/attention.h"
#include "kernels/cpu/attention_kernel.h"

namespace phalanx {

// Heads of one KV head stay together, so that each key is loaded once for all of them; they are
// split where there would be fewer tasks than threads. Fills `tasks`, whose memory is kept.
void PlanAttentionTasks(const BatchView& batch, const HeadLayout& heads, int num_threads,
                        std::vector<AttentionTask>& tasks);

}  // namespace phalanx
