#include "coordinator/core/api_keys.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <set>
#include <sstream>
#include <utility>

namespace phalanx {
namespace {

constexpr size_t kMaxIdBytes = 64;
constexpr int32_t kMaxStreams = 1 << 20;

bool IsId(std::string_view text) {
  return !text.empty() && text.size() <= kMaxIdBytes && std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == '_';
  });
}

template <typename Number>
std::optional<Number> ParseWhole(std::string_view text, int base = 10) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<KeyDigest> ParseDigest(std::string_view hex) {
  KeyDigest digest{};
  if (hex.size() != 2 * digest.size()) return std::nullopt;
  for (size_t i = 0; i < digest.size(); ++i) {
    const auto byte = ParseWhole<uint8_t>(hex.substr(2 * i, 2), 16);
    if (!byte) return std::nullopt;
    digest[i] = *byte;
  }
  return digest;
}

// YYYY-MM-DD.
std::optional<std::chrono::sys_days> ParseDay(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto year = ParseWhole<int>(text.substr(0, 4));
  const auto month = ParseWhole<unsigned>(text.substr(5, 2));
  const auto day = ParseWhole<unsigned>(text.substr(8, 2));
  if (!year || !month || !day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year), std::chrono::month(*month),
                                         std::chrono::day(*day)};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

Status ReadOption(std::string_view option, ApiKey* key) {
  const size_t equals = option.find('=');
  const std::string_view name = option.substr(0, equals);
  const std::string_view value = equals == std::string_view::npos ? "" : option.substr(equals + 1);
  if (name == "expires") {
    key->expires = ParseDay(value);
    if (!key->expires) return InvalidArgumentError("expires: is no day, allowed: YYYY-MM-DD");
    return OkStatus();
  }
  if (name == "streams") {
    const auto streams = ParseWhole<int32_t>(value);
    if (!streams || *streams < 1 || *streams > kMaxStreams) {
      return InvalidArgumentError("streams: is no such number, allowed: 1 to {}", kMaxStreams);
    }
    key->max_streams = *streams;
    return OkStatus();
  }
  if (option == "metrics") {
    key->may_read_metrics = true;
    return OkStatus();
  }
  return InvalidArgumentError("an unknown option, allowed: expires=YYYY-MM-DD, streams=N, metrics");
}

// What is wrong is named and not shown: it may be a key.
StatusOr<ApiKey> ReadLine(const std::string& line) {
  std::istringstream words(line);
  ApiKey key;
  std::string digest;
  words >> key.id >> digest;
  if (!IsId(key.id)) {
    return InvalidArgumentError("id: is not one, allowed: 1 to {} of A-Z a-z 0-9 . - _",
                                kMaxIdBytes);
  }
  const auto parsed = ParseDigest(digest);
  if (!parsed) {
    return InvalidArgumentError("digest: is none, allowed: the key's SHA-256 as 64 hex digits");
  }
  key.digest = *parsed;
  for (std::string option; words >> option;) PHALANX_RETURN_IF_ERROR(ReadOption(option, &key));
  return key;
}

// Only its owner, who runs this, may read it.
Status CheckModes(const std::filesystem::path& file) {
  struct stat state {};
  if (stat(file.c_str(), &state) != 0) return NotFoundError("{}: cannot be read", file.string());
  if (!S_ISREG(state.st_mode)) {
    return FailedPreconditionError("{}: is no ordinary file", file.string());
  }
  if ((state.st_mode & 0077) != 0) {
    return FailedPreconditionError("{}: has mode {:04o}, allowed: 0600, since it lets people in",
                                   file.string(), state.st_mode & 0777);
  }
  if (state.st_uid != geteuid() && state.st_uid != 0) {
    return FailedPreconditionError("{}: belongs to user {}, allowed: {}, who runs this",
                                   file.string(), state.st_uid, geteuid());
  }
  return OkStatus();
}

}  // namespace

KeyDigest Sha256(std::string_view bytes) {
  KeyDigest digest{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return digest;
}

StatusOr<std::vector<ApiKey>> ReadApiKeys(const std::filesystem::path& file) {
  PHALANX_RETURN_IF_ERROR(CheckModes(file));
  std::ifstream in(file);
  if (!in) return NotFoundError("{}: cannot be read", file.string());
  std::vector<ApiKey> keys;
  std::set<std::string> ids;
  std::string line;
  for (int number = 1; std::getline(in, line); ++number) {
    const size_t begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    const std::string where = fmt::format("{}: line {}", file.string(), number);
    StatusOr<ApiKey> key = ReadLine(line);
    if (!key.ok()) return key.status().WithContext(where);
    if (!ids.insert(key->id).second) {
      return InvalidArgumentError("{}: id: {} is there twice", where, key->id);
    }
    keys.push_back(*std::move(key));
  }
  if (keys.empty()) return InvalidArgumentError("{}: holds no key", file.string());
  return keys;
}

ApiKeys::ApiKeys(std::vector<ApiKey> keys) { Replace(std::move(keys)); }

void ApiKeys::Replace(std::vector<ApiKey> keys) {
  auto shared = std::make_shared<std::vector<ApiKeyPtr>>();
  for (ApiKey& key : keys) shared->push_back(std::make_shared<const ApiKey>(std::move(key)));
  std::lock_guard lock(mu_);
  keys_ = std::move(shared);
}

std::shared_ptr<const std::vector<ApiKeyPtr>> ApiKeys::keys() const {
  std::lock_guard lock(mu_);
  return keys_;
}

KeyCheck ApiKeys::Check(std::string_view authorization) const {
  const auto keys = this->keys();
  if (keys->empty()) return {};
  if (authorization.empty()) return {.verdict = KeyVerdict::kAbsent};
  constexpr std::string_view kBearer = "Bearer ";
  const bool has_scheme =
      authorization.size() > kBearer.size() &&
      std::ranges::equal(authorization.substr(0, kBearer.size()), kBearer,
                         [](char a, char b) { return (a | 0x20) == (b | 0x20); });
  if (!has_scheme) return {.verdict = KeyVerdict::kOfAnotherForm};
  const KeyDigest digest = Sha256(authorization.substr(kBearer.size()));
  ApiKeyPtr found;
  for (const ApiKeyPtr& key : *keys) {
    if (CRYPTO_memcmp(key->digest.data(), digest.data(), digest.size()) == 0) found = key;
  }
  if (found == nullptr) return {.verdict = KeyVerdict::kUnknown};
  const auto today = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  const bool has_expired = found->expires && today >= *found->expires;
  return {.verdict = has_expired ? KeyVerdict::kExpired : KeyVerdict::kGood, .key = found};
}

StatusOr<ApiKeyPtr> ApiKeys::Authenticate(std::string_view authorization) const {
  const KeyCheck check = Check(authorization);
  if (const Status status = StatusOf(check.verdict); !status.ok()) return status;
  return check.key;
}

Status StatusOf(KeyVerdict verdict) {
  switch (verdict) {
    case KeyVerdict::kGood:
      return OkStatus();
    case KeyVerdict::kAbsent:
      return UnauthenticatedError("Authorization: is absent, allowed: Bearer KEY");
    case KeyVerdict::kOfAnotherForm:
      return UnauthenticatedError("Authorization: is of another form, allowed: Bearer KEY");
    case KeyVerdict::kUnknown:
      return UnauthenticatedError("Authorization: the key is not known here");
    case KeyVerdict::kExpired:
      return UnauthenticatedError("Authorization: the key has expired");
  }
  return InternalError("a verdict of {}", static_cast<int>(verdict));
}

std::string SaltOf(const ApiKeyPtr& key, const KeyDigest& secret, std::string_view clients_salt) {
  if (key == nullptr) return std::string(clients_salt);
  std::string bytes(secret.begin(), secret.end());
  bytes.append(key->digest.begin(), key->digest.end());
  bytes += clients_salt;
  std::string salt;
  for (const uint8_t byte : Sha256(bytes)) salt += fmt::format("{:02x}", byte);
  return salt;
}

}  // namespace phalanx
