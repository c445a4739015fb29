// Which CPUs this process may use.
#pragma once

namespace phalanx {

// CPUs that the calling thread may run on; at least 1.
int NumUsableCpus();

}  // namespace phalanx
