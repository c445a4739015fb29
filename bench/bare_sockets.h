// The baseline of everything that goes over HTTP: what two processes pay for the same bytes on a
// plain socket of this machine, in the same run.
#pragma once

#include <cstddef>

#include "bench/http_client.h"
#include "bench/process_channel.h"

namespace phalanx::bench {

struct BareSocketOptions {
  int round_trips = 500;
  size_t bytes = 220;
};

struct BareCosts {
  double write_us = 0;  // CPU time of one write
  Latency round_trip;
};

// In the one process, while the other asks.
BareCosts ServeBareSockets(const BareSocketOptions& options, ProcessChannel& channel);
void AskBareSockets(const BareSocketOptions& options, ProcessChannel& channel);

}  // namespace phalanx::bench
