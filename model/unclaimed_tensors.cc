#include "model/unclaimed_tensors.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <set>

namespace phalanx {
namespace {

constexpr std::string_view kLayerPrefix = "model.layers.";

bool IsOfIntegers(std::string_view name) {
  constexpr std::array<std::string_view, 8> kEnds = {
      "_packed", "_scale", "_shape", "_zero_point", "_g_idx", ".qweight", ".qzeros", ".scales"};
  return std::ranges::any_of(kEnds, [name](std::string_view end) { return name.ends_with(end); });
}

Status RefuseLayerTensor(const SafetensorsFile& file, std::string_view name,
                         const Qwen2Config& config) {
  const std::string_view rest = name.substr(kLayerPrefix.size());
  int64_t layer = -1;
  (void)std::from_chars(rest.data(), rest.data() + rest.size(), layer);
  if (layer >= config.num_layers) {
    return InvalidArgumentError(
        "{}: tensor \"{}\" belongs to layer {}, allowed: layers 0 to {}, because config.json says "
        "num_hidden_layers is {}",
        file.path(), name, layer, config.num_layers - 1, config.num_layers);
  }
  if (IsOfIntegers(name)) {
    return InvalidArgumentError(
        "{}: tensor \"{}\" is of quantized weights, allowed: those of the form that config.json's "
        "quantization_config says, without zero points and orders",
        file.path(), name);
  }
  return InvalidArgumentError(
      "{}: tensor \"{}\" is not part of a Qwen2 layer, allowed: the norms, q, k, v (weight and "
      "bias), o, gate, up and down projections",
      file.path(), name);
}

}  // namespace

StatusOr<std::vector<std::string>> FindUnclaimedTensors(const Checkpoint& checkpoint,
                                                        const std::vector<WeightRow>& table,
                                                        const Qwen2Config& config,
                                                        const EmbeddingNames& names) {
  std::set<std::string_view> claimed = {names.embedding, names.lm_head};
  const EmbeddingNames published;
  if (names.tied()) claimed.insert({published.embedding, published.lm_head});
  std::set<std::string> of_integers;
  for (const WeightRow& row : table) {
    claimed.insert(row.name);
    if (!row.stored.is_integer()) continue;
    of_integers.insert(ScaleName(row.name));
    if (row.stored.form != StoredIntegers::Form::kPacked) continue;
    claimed.erase(row.name);
    of_integers.insert({PackedName(row.name), ShapeName(row.name)});
  }
  std::vector<std::string> unclaimed;
  for (const auto& file : checkpoint.files()) {
    for (const auto& [name, entry] : file->entries()) {
      if (claimed.contains(name) || of_integers.contains(name) ||
          name.ends_with(".rotary_emb.inv_freq"))
        continue;
      if (name.starts_with(kLayerPrefix)) return RefuseLayerTensor(*file, name, config);
      unclaimed.push_back(name);
    }
  }
  return unclaimed;
}

}  // namespace phalanx
