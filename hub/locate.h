// Finds the folder that `--model` means.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// HF_HUB_CACHE, else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else
// ~/.cache/huggingface/hub: the places that huggingface_hub uses, in its order.
std::filesystem::path HubCacheDir();

// `model` is a folder, whatever lies in it, or a hub id OWNER/NAME, optionally @REVISION, whose
// snapshot lies in `hub_cache` (hub_cache/models--OWNER--NAME/snapshots/COMMIT, the commit named by
// refs/REVISION, "main" where none is given). NOT_FOUND says the command that fetches it. Errors
// speak of the flag --model.
StatusOr<std::filesystem::path> LocateModel(std::string_view model,
                                            const std::filesystem::path& hub_cache = HubCacheDir());

}  // namespace phalanx
