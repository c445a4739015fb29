// What a worker group last said of itself, and what the coordinator holds now.
#pragma once

#include "coordinator/core/dispatcher.h"
#include "coordinator/metrics/families.h"

namespace phalanx::metrics {

// The group's counters begin anew with each group.
void AppendEngine(const Dispatcher::Snapshot& snapshot, Families* families);

// Memory, processor time and files of this process, under the names that Prometheus' own client
// libraries use.
void AppendProcess(Families* families);

}  // namespace phalanx::metrics
