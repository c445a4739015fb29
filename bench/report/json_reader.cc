#include "bench/report/json_reader.h"

#include <algorithm>
#include <cmath>

#include "bench/report/text.h"
#include "kernels/base/file.h"
#include "kernels/base/json_bounds.h"

namespace phalanx::report {
namespace {

using nlohmann::json;

constexpr int64_t kMaxFileBytes = int64_t{32} << 20;
constexpr size_t kMaxItems = 20'000;  // of a list, or lines of a file
constexpr size_t kMaxNotes = 100;
constexpr size_t kMaxShownChars = 60;

// nullopt where there is no such file.
std::optional<std::string> ReadText(const std::filesystem::path& path, Notes& notes) {
  StatusOr<std::string> text = ReadSmallFile(path, kMaxFileBytes);
  if (text.ok()) return std::move(text).value();
  if (text.status().code() != StatusCode::kNotFound) AddNote(notes, text.status().message());
  return std::nullopt;
}

Status FaultOf(std::string_view where, std::string_view text, const JsonFault& fault) {
  switch (fault.kind) {
    case JsonFault::Kind::kTooDeep:
      return InvalidArgumentError("{}: nested deeper than {} levels", where,
                                  JsonBounds{}.max_depth);
    case JsonFault::Kind::kDuplicateKey:
      return InvalidArgumentError("{}: key {} is there twice, allowed: once", where,
                                  ShowValue(fault.key));
    case JsonFault::Kind::kNumberTooLarge:
      return InvalidArgumentError("{}: a number is {}, allowed: what a double holds", where,
                                  CleanText(fault.number, kMaxShownChars));
    default:
      if (fault.position >= text.size()) {
        return InvalidArgumentError("{}: not JSON: cut off after {} bytes", where, text.size());
      }
      return InvalidArgumentError("{}: not JSON from byte {} of {} on", where, fault.position,
                                  text.size());
  }
}

}  // namespace

void AddNote(Notes& notes, std::string note) {
  note = CleanText(note, kMaxNameChars * 2);
  if (notes.size() > kMaxNotes || std::ranges::find(notes, note) != notes.end()) return;
  notes.push_back(notes.size() < kMaxNotes ? std::move(note) : "more was left out of these notes");
}

std::string ShowValue(const json& value) {
  return CleanText(value.dump(-1, ' ', /*ensure_ascii=*/false, json::error_handler_t::replace),
                   kMaxShownChars);
}

StatusOr<json> ParseObject(std::string_view text, std::string_view where) {
  if (const auto fault = FindJsonFault(text, {})) return FaultOf(where, text, *fault);
  json value = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) return InvalidArgumentError("{}: not JSON", where);
  if (!value.is_object()) {
    return InvalidArgumentError("{}: is {}, allowed: a JSON object", where, ShowValue(value));
  }
  return value;
}

std::optional<json> ReadObject(const std::filesystem::path& path, Notes& notes) {
  const std::optional<std::string> text = ReadText(path, notes);
  if (!text) return std::nullopt;
  // Bytes that are no UTF-8, as a failing test may print, are no reason to lose the rest.
  StatusOr<json> object =
      ParseObject(CleanText(*text, kMaxFileBytes, Lines::kKept), "raw/" + path.filename().string());
  if (object.ok()) return std::move(object).value();
  AddNote(notes, object.status().message());
  return std::nullopt;
}

std::vector<json> ReadObjectLines(const std::filesystem::path& path, Notes& notes) {
  std::vector<json> objects;
  const std::string text = ReadText(path, notes).value_or("");
  std::string_view rest = text;
  for (size_t line = 1; !rest.empty(); ++line) {
    const size_t end = rest.find('\n');
    const std::string_view one = rest.substr(0, end);
    rest = end == std::string_view::npos ? "" : rest.substr(end + 1);
    if (one.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (line > kMaxItems) {
      AddNote(notes, fmt::format("raw/{}: only its first {} lines are read",
                                 path.filename().string(), kMaxItems));
      break;
    }
    StatusOr<json> object = ParseObject(CleanText(one, kMaxFileBytes),
                                        fmt::format("raw/{}:{}", path.filename().string(), line));
    if (object.ok()) {
      objects.push_back(std::move(object).value());
    } else {
      AddNote(notes, object.status().message());
    }
  }
  return objects;
}

const json* Fields::Find(const char* name) const {
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

void Fields::Refuse(const char* name, const json& found, std::string_view allowed) {
  AddNote(notes_,
          fmt::format("{}: {}: is {}, allowed: {}", where_, name, ShowValue(found), allowed));
}

std::string Fields::At(std::string_view name, size_t index) const {
  return fmt::format("{}: {}[{}]", where_, name, index);
}

std::optional<double> Fields::Number(const char* name) {
  const json* const found = Find(name);
  if (found == nullptr) return std::nullopt;
  if (found->is_number()) {
    const auto value = found->get<double>();
    if (std::isfinite(value) && value >= 0) return value;
  }
  Refuse(name, *found, "a number of 0 or more");
  return std::nullopt;
}

std::string Fields::Text(const char* name) { return TextOf(name, Lines::kJoined); }
std::string Fields::TextLines(const char* name) { return TextOf(name, Lines::kKept); }

std::string Fields::TextOf(const char* name, Lines lines) {
  const json* const found = Find(name);
  if (found == nullptr) return "";
  if (found->is_string())
    return CleanText(found->get_ref<const std::string&>(), kMaxMessageChars, lines);
  if (found->is_number() || found->is_boolean()) return ShowValue(*found);
  Refuse(name, *found, "text");
  return "";
}

const json* Fields::Object(const char* name) {
  const json* const found = Find(name);
  if (found == nullptr || found->is_object()) return found;
  Refuse(name, *found, "an object");
  return nullptr;
}

std::vector<const json*> Fields::Objects(const char* name) {
  std::vector<const json*> objects;
  const json* const found = Find(name);
  if (found == nullptr) return objects;
  if (!found->is_array()) {
    Refuse(name, *found, "a list");
    return objects;
  }
  for (const json& item : *found) {
    if (objects.size() == kMaxItems) {
      AddNote(notes_, fmt::format("{}: {}: only the first {} are read", where_, name, kMaxItems));
      break;
    }
    if (item.is_object()) {
      objects.push_back(&item);
    } else {
      Refuse(name, item, "objects");
    }
  }
  return objects;
}

}  // namespace phalanx::report
