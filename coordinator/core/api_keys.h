// Who may use the service: keys from a file, of which only digests are kept.
//
// A line of the file is an id, the SHA-256 of the key in hex, and options:
//
//   alice 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 expires=2027-01-31
//   streams=4 metrics
//
// An id is 1 to 64 letters, digits, dots, dashes and underscores: it stands in the log. `expires`
// is the first day, UTC, on which the key is not taken. `metrics` lets it read
// metrics. Keys are random and of 256 bits, so that a
// plain digest of one is as good as the key is.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

using KeyDigest = std::array<uint8_t, 32>;
KeyDigest Sha256(std::string_view bytes);

struct ApiKey {
  std::string id;
  KeyDigest digest{};
  std::optional<std::chrono::sys_days> expires;  // the first day without it
  int32_t max_streams = 0;                       // at once; 0: the server's limit
  bool may_read_metrics = false;                 // which count everybody's requests
};
// How many sequences a key may have at once, where the server allows keys `default_limit`.
inline int32_t StreamLimit(const ApiKey& key, int32_t default_limit) {
  return key.max_streams > 0 ? key.max_streams : default_limit;
}
using ApiKeyPtr = std::shared_ptr<const ApiKey>;  // null: the server asks for no key

enum class KeyVerdict { kGood, kAbsent, kOfAnotherForm, kUnknown, kExpired };
struct KeyCheck {
  KeyVerdict verdict = KeyVerdict::kGood;
  ApiKeyPtr key = {};  // where it is good or has expired
};
// UNAUTHENTICATED, with what the client hears of it.
Status StatusOf(KeyVerdict verdict);

// INVALID_ARGUMENT naming line and field; FAILED_PRECONDITION where others than the owner may read
// the file; NOT_FOUND. Secrets that stand in the file by mistake are not repeated in errors.
StatusOr<std::vector<ApiKey>> ReadApiKeys(const std::filesystem::path& file);

// Thread-safe.
class ApiKeys {
 public:
  // None: whoever asks is let in.
  explicit ApiKeys(std::vector<ApiKey> keys = {});

  void Replace(std::vector<ApiKey> keys);
  // `authorization`: the header's value. Compares digests, all of them, in constant time.
  KeyCheck Check(std::string_view authorization) const;
  // The same for who only lets in: UNAUTHENTICATED where a key is required and this is none.
  StatusOr<ApiKeyPtr> Authenticate(std::string_view authorization) const;

 private:
  std::shared_ptr<const std::vector<ApiKeyPtr>> keys() const;

  mutable std::mutex mu_;
  std::shared_ptr<const std::vector<ApiKeyPtr>> keys_;
};

// The salt under which a request shares the prefix cache: nobody's prompts can be told by their
// timing from under another key. `secret`: this process' own.
std::string SaltOf(const ApiKeyPtr& key, const KeyDigest& secret, std::string_view clients_salt);

}  // namespace phalanx
