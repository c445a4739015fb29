// Copies that nobody waits for: what the emulated device says of callers that do not wait either,
// and what is staged for it through pinned memory.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>
#include <vector>

#include "kernels/cuda/emulated_device.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/step_stage.h"
#include "kernels/cuda/upload_ring.h"
#include "tests/testing/inputs.h"

namespace phalanx::cuda::emulated {
namespace {

using ::testing::HasSubstr;

constexpr size_t kCount = 1000;
constexpr size_t kBytes = kCount * sizeof(float);

class StagingTest : public ::testing::Test {
 protected:
  std::unique_ptr<Event> NewEvent() { return std::move(device_->CreateEvent()).value(); }
  std::vector<float> OnDevice(const void* p) const {
    const auto* const values = static_cast<const float*>(p);
    return {values, values + kCount};
  }

  std::unique_ptr<Device> device_ =
      std::move(OpenEmulatedDevice(size_t{1} << 28, /*seed=*/1)).value();
  std::unique_ptr<CudaBuffer> on_device_ =
      std::move(CudaBuffer::Allocate(*device_, kBytes, "on the device")).value();
  std::unique_ptr<PinnedBuffer> pinned_ =
      std::move(PinnedBuffer::Allocate(*device_, kBytes, "pinned")).value();
  float* values_ = static_cast<float*>(pinned_->data());
};

TEST_F(StagingTest, WritingBeforeTheCopyIsOverIsAnError) {
  for (const Queue queue : {Queue::kCompute, Queue::kCopy}) {
    const auto device = std::move(OpenEmulatedDevice(size_t{1} << 20, 1)).value();
    const auto to = std::move(CudaBuffer::Allocate(*device, kBytes, "to")).value();
    const auto from = std::move(PinnedBuffer::Allocate(*device, kBytes, "from")).value();
    device->Send(queue, to->data(), from->data(), kBytes);
    static_cast<float*>(from->data())[17] = 1.0F;
    const Status status = device->Finish();
    EXPECT_EQ(status.code(), StatusCode::kInternal);
    EXPECT_THAT(status.message(),
                HasSubstr("a copy of 4000 bytes to the device: the host changed"));
  }
}

TEST_F(StagingTest, AnEventBehindTheCopyFreesTheHostsMemory) {
  const auto sent = NewEvent();
  std::fill_n(values_, kCount, 3.0F);
  device_->Send(Queue::kCopy, on_device_->data(), values_, kBytes);
  sent->Record(Queue::kCopy);
  sent->Wait();
  std::fill_n(values_, kCount, 4.0F);
  EXPECT_EQ(OnDevice(on_device_->data()), std::vector<float>(kCount, 3.0F));
  EXPECT_TRUE(device_->Finish().ok());
}

TEST_F(StagingTest, AnEventBeforeTheCopyOrInTheOtherQueueDoesNot) {
  const auto before = NewEvent();
  const auto other = NewEvent();
  before->Record(Queue::kCopy);
  std::fill_n(values_, kCount, 3.0F);
  device_->Send(Queue::kCopy, on_device_->data(), values_, kBytes);
  other->Record(Queue::kCompute);
  before->Wait();
  other->Wait();
  std::fill_n(values_, kCount, 4.0F);
  EXPECT_FALSE(device_->Finish().ok());
}

TEST_F(StagingTest, WhatNobodyWaitedForIsNotThere) {
  std::fill_n(values_, kCount, 3.0F);
  device_->Send(Queue::kCopy, on_device_->data(), values_, kBytes);
  for (const float value : OnDevice(on_device_->data())) EXPECT_TRUE(std::isnan(value));
  EXPECT_TRUE(device_->Finish().ok());
  device_->Fetch(values_, on_device_->data(), kBytes);
  for (size_t i = 0; i < kCount; ++i) EXPECT_TRUE(std::isnan(values_[i]));
  EXPECT_TRUE(device_->Finish().ok());
  for (size_t i = 0; i < kCount; ++i) EXPECT_EQ(values_[i], 3.0F);
}

TEST_F(StagingTest, AFetchHasWhatWasThereWhenItWasEnqueued) {
  std::fill_n(values_, kCount, 3.0F);
  device_->CopyToDevice(on_device_->data(), values_, kBytes);
  device_->Fetch(values_, on_device_->data(), kBytes);
  std::memset(on_device_->data(), 0, kBytes);  // as a kernel behind it might
  EXPECT_TRUE(device_->Finish().ok());
  EXPECT_EQ(values_[0], 3.0F);
}

TEST_F(StagingTest, WhatIsAllocatedHasNames) {
  EXPECT_THAT(device_->Memory(),
              ::testing::UnorderedElementsAre(
                  ::testing::FieldsAre("on the device", MemoryUse::Where::kDevice, 1, kBytes),
                  ::testing::FieldsAre("pinned", MemoryUse::Where::kPinnedHost, 1, kBytes)));
  EXPECT_EQ(device_->num_allocations(), 2);
}

TEST_F(StagingTest, APlanThatDoesNotFitNamesThePart) {
  void* places[3];
  MemoryPlan plan;
  plan.Add("small", 1000, &places[0]);
  plan.Add("logits", size_t{1} << 28, &places[1]);
  plan.Add("more", 1000, &places[2]);
  const Status status = CudaBlock::Allocate(*device_, plan).status();
  EXPECT_EQ(status.code(), StatusCode::kResourceExhausted);
  EXPECT_EQ(status.message(),
            "logits: cannot allocate 268435456 bytes, 268430432 of 268431456 are free behind what "
            "is planned before it (268437504 bytes in all)");
  EXPECT_EQ(device_->num_allocations(), 2);
}

TEST_F(StagingTest, PartsOfAPlanAreCheckedByThemselves) {
  void* first = nullptr;
  void* second = nullptr;
  MemoryPlan plan;
  plan.Add("first", 256, &first);
  plan.Add("second", 256, &second);
  const auto block = std::move(CudaBlock::Allocate(*device_, plan)).value();
  EXPECT_DEATH(device_->CopyToHost(values_, first, 257), "");
  device_->CopyToHost(values_, second, 256);
}

// ------------------------------------------------------------------------------------------------

// Writes down what it is told.
class Diary final : public QueueWatch {
 public:
  Status Check() override {
    words += "check ";
    return OkStatus();
  }
  void BeginWait() override { words += "begin "; }
  void EndWait() override { words += "end "; }
  std::string Take() { return std::exchange(words, ""); }

 private:
  std::string words;
};

TEST_F(StagingTest, WaitsForACollectiveAreTold) {
  Diary diary;
  device_->SetWatch(&diary);
  EXPECT_EQ(device_->Finish(), OkStatus());
  EXPECT_EQ(diary.Take(), "check ");
  device_->NoteCollective();
  EXPECT_EQ(device_->Finish(), OkStatus());
  EXPECT_EQ(diary.Take(), "begin check end ");
  // It is over.
  EXPECT_EQ(device_->Finish(), OkStatus());
  EXPECT_EQ(diary.Take(), "check ");
  device_->SetWatch(nullptr);
  device_->NoteCollective();
  EXPECT_EQ(device_->Finish(), OkStatus());
  EXPECT_EQ(diary.Take(), "");
}

// ------------------------------------------------------------------------------------------------

constexpr int64_t kMaxTokens = 12;
constexpr int64_t kMaxSeqs = 4;
constexpr int64_t kMaxBlocks = 40;

StepLimits Limits(std::span<const int32_t> kv_head_of) {
  return {
      .max_num_tokens = kMaxTokens,
      .max_num_seqs = kMaxSeqs,
      .max_num_logit_rows = 3,
      .max_blocks_per_seq = kMaxBlocks,
      .block_size = 16,
      .heads = {
          .num_heads_local = 2, .num_kv_heads_local = 1, .head_dim = 64, .kv_head_of = kv_head_of}};
}

// Two sequences, of `count` new tokens at `position` and of one at 5.
struct Step {
  Step(int32_t count, int32_t position) {
    for (int32_t i = 0; i <= count; ++i) {
      ids.push_back(1000 * position + i);
      positions.push_back(i < count ? position + i : 5);
      seq_of_token.push_back(i < count ? 0 : 1);
    }
    row_start = {0, count, count + 1};
    logit_rows = {count - 1, count};
    table.resize(static_cast<size_t>(2 * kMaxBlocks));
    std::iota(table.begin(), table.end(), position);
  }
  ForwardBatch Batch() const {
    return {.token_ids = ids,
            .batch = {.num_tokens = static_cast<int64_t>(ids.size()),
                      .num_seqs = 2,
                      .max_blocks_per_seq = kMaxBlocks,
                      .positions = positions.data(),
                      .seq_of_token = seq_of_token.data(),
                      .row_start = row_start.data(),
                      .block_table = table.data()},
            .logit_rows = logit_rows};
  }
  std::vector<int32_t> ids, positions, seq_of_token, row_start, logit_rows, table;
};

TEST_F(StagingTest, StepsAreWrittenWhileEarlierOnesAreSent) {
  const std::vector<int32_t> kv_head_of = {0, 0};
  MemoryPlan plan;
  const auto stage =
      std::move(StepStage::Create(*device_, Limits(kv_head_of), Numerics::kExact, plan)).value();
  const auto block = std::move(CudaBlock::Allocate(*device_, plan)).value();
  const int64_t allocated = device_->num_allocations();
  // Nobody waits between steps, and the host's own arrays are gone after each.
  for (int32_t i = 0; i < 9; ++i) {
    const auto step = std::make_unique<Step>(1 + i, 60 * i);
    const ForwardBatch host = step->Batch();
    const ForwardBatch sent = stage->Upload(host);
    EXPECT_TRUE(std::equal(step->ids.begin(), step->ids.end(), sent.token_ids.begin()));
    EXPECT_TRUE(
        std::equal(step->logit_rows.begin(), step->logit_rows.end(), sent.logit_rows.begin()));
    const BatchView& batch = sent.batch;
    EXPECT_TRUE(std::equal(step->positions.begin(), step->positions.end(), batch.positions));
    EXPECT_TRUE(
        std::equal(step->seq_of_token.begin(), step->seq_of_token.end(), batch.seq_of_token));
    EXPECT_TRUE(std::equal(step->row_start.begin(), step->row_start.end(), batch.row_start));
    // As wide as the longer sequence.
    EXPECT_EQ(batch.max_blocks_per_seq, std::max(60 * i + i, 5) / 16 + 1);
    for (int64_t s = 0; s < 2; ++s) {
      for (int64_t b = 0; b < batch.max_blocks_per_seq; ++b) {
        EXPECT_EQ(batch.block_table[s * batch.max_blocks_per_seq + b],
                  step->table[static_cast<size_t>(s * kMaxBlocks + b)]);
      }
    }
    AttentionParams params{.layout = {.num_kv_heads = 1, .block_size = 16, .head_dim = 64}};
    stage->Fill(params);
    ASSERT_GE(params.num_small + params.num_large, 2);
    // The longest comes first.
    EXPECT_EQ(params.items[params.num_small - 1].sequence, i == 0 ? 0 : 1);
  }
  EXPECT_TRUE(device_->Finish().ok()) << device_->Finish();
  EXPECT_EQ(device_->num_allocations(), allocated);
}

// ------------------------------------------------------------------------------------------------

// A matrix several times as large as all the ring's places, from several threads.
class UploadTest : public ::testing::TestWithParam<std::tuple<WeightLayout, DType>> {};

TEST_P(UploadTest, EveryRowArrives) {
  const auto& [layout, dtype] = GetParam();
  const auto device = std::move(OpenEmulatedDevice(size_t{1} << 28, 1)).value();
  const auto ring = std::move(UploadRing::Create(*device)).value();
  constexpr int64_t kCols = 4099;
  constexpr int64_t kRows = 2 * 2051;
  constexpr int64_t kThreads = 3;
  testing::Generator generator(7);
  const auto weight = std::move(CudaPackedWeight::Create(*device,
                                                         {.name = "w",
                                                          .out_features = kRows,
                                                          .in_features = kCols,
                                                          .dtype = dtype,
                                                          .layout = layout},
                                                         DType::kBF16))
                          .value();
  const testing::RandomWeight values = testing::MakeWeight(kRows, kCols, dtype, generator);
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      constexpr int64_t kStep = 100;
      for (int64_t r = t * kStep; r < kRows; r += kThreads * kStep) {
        const int64_t count = std::min(kStep, kRows - r);
        // The caller's memory is its own again when the call returns.
        const size_t bytes = static_cast<size_t>(count * kCols) * SizeInBytes(dtype);
        std::vector<std::byte> rows(bytes);
        std::memcpy(rows.data(), values.View(r, count).data, bytes);
        EXPECT_TRUE(weight->PackRows(*ring, r, MakeTensor(rows.data(), dtype, count, kCols)).ok());
        std::fill(rows.begin(), rows.end(), std::byte{0xff});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ASSERT_TRUE(device->Finish().ok()) << device->Finish();
  const auto* const packed = static_cast<const uint16_t*>(weight->data());
  int64_t wrong = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    const int64_t at = layout == WeightLayout::kGateUp ? GateUpRow(r, kRows / 2) : r;
    const uint16_t* const row = packed + at * weight->row_stride();
    for (int64_t c = 0; c < weight->row_stride(); ++c) {
      const uint16_t expected =
          c < kCols ? FloatToBF16(values.values[static_cast<size_t>(r * kCols + c)]) : uint16_t{0};
      if (row[c] != expected) ++wrong;
    }
  }
  EXPECT_EQ(wrong, 0);
}

INSTANTIATE_TEST_SUITE_P(All, UploadTest,
                         ::testing::Combine(::testing::Values(WeightLayout::kLinear,
                                                              WeightLayout::kGateUp),
                                            ::testing::Values(DType::kBF16, DType::kF32)));

// Finite as a float, but not as what the device holds.
TEST_F(StagingTest, AWeightThatNarrowingMakesInfiniteIsAnError) {
  const auto ring = std::move(UploadRing::Create(*device_)).value();
  for (const auto& [element, largest, too_large] :
       {std::tuple{DType::kF16, 65504.0F, 65520.0F}, {DType::kBF16, 3.389e38F, 3.4e38F}}) {
    const auto weight =
        std::move(CudaPackedWeight::Create(
                      *device_,
                      {.name = "w", .out_features = 9, .in_features = 5, .dtype = DType::kF32},
                      element))
            .value();
    std::vector<float> rows(3 * 5, largest);
    EXPECT_TRUE(weight->PackRows(*ring, 4, testing::ViewOf(rows, 3, 5)).ok());
    rows[2 * 5 + 1] = -too_large;
    const Status status = weight->PackRows(*ring, 4, testing::ViewOf(rows, 3, 5));
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(status.message(), fmt::format("weight w: {} at [6, 1], allowed: what {} can say",
                                            -too_large, Name(element)));
  }
  EXPECT_TRUE(device_->Finish().ok());
}

}  // namespace
}  // namespace phalanx::cuda::emulated
