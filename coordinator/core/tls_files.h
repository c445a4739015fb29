// Where the certificates of a server lie.
#pragma once

#include <filesystem>

namespace phalanx {

struct TlsFiles {
  std::filesystem::path certificate;  // PEM: the server's, then what links it to an authority;
                                      // empty: no TLS
  std::filesystem::path key;          // PEM, without a pass phrase, mode 0600
  std::filesystem::path client_authorities;  // PEM; empty: clients need no certificate

  bool enabled() const { return !certificate.empty(); }
};

}  // namespace phalanx
