// Bounds on JSON text that somebody else wrote, before anything is built from it: what is nested
// without end would exhaust the stack of whatever walks it. A pass of its own, in linear time; the
// library's hook into its parser costs the square of the number of objects.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

namespace phalanx {

enum class JsonTop { kAny, kObject };
enum class DuplicateKeys { kAllowed, kRefused };

struct JsonBounds {
  size_t max_depth = 32;  // objects and arrays inside each other
  int32_t max_keys = std::numeric_limits<int32_t>::max();
  JsonTop top = JsonTop::kAny;
  DuplicateKeys duplicates = DuplicateKeys::kRefused;  // within one object
};

struct JsonFault {
  // kNumberTooLarge: no double holds it.
  enum class Kind { kNotJson, kNoObject, kTooDeep, kTooManyKeys, kDuplicateKey, kNumberTooLarge };
  Kind kind = Kind::kNotJson;
  size_t position = 0;      // of kNotJson: a byte of the text
  std::string key = {};     // of kDuplicateKey; of kNumberTooLarge: of the top object it lies in
  size_t depth = 0;         // of kDuplicateKey: 1 is an object at the top
  std::string number = {};  // of kNumberTooLarge
};

// The first fault in the order of the text; nullopt: it is one JSON value within the bounds. Takes
// the memory of its keys where duplicates are refused, else none.
std::optional<JsonFault> FindJsonFault(std::string_view text, const JsonBounds& bounds);

}  // namespace phalanx
