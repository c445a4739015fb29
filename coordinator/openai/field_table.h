// A request as a table: each known field's name with the function that reads it.
#pragma once

#include <algorithm>
#include <span>
#include <string_view>
#include <vector>

#include "coordinator/openai/json_field.h"
#include "coordinator/openai/unknown_fields.h"

namespace phalanx::openai {

// `read` is not called for null, which counts as absent.
template <typename Target>
struct FieldRow {
  std::string_view name;
  Status (*read)(const JsonField& field, Target* target);
};

// Known and without effect on the answer.
template <typename Target>
Status Accept(const JsonField&, Target*) {
  return OkStatus();
}

template <typename Target>
const FieldRow<Target>* FindRow(std::span<const FieldRow<Target>> rows, std::string_view name) {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const auto& entry) { return entry.name == name; });
  return row == rows.end() ? nullptr : &*row;
}

// Reads the entries of `object`, which is an object, in the client's order: by `rows`, else by
// `base_rows`, which know only a base of Target.
template <typename Target, typename Base>
Status ReadFields(const JsonField& object, std::span<const FieldRow<Target>> rows,
                  std::span<const FieldRow<Base>> base_rows, UnknownFields& unknown,
                  Target* target) {
  for (const auto& [key, value] : object.json().items()) {
    const FieldRow<Target>* row = FindRow(rows, key);
    const FieldRow<Base>* base_row = row == nullptr ? FindRow(base_rows, key) : nullptr;
    if (row == nullptr && base_row == nullptr) {
      std::vector<std::string_view> known;
      for (const auto& entry : rows) known.push_back(entry.name);
      for (const auto& entry : base_rows) known.push_back(entry.name);
      PHALANX_RETURN_IF_ERROR(unknown.Meet(object.path(), key, known));
    } else if (!value.is_null()) {
      PHALANX_RETURN_IF_ERROR(row != nullptr ? row->read(object.At(key), target)
                                             : base_row->read(object.At(key), target));
    }
  }
  return OkStatus();
}

template <typename Target>
Status ReadFields(const JsonField& object, std::span<const FieldRow<Target>> rows,
                  UnknownFields& unknown, Target* target) {
  return ReadFields(object, rows, std::span<const FieldRow<Target>>(), unknown, target);
}

// Of an object that is read without a table: its entries that are none of `known`.
inline Status CheckNames(const JsonField& object, std::span<const std::string_view> known,
                         UnknownFields& unknown) {
  for (const auto& [key, value] : object.json().items()) {
    if (std::ranges::find(known, key) != known.end()) continue;
    PHALANX_RETURN_IF_ERROR(unknown.Meet(object.path(), key, known));
  }
  return OkStatus();
}

}  // namespace phalanx::openai
