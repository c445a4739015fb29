// For machines whose compilers know no VNNI.
#include "kernels/cpu/vnni.h"

namespace phalanx {

VnniFunction FindVnniFunction() { return nullptr; }

}  // namespace phalanx
