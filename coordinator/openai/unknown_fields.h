// What happens to request fields that this server does not know.
#pragma once

#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx::openai {

enum class UnknownFieldPolicy {
  kIgnore,  // accepted, and logged once for each name
  kRefuse,  // INVALID_ARGUMENT with the nearest known field
};

// Thread-safe. Remembers at most kMaxNames names, so that clients cannot fill memory or log.
class UnknownFields {
 public:
  static constexpr size_t kMaxNames = 256;

  explicit UnknownFields(UnknownFieldPolicy policy) : policy_(policy) {}

  // `name` is in no entry of `known`; `path` is where it stands.
  Status Meet(std::string_view path, std::string_view name,
              std::span<const std::string_view> known);

 private:
  const UnknownFieldPolicy policy_;
  std::mutex mu_;
  std::set<std::string> logged_;
};

// The entry of `known` with the fewest edits from `name` (Levenshtein 1966), if these are at most a
// third of its length, else empty.
std::string_view NearestName(std::string_view name, std::span<const std::string_view> known);

}  // namespace phalanx::openai
