// Where the certificates of a server lie, and what lies there.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

#include "kernels/base/status.h"

namespace phalanx {

struct TlsFiles {
  std::filesystem::path certificate;  // PEM: the server's, then what links it to an authority;
                                      // empty: no TLS
  std::filesystem::path key;          // PEM, without a pass phrase, mode 0600
  std::filesystem::path client_authorities;  // PEM; empty: clients need no certificate

  bool enabled() const { return !certificate.empty(); }
};

// The files' content, which belongs together: every protocol serves with the same.
struct TlsMaterial {
  std::string certificate;
  std::string key;
  std::string client_authorities;                // empty: clients need no certificate
  std::chrono::system_clock::time_point expiry;  // of the server's certificate
};

// INVALID_ARGUMENT or FAILED_PRECONDITION naming the flag and the file: not there, no such thing,
// readable by others, expired, not valid yet, or a key of another certificate.
StatusOr<TlsMaterial> ReadTlsFiles(const TlsFiles& files);

}  // namespace phalanx
