// What the transport itself answers to a request that it does not serve.
#pragma once

#include <string>

#include "coordinator/http/exchange.h"

namespace phalanx::http {

struct Refusal {
  int status = 400;
  std::string message;  // holds nothing that must be escaped in a log but what Printable made safe
};

// {"error":{"message","type","param":null,"code"}}, as all errors of the API.
Response ToResponse(const Refusal& refusal);

}  // namespace phalanx::http
