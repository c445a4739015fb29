#include "text/bpe.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <utility>

#include "text/bpe_scratch.h"

namespace phalanx {
namespace {

// A random vocabulary over the bytes "abcd"; strings live as long as this.
struct RandomModel {
  explicit RandomModel(uint64_t seed) {
    std::mt19937_64 random(seed);
    config.byte_ids.fill(-1);
    std::map<std::string, int32_t> ids;
    for (int32_t i = 0; i < 4; ++i) {
      const std::string byte(1, static_cast<char>('a' + i));
      config.byte_ids[static_cast<unsigned char>(byte[0])] = i;
      ids[byte] = i;
      strings.push_back(byte);
    }
    std::set<std::pair<int32_t, int32_t>> pairs;
    for (int i = 0; i < 60; ++i) {
      const auto left = static_cast<int32_t>(random() % strings.size());
      const auto right = static_cast<int32_t>(random() % strings.size());
      const std::string joined =
          strings[static_cast<size_t>(left)] + strings[static_cast<size_t>(right)];
      if (joined.size() > 12 || !pairs.emplace(left, right).second) continue;
      const auto [it, is_new] = ids.emplace(joined, static_cast<int32_t>(strings.size()));
      if (is_new) strings.push_back(joined);
      config.merges.push_back({left, right, it->second});
    }
    // Any order of ranks is a valid file, also one in which a token's parts come after it.
    std::shuffle(config.merges.begin(), config.merges.end(), random);
    for (size_t i = 0; i < strings.size(); ++i) {
      config.tokens.emplace_back(strings[i], static_cast<int32_t>(i));
    }
  }

  std::vector<std::string> strings;
  BpeConfig config;
};

std::vector<int32_t> Naive(const BpeConfig& config, std::string_view piece) {
  std::vector<int32_t> symbols;
  for (const char c : piece) symbols.push_back(config.byte_ids[static_cast<unsigned char>(c)]);
  while (true) {
    bool merged = false;
    for (const BpeMerge& merge : config.merges) {
      for (size_t i = 0; i + 1 < symbols.size() && !merged; ++i) {
        if (symbols[i] != merge.left || symbols[i + 1] != merge.right) continue;
        symbols[i] = merge.result;
        symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
    if (!merged) return symbols;
  }
}

TEST(BpeTest, EqualsTheDefinitionAtEveryLength) {
  std::mt19937_64 random(7);
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const RandomModel model(seed);
    const BpeModel bpe(model.config);
    BpeScratch scratch;
    for (int round = 0; round < 150; ++round) {
      std::string piece;
      const auto letters = 1 + random() % 4;
      for (auto n = 1 + random() % 130; n > 0; --n) {
        piece.push_back(static_cast<char>('a' + random() % letters));
      }
      const std::vector<int32_t> expected = Naive(model.config, piece);
      for (int repeat = 0; repeat < 2; ++repeat) {  // the second one may come from the cache
        std::vector<int32_t> ids = {-7};
        bpe.Encode(piece, &scratch, &ids);
        EXPECT_EQ(std::vector<int32_t>(ids.begin() + 1, ids.end()), expected) << seed << piece;
      }
    }
  }
}

TEST(BpeTest, TakesWholePiecesWhereToldTo) {
  BpeConfig config;
  config.byte_ids.fill(-1);
  config.byte_ids['a'] = 0;
  config.byte_ids['b'] = 1;
  config.tokens = {{"a", 0}, {"b", 1}, {"ab", 2}};
  BpeScratch scratch;
  std::vector<int32_t> ids;
  BpeModel(config).Encode("ab", &scratch, &ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1}));
  config.whole_pieces = WholePieces::kTakenAsIs;
  ids.clear();
  BpeScratch other_scratch;
  BpeModel(config).Encode("ab", &other_scratch, &ids);
  EXPECT_EQ(ids, (std::vector<int32_t>{2}));
  ids.clear();
  BpeModel(config).Encode("axb", &other_scratch, &ids);  // x has no token
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 1}));
}

}  // namespace
}  // namespace phalanx
