// File descriptors: each connection takes one, and so do the engine's socket, files and health.
#pragma once

#include <cstddef>

namespace phalanx {

// Lets this process have as many as the system allows it at all, since the usual soft limit (1,024)
// is meant for programs that use select(). How many that are.
size_t RaiseDescriptorLimit();

// Of so many HTTP connections those that leave descriptors for everything else: a flood of them
// must not take what health, gRPC and the worker group need.
size_t ConnectionsWithin(size_t max_connections, size_t num_descriptors);

}  // namespace phalanx
