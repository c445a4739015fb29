// Tensors that a checkpoint holds and the weight table does not ask for.
#pragma once

#include <string>
#include <vector>

#include "model/safetensors.h"
#include "model/weight_table.h"

namespace phalanx {

// INVALID_ARGUMENT for a tensor of a layer ("model.layers.N..."): the model that it was saved from
// has more layers, or layers of another kind, and its answers would differ. The others, which a
// table for language modelling can do without, are returned by name. Known to be harmless and not
// returned: rotary inv_freq buffers, which follow from the config, and the LM head where it repeats
// the embedding.
StatusOr<std::vector<std::string>> FindUnclaimedTensors(const Checkpoint& checkpoint,
                                                        const std::vector<WeightRow>& table,
                                                        const Qwen2Config& config,
                                                        const EmbeddingNames& names);

}  // namespace phalanx
