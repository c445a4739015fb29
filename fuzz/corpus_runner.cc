// Runs a harness without libFuzzer: every file of a corpus as it is, and a fixed number of random
// mutations of each. No coverage guides it: it keeps the harness and what was found once alive.
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void Run(const std::string& input) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::string Mutate(std::string input, const std::vector<std::string>& seeds, std::mt19937& random) {
  for (size_t edits = 1 + random() % 4; edits > 0; --edits) {
    const size_t at = random() % (input.size() + 1);
    switch (random() % 5) {
      case 0:
        input.insert(at, 1, static_cast<char>(random()));
        break;
      case 1:
        if (at < input.size()) input.erase(at, 1 + random() % 8);
        break;
      case 2:
        if (at < input.size()) input[at] = static_cast<char>(random());
        break;
      case 3:
        input.insert(at, input.substr(random() % (input.size() + 1), random() % 16));
        break;
      default: {
        const std::string& other = seeds[random() % seeds.size()];
        input = input.substr(0, at) + other.substr(random() % (other.size() + 1));
        break;
      }
    }
  }
  return input;
}

}  // namespace

int main(int argc, char** argv) {
  const int mutations_a_seed = argc == 3 ? std::atoi(argv[2]) : 0;
  if (mutations_a_seed < 1) {
    fmt::print(stderr, "usage: {} CORPUS_FOLDER MUTATIONS_A_SEED\n", argv[0]);
    return 2;
  }
  std::vector<std::string> seeds;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) {
    std::ifstream file(entry.path(), std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (seeds.empty()) {
    fmt::print(stderr, "{}: has no seeds\n", argv[1]);
    return 2;
  }
  std::mt19937 random(1);
  for (const std::string& seed : seeds) {
    Run(seed);
    for (int i = 0; i < mutations_a_seed; ++i) Run(Mutate(seed, seeds, random));
  }
  fmt::print("{} seeds, {} mutations each\n", seeds.size(), mutations_a_seed);
  return 0;
}
