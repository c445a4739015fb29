// Where the tests of text/ find their files.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace phalanx::testing {

inline std::filesystem::path SourceDir() { return PHALANX_SOURCE_DIR; }
inline std::filesystem::path GoldenDir() { return SourceDir() / "tests/text/goldens"; }

// Published files that are not part of this repository; tests skip where they are absent.
inline std::filesystem::path SharedDir() {
  const char* from_environment = std::getenv("PHALANX_SHARED_DIR");
  return from_environment != nullptr ? from_environment : SourceDir() / "../shared";
}

inline std::vector<nlohmann::json> ReadGoldens(const std::string& name) {
  std::ifstream file(GoldenDir() / name);
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(nlohmann::json::parse(line));
  EXPECT_FALSE(rows.empty()) << name;
  return rows;
}

inline std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A folder of its own for one test, removed afterwards.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = std::filesystem::temp_directory_path() / "phalanx_text_XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void Write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ / name, std::ios::binary) << text;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace phalanx::testing
