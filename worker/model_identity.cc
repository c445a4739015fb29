#include "worker/model_identity.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

namespace phalanx {
namespace {

namespace fs = std::filesystem;

// FNV-1a, 64 bits (Fowler, Noll, Vo).
class Fingerprint {
 public:
  void Add(std::string_view bytes) {
    for (const char c : bytes) {
      hash_ = (hash_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    }
  }
  std::string Hex() const { return fmt::format("{:016x}", hash_); }

 private:
  uint64_t hash_ = 0xcbf29ce484222325ULL;
};

constexpr uint64_t kMaxHeaderBytes = 100'000'000;

}  // namespace

StatusOr<std::string> ConfigFingerprint(const fs::path& model_dir) {
  std::ifstream file(model_dir / "config.json", std::ios::binary);
  if (!file) return NotFoundError("cannot read {}", (model_dir / "config.json").string());
  Fingerprint fingerprint;
  fingerprint.Add(std::string(std::istreambuf_iterator<char>(file), {}));
  return fingerprint.Hex();
}

StatusOr<std::string> WeightsFingerprint(const fs::path& model_dir) {
  std::error_code error;
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(model_dir, error)) {
    if (entry.path().extension() == ".safetensors") files.push_back(entry.path());
  }
  if (error) return NotFoundError("cannot list {}: {}", model_dir.string(), error.message());
  std::sort(files.begin(), files.end());
  Fingerprint fingerprint;
  for (const fs::path& path : files) {
    // What is no file is the loader's to refuse, with more words.
    if (!fs::is_regular_file(path, error)) continue;
    const uint64_t file_bytes = fs::file_size(path, error);
    if (error) return NotFoundError("cannot read {}: {}", path.string(), error.message());
    fingerprint.Add(fmt::format("{} {}\n", path.filename().string(), file_bytes));
    std::ifstream file(path, std::ios::binary);
    uint64_t header_bytes = 0;
    char prefix[sizeof(header_bytes)] = {};
    file.read(prefix, sizeof(prefix));
    std::memcpy(&header_bytes, prefix, sizeof(prefix));
    // So is a broken header.
    if (!file || header_bytes > std::min(kMaxHeaderBytes, file_bytes)) continue;
    std::string header(header_bytes, '\0');
    file.read(header.data(), static_cast<std::streamsize>(header.size()));
    fingerprint.Add(header);
  }
  return fingerprint.Hex();
}

}  // namespace phalanx
