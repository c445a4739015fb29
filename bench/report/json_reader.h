// Reads JSON that another program may not have finished writing. Nothing here fails: what cannot be
// used is absent, and a note says why.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/report/text.h"
#include "kernels/base/status.h"

namespace phalanx::report {

using Notes = std::vector<std::string>;

// INVALID_ARGUMENT naming `where` and the byte at which it stops being JSON, or what else is wrong.
StatusOr<nlohmann::json> ParseObject(std::string_view text, std::string_view where);

// The object in a file; nullopt without a note where there is no such file.
std::optional<nlohmann::json> ReadObject(const std::filesystem::path& path, Notes& notes);

// The objects in a file's lines, without those that are none.
std::vector<nlohmann::json> ReadObjectLines(const std::filesystem::path& path, Notes& notes);

// The fields of an object, which must outlive this.
class Fields {
 public:
  // `where` begins the notes.
  Fields(const nlohmann::json& object, std::string where, Notes& notes)
      : object_(object), where_(std::move(where)), notes_(notes) {}

  // Finite and 0 or more.
  std::optional<double> Number(const char* name);
  // Cleaned and bounded; empty where absent.
  std::string Text(const char* name);
  // The same with its lines.
  std::string TextLines(const char* name);
  // The objects of a list; empty where absent.
  std::vector<const nlohmann::json*> Objects(const char* name);
  // Null where absent.
  const nlohmann::json* Object(const char* name);
  std::string At(std::string_view name, size_t index) const;  // "WHERE: name[3]"

 private:
  std::string TextOf(const char* name, Lines lines);
  const nlohmann::json* Find(const char* name) const;
  void Refuse(const char* name, const nlohmann::json& found, std::string_view allowed);

  const nlohmann::json& object_;
  std::string where_;
  Notes& notes_;
};

// Compact JSON of a value, bounded.
std::string ShowValue(const nlohmann::json& value);

// Adds a note that is not there yet; of too many, the last says that more were left out.
void AddNote(Notes& notes, std::string note);

}  // namespace phalanx::report
