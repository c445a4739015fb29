#include "worker/block_manager.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <numeric>

#include "worker/block_hash.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;

using Tokens = std::array<int32_t, 2>;

BlockKey Key(const Tokens& tokens, ContentId parent = kRootContent, uint64_t hash = 0,
             std::string_view salt = "") {
  if (hash == 0) hash = HashBlock(parent, tokens);
  return {parent, hash, tokens, salt};
}

// The example of the paper's appendix A.
TEST(BlockHashTest, IsSipHash24) {
  std::array<std::byte, 15> bytes;
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(SipHash24(0x0706050403020100, 0x0f0e0d0c0b0a0908, bytes), 0xa129ca6149be45e5);
}

TEST(BlockHashTest, DependsOnEveryTokenTheParentAndTheSalt) {
  std::vector<int32_t> tokens(16);
  std::iota(tokens.begin(), tokens.end(), 1000);
  const uint64_t hash = HashBlock(5, tokens);
  EXPECT_NE(HashBlock(6, tokens), hash);
  for (int32_t& token : tokens) {
    ++token;
    EXPECT_NE(HashBlock(5, tokens), hash);
    --token;
  }
  EXPECT_EQ(HashBlock(5, tokens), hash);
  EXPECT_NE(HashSalt("a"), HashSalt("b"));
  EXPECT_NE(HashSalt(""), HashSalt(std::string_view("\0", 1)));
}

TEST(BlockManagerTest, GivesOutEveryBlockOnceAndThenNone) {
  BlockManager manager(3, 2);
  std::vector<int32_t> blocks = {manager.Allocate(), manager.Allocate(), manager.Allocate()};
  EXPECT_THAT(blocks, ::testing::UnorderedElementsAre(0, 1, 2));
  EXPECT_EQ(manager.Allocate(), kNoBlock);
  EXPECT_EQ(manager.num_available(), 0);
  manager.Release(blocks);
  EXPECT_EQ(manager.num_free(), 3);
}

TEST(BlockManagerTest, KeepsPublishedBlocksUntilTheyAreNeeded) {
  BlockManager manager(2, 2);
  const Tokens tokens = {1, 2};
  const int32_t block = manager.Allocate();
  const CachedBlock published = manager.Publish(block, Key(tokens));
  EXPECT_EQ(published.block, block);
  manager.Release(std::array{block});
  EXPECT_EQ(manager.num_free(), 1);
  EXPECT_EQ(manager.num_evictable(), 1);
  EXPECT_EQ(manager.Find(Key(tokens)).block, block);
  EXPECT_EQ(manager.Find(Key(tokens)).content, published.content);

  manager.Acquire(block);
  EXPECT_EQ(manager.num_evictable(), 0);
  EXPECT_NE(manager.Allocate(), block);
  EXPECT_EQ(manager.Allocate(), kNoBlock) << "a block in use is not evicted";
  manager.Release(std::array{block});
  EXPECT_EQ(manager.Allocate(), block);
  EXPECT_EQ(manager.Find(Key(tokens)).block, kNoBlock);
}

TEST(BlockManagerTest, EvictsWhatWasReleasedLongestAgoAndDescendantsFirst) {
  BlockManager manager(4, 2);
  const std::array<Tokens, 4> tokens = {{{1, 1}, {2, 2}, {3, 3}, {4, 4}}};
  // Two chains of two blocks: 0 <- 1 and 2 <- 3.
  std::array<int32_t, 4> block;
  std::array<ContentId, 4> content;
  for (size_t i = 0; i < 4; ++i) {
    const ContentId parent = i % 2 == 0 ? kRootContent : content[i - 1];
    block[i] = manager.Allocate();
    content[i] = manager.Publish(block[i], Key(tokens[i], parent)).content;
  }
  manager.Release(std::array{block[2], block[3]});
  manager.Release(std::array{block[0], block[1]});
  manager.Acquire(block[2]);
  manager.Release(std::array{block[2]});
  const std::array evicted = {manager.Allocate(), manager.Allocate(), manager.Allocate(),
                              manager.Allocate()};
  EXPECT_THAT(evicted, ElementsAre(block[3], block[1], block[0], block[2]));
}

TEST(BlockManagerTest, GivesTheBlockThatAlreadyHoldsTheContent) {
  BlockManager manager(2, 2);
  const Tokens tokens = {1, 2};
  const CachedBlock first = manager.Publish(manager.Allocate(), Key(tokens));
  const CachedBlock second = manager.Publish(manager.Allocate(), Key(tokens));
  EXPECT_EQ(second.block, first.block);
  EXPECT_EQ(second.content, first.content);
  EXPECT_EQ(manager.num_references(first.block), 2);
  EXPECT_EQ(manager.num_free(), 1);
}

TEST(BlockManagerTest, AHitComparesTokensParentAndSaltNotOnlyHashes) {
  constexpr uint64_t kHash = 42;  // the same for all
  BlockManager manager(4, 2);
  const Tokens tokens = {1, 2};
  const Tokens other_tokens = {1, 3};
  const CachedBlock root =
      manager.Publish(manager.Allocate(), Key(tokens, kRootContent, kHash, "salt"));
  EXPECT_EQ(manager.Find(Key(tokens, kRootContent, kHash, "salt")).block, root.block);
  EXPECT_EQ(manager.Find(Key(other_tokens, kRootContent, kHash, "salt")).block, kNoBlock);
  EXPECT_EQ(manager.Find(Key(tokens, root.content, kHash, "salt")).block, kNoBlock);
  EXPECT_EQ(manager.Find(Key(tokens, kRootContent, kHash, "")).block, kNoBlock);
  EXPECT_EQ(manager.Find(Key(tokens, kRootContent, kHash, "other")).block, kNoBlock);

  // What collides stays private.
  const int32_t block = manager.Allocate();
  const CachedBlock collided = manager.Publish(block, Key(other_tokens, kRootContent, kHash));
  EXPECT_EQ(collided.block, block);
  EXPECT_EQ(collided.content, kNoContent);
  EXPECT_EQ(manager.num_references(block), 1);
  manager.Release(std::array{block});
  EXPECT_EQ(manager.num_evictable(), 0);
}

TEST(BlockManagerTest, AContentIdIsNeverUsedAgain) {
  BlockManager manager(1, 2);
  const Tokens tokens = {1, 2};
  const CachedBlock first = manager.Publish(manager.Allocate(), Key(tokens, kRootContent, 0, "s"));
  manager.Release(std::array{first.block});
  const CachedBlock again = manager.Publish(manager.Allocate(), Key(tokens));
  EXPECT_EQ(again.block, first.block);
  EXPECT_NE(again.content, first.content);
  EXPECT_EQ(manager.Find(Key(tokens, kRootContent, 0, "s")).block, kNoBlock)
      << "the salt went with the old content";
}

TEST(BlockManagerDeathTest, ChecksItsCallers) {
  BlockManager manager(1, 2);
  const int32_t block = manager.Allocate();
  EXPECT_DEATH(manager.Acquire(block), "CHECK failed");
  manager.Release(std::array{block});
  EXPECT_DEATH(manager.Release(std::array{block}), "CHECK failed");
}

}  // namespace
}  // namespace phalanx
