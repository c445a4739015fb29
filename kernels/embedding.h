// Vocabulary-parallel embedding lookup (Shoeybi et al. 2019, Megatron-LM).
//
//   out[t] = table[ids[t] - first_id]   where the rank holds that row, else 0; an all-reduce
//   completes it
//
// ids: [num_tokens]; table: PackedWeight [vocab_local, hidden_size], kLinear; out: [num_tokens,
// hidden_size] f32.
#pragma once
