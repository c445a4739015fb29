// Reading a request body: strict JSON, and typed values whose errors name the field's path, the
// value and what is allowed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "coordinator/core/limits.h"
#include "kernels/base/status.h"

namespace phalanx::openai {

using Json = nlohmann::ordered_json;  // tools are shown to the model in the client's order

// One JSON object in UTF-8, without lone surrogates, within the limits' depth and number of keys,
// no key twice in one object. INVALID_ARGUMENT otherwise.
StatusOr<Json> ParseBody(std::string_view body, const Limits& limits);

// A value for an error message: its JSON in safe characters, or how many entries it has.
std::string Describe(const Json& value);

// A value and where it is. All reads: INVALID_ARGUMENT with the path as the status's field.
class JsonField {
 public:
  // `value` must outlive it.
  JsonField(std::string path, const Json& value) : path_(std::move(path)), value_(&value) {}

  const std::string& path() const { return path_; }
  const Json& json() const { return *value_; }
  bool is_null() const { return value_->is_null(); }

  StatusOr<bool> Bool() const;
  StatusOr<int32_t> Int32() const;  // 5.0 is an integer, too
  // From -2^63 to 2^64 - 1; negative ones in two's complement. 5.0 is an integer up to 2^53.
  StatusOr<uint64_t> Seed() const;
  StatusOr<float> Float() const;
  StatusOr<std::string> String() const;
  Status CheckArray(std::string_view allowed) const;
  Status CheckObject(std::string_view allowed) const;

  // `path.key` or `path[index]`. The entry must be there.
  JsonField At(std::string_view key) const;
  JsonField At(size_t index) const;
  // An absent key gives null.
  JsonField Find(std::string_view key) const;

  Status Refuse(std::string_view allowed) const;

 private:
  std::string path_;
  const Json* value_;
};

}  // namespace phalanx::openai
