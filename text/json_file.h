// Reading JSON files whose fields are checked one by one, with errors that name file and field.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// The whole file. NOT_FOUND, or INVALID_ARGUMENT where it is larger than 256 MiB or cannot be read.
StatusOr<std::string> ReadTextFile(const std::filesystem::path& path);

// INVALID_ARGUMENT with the place of the first error, or where it is nested deeper than 32 levels.
StatusOr<nlohmann::json> ReadJsonFile(const std::filesystem::path& path);

// A value as an error message shows it: at most 60 bytes of its JSON text.
std::string Shown(const nlohmann::json& value);

// A view of one JSON value that knows where it came from.
class JsonField {
 public:
  JsonField(const nlohmann::json& value, std::string path)
      : value_(&value), path_(std::move(path)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& path() const { return path_; }

  bool IsNull() const { return value_->is_null(); }
  // A missing member is null.
  JsonField Member(std::string_view name) const;
  JsonField Element(size_t index) const;

  // "FILE: FIELD: is VALUE, allowed: ALLOWED"
  Status Refuse(std::string_view allowed) const;

  Status CheckObject() const;
  Status CheckArray() const;
  StatusOr<std::string> String() const;
  StatusOr<bool> Bool(bool if_null) const;
  StatusOr<int32_t> Int(int32_t low, int32_t high) const;

 private:
  const nlohmann::json* value_;
  std::string path_;
};

}  // namespace phalanx
