// How long ago this process began, by /proc/self/stat: to a hundredth of a second, what the loader
// did before main included.
#pragma once

namespace phalanx {

double ProcessAgeSeconds();

}  // namespace phalanx
