// Cheap fingerprints of a model folder, to tell whether two ranks have the same model before them.
#pragma once

#include <filesystem>
#include <string>

#include "kernels/base/status.h"

namespace phalanx {

// Hash of config.json's bytes, 16 hexadecimal digits.
StatusOr<std::string> ConfigFingerprint(const std::filesystem::path& model_dir);

// Hash of the names, sizes and headers of all .safetensors files. A header holds every tensor's
// name, dtype, shape and place, so another model differs; other values under the same header do
// not, since reading all weights twice would double the time to load.
StatusOr<std::string> WeightsFingerprint(const std::filesystem::path& model_dir);

}  // namespace phalanx
