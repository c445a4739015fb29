#include "model/compressed_tensors.h"

#include <fmt/format.h>

#include <algorithm>

#include "model/json_fields.h"

namespace phalanx {
namespace {

using nlohmann::json;

constexpr std::string_view kField = "quantization_config";

Status Refuse(std::string_view file_name, std::string_view field, const json& found,
              std::string_view allowed) {
  return InvalidArgumentError("{}: {}: is {}, allowed: {}", file_name, field, ShowJson(found),
                              allowed);
}

const json& Member(const json& object, std::string_view field) {
  static const json missing;
  const auto found = object.find(field);
  return found == object.end() ? missing : *found;
}

// Layers' matrices are all quantized, or none: they share slots of one form.
bool IsOutsideLayers(const json& name) {
  return name.is_string() && (name == "lm_head" || name == "model.embed_tokens" ||
                              name == "re:.*lm_head" || name == "re:lm_head");
}

StatusOr<StoredIntegers> ParseWeights(const json& weights, std::string_view prefix,
                                      std::string_view file_name, int64_t unit) {
  const auto field = [&](std::string_view name) { return fmt::format("{}.{}", prefix, name); };
  const auto refuse = [&](std::string_view name, std::string_view allowed) {
    return Refuse(file_name, field(name), Member(weights, name), allowed);
  };
  if (!weights.is_object()) return Refuse(file_name, prefix, weights, "an object");
  StoredIntegers stored;
  const json& bits = Member(weights, "num_bits");
  if (bits != 8 && bits != 4) return refuse("num_bits", "8 or 4");
  stored.bits = bits.get<int>();
  if (Member(weights, "type") != "int") return refuse("type", "\"int\"");
  if (Member(weights, "symmetric") != true) return refuse("symmetric", "true");
  const json& dynamic = Member(weights, "dynamic");
  if (!dynamic.is_null() && dynamic != false) return refuse("dynamic", "false");
  const json& order = Member(weights, "actorder");
  if (!order.is_null() && order != false && order != "static" && order != "weight") {
    return refuse("actorder", "null, \"static\" or \"weight\", which order no features");
  }
  const json& size = Member(weights, "group_size");
  const json& strategy = Member(weights, "strategy");
  const bool is_whole_row = size.is_null() || size == -1;
  if (strategy == "channel" || (strategy.is_null() && is_whole_row)) return stored;
  if (strategy != "group" && !strategy.is_null()) {
    return refuse("strategy", "\"channel\" or \"group\"");
  }
  const bool is_multiple = size.is_number_integer() && size.get<int64_t>() > 0 &&
                           size.get<int64_t>() <= (1 << 20) && size.get<int64_t>() % unit == 0;
  if (!is_multiple) return refuse("group_size", fmt::format("a multiple of {}", unit));
  stored.group_size = size.get<int64_t>();
  return stored;
}

}  // namespace

StatusOr<StoredIntegers> ParseStoredIntegers(const json& value, std::string_view file_name,
                                             int64_t unit) {
  const auto field = [](std::string_view name) { return fmt::format("{}.{}", kField, name); };
  if (!value.is_object()) return Refuse(file_name, kField, value, "an object");
  if (Member(value, "quant_method") != "compressed-tensors") {
    return Refuse(file_name, field("quant_method"), Member(value, "quant_method"),
                  "\"compressed-tensors\"");
  }
  const json& format = Member(value, "format");
  if (format != "int-quantized" && format != "pack-quantized") {
    return Refuse(file_name, field("format"), format, "\"int-quantized\" or \"pack-quantized\"");
  }
  const json& cache = Member(value, "kv_cache_scheme");
  if (!cache.is_null()) return Refuse(file_name, field("kv_cache_scheme"), cache, "null");
  const json& ignore = Member(value, "ignore");
  if (!ignore.is_null() && (!ignore.is_array() || !std::ranges::all_of(ignore, IsOutsideLayers))) {
    return Refuse(file_name, field("ignore"), ignore, "a list of \"lm_head\" at most");
  }
  // What would turn or thin out weights or activations.
  const json& transforms = Member(value, "transform_config");
  if (!transforms.is_null() && transforms != json::object()) {
    return Refuse(file_name, field("transform_config"), transforms, "none");
  }
  const json& sparsity = Member(value, "sparsity_config");
  if (!sparsity.is_null() && sparsity != json::object() &&
      !(sparsity.is_object() && Member(sparsity, "format") == "dense")) {
    return Refuse(file_name, field("sparsity_config"), sparsity, "none, or the format \"dense\"");
  }
  const json& groups = Member(value, "config_groups");
  if (!groups.is_object() || groups.size() != 1) {
    return Refuse(file_name, field("config_groups"), groups, "one group");
  }
  const std::string key = ShowJson(groups.begin().key());
  const std::string prefix = field("config_groups." + key.substr(1, key.size() - 2));
  const json& group = groups.begin().value();
  if (!group.is_object()) return Refuse(file_name, prefix, group, "an object");
  if (Member(group, "targets") != json::array({"Linear"})) {
    return Refuse(file_name, prefix + ".targets", Member(group, "targets"), "[\"Linear\"]");
  }
  const json& own_format = Member(group, "format");
  if (!own_format.is_null() && own_format != format) {
    return Refuse(file_name, prefix + ".format", own_format, ShowJson(format));
  }
  if (const json& output = Member(group, "output_activations"); !output.is_null()) {
    return Refuse(file_name, prefix + ".output_activations", output, "null");
  }
  // Rounding activations to 8 bits loses more than what products read here, so it is left out.
  if (const json& input = Member(group, "input_activations");
      !input.is_null() &&
      !(input.is_object() && Member(input, "num_bits") == 8 && Member(input, "dynamic") == true)) {
    return Refuse(file_name, prefix + ".input_activations", input, "null, or dynamic of 8 bits");
  }
  PHALANX_ASSIGN_OR_RETURN(
      StoredIntegers stored,
      ParseWeights(Member(group, "weights"), prefix + ".weights", file_name, unit));
  const bool is_packed = format == "pack-quantized";
  if (!is_packed && stored.bits != 8) {
    return Refuse(file_name, prefix + ".weights.num_bits", stored.bits,
                  "8 where the format is "
                  "\"int-quantized\"");
  }
  stored.form = is_packed ? StoredIntegers::Form::kPacked : StoredIntegers::Form::kInts;
  return stored;
}

nlohmann::ordered_json DescribeStoredIntegers(const StoredIntegers& stored) {
  const bool is_packed = stored.form == StoredIntegers::Form::kPacked;
  const bool has_groups = stored.group_size > 0;
  nlohmann::ordered_json weights = {
      {"num_bits", stored.bits}, {"type", "int"},
      {"symmetric", true},       {"strategy", has_groups ? "group" : "channel"},
      {"group_size", nullptr},   {"dynamic", false},
      {"actorder", nullptr}};
  if (has_groups) weights["group_size"] = stored.group_size;
  // Of eight bits others multiply integers by integers, which takes those of the activations.
  nlohmann::ordered_json activations = nullptr;
  if (!is_packed) {
    activations = {{"num_bits", 8},       {"type", "int"},   {"symmetric", true},
                   {"strategy", "token"}, {"dynamic", true}, {"group_size", nullptr}};
  }
  const std::string format = is_packed ? "pack-quantized" : "int-quantized";
  return {{"quant_method", "compressed-tensors"},
          {"format", format},
          {"quantization_status", "compressed"},
          {"kv_cache_scheme", nullptr},
          {"ignore", {"lm_head"}},
          {"config_groups",
           {{"group_0",
             {{"targets", {"Linear"}},
              {"weights", weights},
              {"input_activations", activations},
              {"output_activations", nullptr}}}}}};
}

std::string ScaleName(std::string_view weight) { return fmt::format("{}_scale", weight); }
std::string PackedName(std::string_view weight) { return fmt::format("{}_packed", weight); }
std::string ShapeName(std::string_view weight) { return fmt::format("{}_shape", weight); }

void PackIntegers(const StoredIntegers& stored, std::span<const int8_t> values,
                  std::span<std::byte> bytes) {
  if (stored.form == StoredIntegers::Form::kInts) {
    std::ranges::transform(values, bytes.begin(), [](int8_t v) { return std::byte(v); });
    return;
  }
  std::ranges::fill(bytes, std::byte{0});
  const int bias = 1 << (stored.bits - 1);
  const size_t per_byte = 8U / static_cast<size_t>(stored.bits);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto biased = static_cast<unsigned>(values[i] + bias);
    bytes[i / per_byte] |= std::byte(biased << (i % per_byte * static_cast<size_t>(stored.bits)));
  }
}

void UnpackIntegers(const StoredIntegers& stored, std::span<const std::byte> bytes,
                    std::span<int8_t> values) {
  if (stored.form == StoredIntegers::Form::kInts) {
    std::ranges::transform(bytes.first(values.size()), values.begin(),
                           [](std::byte b) { return static_cast<int8_t>(b); });
    return;
  }
  const int bias = 1 << (stored.bits - 1);
  const unsigned mask = (1U << stored.bits) - 1;
  const size_t per_byte = 8U / static_cast<size_t>(stored.bits);
  for (size_t i = 0; i < values.size(); ++i) {
    const unsigned byte = std::to_integer<unsigned>(bytes[i / per_byte]);
    const unsigned biased = (byte >> (i % per_byte * static_cast<size_t>(stored.bits))) & mask;
    values[i] = static_cast<int8_t>(static_cast<int>(biased) - bias);
  }
}

}  // namespace phalanx
