#include "coordinator/core/structural_tag.h"

#include <nlohmann/json.hpp>

#include "coordinator/core/json_check.h"

namespace phalanx {
namespace {

using Json = nlohmann::ordered_json;  // properties are generated in the client's order

constexpr std::string_view kAllowed =
    "a format, or structures (each with begin, schema and end) and triggers";

}  // namespace

StatusOr<std::string> ToTagOfFormats(std::string_view field, const std::string& text,
                                     const Limits& limits) {
  if (text.size() > limits.grammar.max_source_bytes) {
    return InvalidField(field, fmt::format("{} bytes long", text.size()),
                        fmt::format("up to {} bytes", limits.grammar.max_source_bytes));
  }
  PHALANX_RETURN_IF_ERROR(CheckJsonObject(field, text, limits));
  const Json given = Json::parse(text);
  if (given.contains("format")) return given.dump();
  const auto structures = given.find("structures");
  const auto triggers = given.find("triggers");
  if (structures == given.end() || !structures->is_array() || triggers == given.end()) {
    return InvalidField(field, "without them", kAllowed);
  }
  Json tags = Json::array();
  for (const Json& structure : *structures) {
    if (!structure.is_object() || !structure.contains("schema")) {
      return InvalidField(field, "with a structure without its schema", kAllowed);
    }
    tags.push_back({{"begin", structure.value("begin", Json())},
                    {"content", {{"type", "json_schema"}, {"json_schema", structure["schema"]}}},
                    {"end", structure.value("end", Json())}});
  }
  const Json format = {{"type", "triggered_tags"}, {"triggers", *triggers}, {"tags", tags}};
  return Json({{"type", "structural_tag"}, {"format", format}}).dump();
}

}  // namespace phalanx
