#include "coordinator/openai/unknown_fields.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "coordinator/core/printable.h"
#include "coordinator/openai/json_field.h"

namespace phalanx::openai {
namespace {

size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string_view NearestName(std::string_view name, std::span<const std::string_view> known) {
  constexpr size_t kMaxLength = 64;
  if (name.size() > kMaxLength) return {};
  std::string_view nearest;
  size_t fewest = std::max<size_t>(name.size() / 3, 1) + 1;
  for (const std::string_view candidate : known) {
    const size_t edits = EditDistance(name, candidate);
    if (edits < fewest) {
      fewest = edits;
      nearest = candidate;
    }
  }
  return nearest;
}

Status UnknownFields::Meet(std::string_view path, std::string_view name,
                           std::span<const std::string_view> known) {
  if (policy_ == UnknownFieldPolicy::kRefuse) {
    const std::string_view nearest = NearestName(name, known);
    const std::string key = SafeKey(name);
    const std::string field = path.empty() ? key : fmt::format("{}.{}", path, key);
    const std::string hint =
        nearest.empty() ? std::string() : fmt::format("; the nearest is {}", nearest);
    return InvalidArgumentError("{}: is an unknown field, allowed: known ones{}", field, hint)
        .WithField(field);
  }
  const std::string key = SafeKey(name);
  std::lock_guard lock(mu_);
  if (logged_.size() >= kMaxNames || !logged_.insert(key).second) return OkStatus();
  spdlog::info("a request has a field that is not known and is ignored: {}", key);
  return OkStatus();
}

}  // namespace phalanx::openai
