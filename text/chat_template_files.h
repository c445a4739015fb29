// Where a model's folder keeps its chat templates.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "kernels/base/status.h"

namespace phalanx {

using TemplateTexts = std::map<std::string, std::string>;  // by name; one alone is "default"

// Empty where the folder has none. INVALID_ARGUMENT: a file is broken.
StatusOr<TemplateTexts> ReadTemplateTexts(const std::filesystem::path& model_dir);

}  // namespace phalanx
