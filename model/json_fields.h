// Reads typed, bounded fields out of a JSON object; every error names the file, the field, what was
// found and what is allowed. The first error is kept and later reads return their defaults, so a
// parser reads all its fields and asks once.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

// An object, or an error that names the file and the byte where parsing stopped. A key that an
// object has twice is refused: which of the two counts would depend on the reader.
StatusOr<nlohmann::json> ParseJsonObject(std::string_view text, std::string_view file_name);

// How a value is shown in a message: compact JSON, shortened, printable ASCII only.
std::string ShowJson(const nlohmann::json& value);

class JsonFields {
 public:
  // `object` and the strings must outlive this. `prefix` goes before field names in messages.
  JsonFields(const nlohmann::json& object, std::string_view file_name, std::string prefix = "");

  // A field that is absent or null counts as missing.
  bool Has(std::string_view field) const;
  const nlohmann::json& Raw(std::string_view field) const;  // only where Has()

  int64_t RequiredInt(std::string_view field, int64_t min, int64_t max);
  int64_t Int(std::string_view field, int64_t missing, int64_t min, int64_t max);
  std::optional<int64_t> OptionalInt(std::string_view field, int64_t min, int64_t max);

  enum class Bound : uint8_t { kInclusive, kExclusive };  // of the minimum
  double Double(std::string_view field, double missing, double min, double max,
                Bound bound = Bound::kInclusive);
  std::optional<double> OptionalDouble(std::string_view field, double min, double max,
                                       Bound bound = Bound::kInclusive);
  std::optional<bool> OptionalBool(std::string_view field);
  bool Bool(std::string_view field, bool missing);
  std::string String(std::string_view field, std::string_view missing);
  // One id or a list of ids.
  std::vector<int32_t> TokenIds(std::string_view field);

  void Refuse(std::string_view field, std::string_view found, std::string_view allowed);
  const Status& status() const { return status_; }

 private:
  const nlohmann::json& object_;
  std::string_view file_name_;
  std::string prefix_;
  Status status_;
};

}  // namespace phalanx
