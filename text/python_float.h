// Floats as Python writes them.
#pragma once

#include <string>

namespace phalanx {

// repr() of a finite float: the shortest digits that read back as `value`.
std::string PythonFloat(double value);

}  // namespace phalanx
