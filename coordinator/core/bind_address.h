// What the programs know of an address before they listen on it, whatever protocol will.
#pragma once

#include <string>

#include "kernels/base/status.h"

namespace phalanx {

// True: every address that `host` stands for is a loopback one. NOT_FOUND: it stands for none.
StatusOr<bool> IsLoopback(const std::string& host);

// True: `host` stands for all IPv4 addresses of this host, as 0.0.0.0 does.
bool IsAllOfIpv4(const std::string& host);

// Why nothing can listen on it, for a server that could not and does not say.
std::string WhyNotBound(const std::string& host, int port);

}  // namespace phalanx
