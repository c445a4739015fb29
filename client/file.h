// Reading whole inputs.
#pragma once

#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "kernels/base/status.h"

namespace phalanx {

inline std::string ReadAll(std::istream& in) {
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// "-" is standard input.
inline StatusOr<std::string> ReadFile(const std::string& path) {
  if (path == "-") return ReadAll(std::cin);
  std::ifstream in(path, std::ios::binary);
  if (!in) return NotFoundError("file: cannot read {}", path);
  return ReadAll(in);
}

}  // namespace phalanx
