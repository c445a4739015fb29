// For machines whose compilers know no tiles.
#include "kernels/cpu/tiles.h"

namespace phalanx {

const TileFunctions* FindTileFunctions() { return nullptr; }

}  // namespace phalanx
