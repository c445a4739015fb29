#include "kernels/cpu/attention_tasks.h"

#include <algorithm>

#include "kernels/base/check.h"

namespace phalanx {

void PlanAttentionTasks(const BatchView& batch, const HeadLayout& heads, int num_threads,
                        std::vector<AttentionTask>& tasks) {
  tasks.clear();
  const int64_t whole_groups = batch.num_tokens * heads.num_kv_heads_local;
  const int64_t splits =
      std::max<int64_t>(1, (num_threads + whole_groups - 1) / std::max<int64_t>(1, whole_groups));
  for (int64_t head = 0; head < heads.num_heads_local;) {
    const int32_t kv_head = heads.kv_head_of[static_cast<size_t>(head)];
    PHALANX_CHECK(kv_head >= 0 && kv_head < heads.num_kv_heads_local);
    int64_t group_end = head;
    while (group_end < heads.num_heads_local &&
           heads.kv_head_of[static_cast<size_t>(group_end)] == kv_head) {
      ++group_end;
    }
    const int64_t per_task = std::min(kMaxAttentionRows, (group_end - head + splits - 1) / splits);
    for (; head < group_end; head += per_task) {
      const int64_t num_heads = std::min(per_task, group_end - head);
      const int64_t tokens_per_task = kMaxAttentionRows / num_heads;
      for (int64_t seq = 0; seq < batch.num_seqs; ++seq) {
        const int64_t end = batch.row_start[seq + 1];
        for (int64_t token = batch.row_start[seq]; token < end; token += tokens_per_task) {
          tasks.push_back(
              {.seq = static_cast<int32_t>(seq),
               .first_token = static_cast<int32_t>(token),
               .num_tokens = static_cast<int32_t>(std::min(tokens_per_task, end - token)),
               .first_head = static_cast<int32_t>(head),
               .num_heads = static_cast<int32_t>(num_heads),
               .kv_head = kv_head});
        }
      }
    }
    head = group_end;
  }
}

}  // namespace phalanx
