// out[i] = x[rows[i]]. x: [num_tokens, cols] f32; out: [rows.size(), cols] f32, may not alias x.
#pragma once
