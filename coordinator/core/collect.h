// The whole answer out of a stream's messages.
#pragma once

#include "phalanx/v1/inference.pb.h"

namespace phalanx {

// Appends one message of a stream to `response`; takes its content.
void AddMessage(v1::StreamResponse* message, v1::GenerateResponse* response);

}  // namespace phalanx
