// What callers get wrong when they create a backend, and its memory.
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/backend_factory.h"
#include "tests/testing/inputs.h"

namespace phalanx {
namespace {

std::string ErrorOf(const BackendOptions& options) {
  const auto backend = CreateBackend(options);
  return backend.status().field() + "|" + backend.status().message();
}

TEST(BackendFactoryTest, NamesTheWrongFlag) {
  EXPECT_EQ(ErrorOf({.device = "tpu"}), fmt::format("--device|--device: is tpu, allowed: {}",
                                                    fmt::join(AvailableDevices(), ", ")));
  EXPECT_EQ(ErrorOf({.activation_dtype = DType::kF16}),
            "--dtype|--dtype: is F16, allowed: F32, BF16 on CPUs");
  EXPECT_EQ(ErrorOf({.numerics = Numerics::kFast}),
            "--numerics|--numerics: is fast, allowed: exact on CPUs");
  EXPECT_EQ(ErrorOf({.num_threads = -1}), "--threads|--threads: is -1, allowed: 0 to 1024");
  const std::string message = ErrorOf({.cpu_isa = "mmx"});
  EXPECT_TRUE(message.starts_with("--cpu-isa|--cpu-isa: is mmx, allowed: ")) << message;
  EXPECT_TRUE(message.ends_with("portable")) << message;
}

// On a host without a GPU; where there is one, no test can take it away.
TEST(BackendFactoryTest, SaysThatThereIsNoGpu) {
  const std::vector<std::string> devices = AvailableDevices();
  if (std::find(devices.begin(), devices.end(), "cuda") == devices.end()) {
    GTEST_SKIP() << "this build has no CUDA";
  }
  if (CreateBackend({.device = "cuda"}).ok()) GTEST_SKIP() << "this host has a GPU";
  const std::string message = ErrorOf({.device = "cuda"});
  EXPECT_TRUE(message.starts_with("--device|--device: is cuda, allowed: cpu")) << message;
  EXPECT_TRUE(message.find("no CUDA driver") != std::string::npos ||
              message.find("a driver for CUDA") != std::string::npos ||
              message.find("no GPU is usable here") != std::string::npos)
      << message;
  EXPECT_EQ(ErrorOf({.device = "cuda", .activation_dtype = DType::kF32}),
            "--dtype|--dtype: is F32, allowed: BF16, F16 on CUDA devices");
}

TEST(BackendFactoryTest, TakesTheBestInstructionSetByDefault) {
  const auto backend = std::move(CreateBackend({})).value();
  EXPECT_EQ(backend->isa(), AvailableCpuIsas().front());
  EXPECT_EQ(backend->device(), "cpu");
}

TEST(BackendMemoryTest, BuffersAreZeroedAndAligned) {
  const auto backend = testing::MakeBackend("", 1);
  for (const size_t bytes : {size_t{1}, size_t{4097}, size_t{5} << 20}) {
    const auto buffer = std::move(backend->Allocate(bytes, "b")).value();
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer->data()) % 64, 0u);
    EXPECT_EQ(buffer->size_bytes(), bytes);
    const auto* begin = static_cast<const uint8_t*>(buffer->data());
    EXPECT_EQ(std::accumulate(begin, begin + bytes, uint64_t{0}), 0u);
  }
}

TEST(BackendMemoryTest, PartsOfAPlanLieApartAndAligned) {
  const auto backend = testing::MakeBackend("", 1);
  void* places[3] = {};
  MemoryPlan plan;
  plan.Add("first", 100, &places[0]);
  plan.Add("none", 0, &places[1]);
  plan.Add("last", 5000, &places[2]);
  const auto block = std::move(backend->AllocateParts(plan)).value();
  EXPECT_GE(block->size_bytes(), size_t{100 + 5000});
  auto* end = static_cast<std::byte*>(block->data());
  for (size_t i = 0; i < 3; ++i) {
    auto* const begin = static_cast<std::byte*>(places[i]);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(begin) % 64, 0u);
    EXPECT_TRUE(i == 0 ? begin == end : begin > end - 1) << i;
    end = begin + plan.parts()[i].bytes;
  }
  EXPECT_LE(end, static_cast<std::byte*>(block->data()) + block->size_bytes());
  plan.Add("too much", size_t{1} << 60, &places[0]);
  EXPECT_EQ(backend->AllocateParts(plan).status().code(), StatusCode::kResourceExhausted);
}

TEST(BackendMemoryTest, SaysWhatDidNotFit) {
  const auto backend = testing::MakeBackend("", 1);
  const auto status = backend->Allocate(size_t{1} << 60, "activations").status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_TRUE(
      status.message().starts_with("activations: cannot allocate 1152921504606846976 bytes"))
      << status.message();
}

TEST(BackendMemoryTest, KvCacheChecksItsSpec) {
  const auto backend = testing::MakeBackend("", 1);
  KvCacheSpec spec{
      .num_layers = 2, .num_blocks = 3, .block_size = 16, .num_kv_heads_local = 2, .head_dim = 64};
  const auto cache = std::move(backend->CreateKvCache(spec)).value();
  EXPECT_GE(static_cast<int64_t>(cache->size_bytes()), 3 * KvBlockBytes(spec));
  KvCacheSpec bad = spec;
  bad.block_size = 24;
  EXPECT_EQ(backend->CreateKvCache(bad).status().field(), "--block-size");
  bad = spec;
  bad.dtype = DType::kF16;
  EXPECT_EQ(backend->CreateKvCache(bad).status().field(), "--kv-cache-dtype");
  bad = spec;
  bad.head_dim = 2048;
  EXPECT_EQ(backend->CreateKvCache(bad).status().code(), StatusCode::kInvalidArgument);
  bad = spec;
  bad.num_blocks = int64_t{1} << 40;
  EXPECT_EQ(backend->CreateKvCache(bad).status().code(), StatusCode::kResourceExhausted);
}

}  // namespace
}  // namespace phalanx
