#include "kernels/cpu/cpu_linear.h"

#include <algorithm>

namespace phalanx {
namespace {

// Fewer elements of x are packed sooner than a second thread has begun.
constexpr int64_t kMinElementsForThreads = 16384;

// One pass of a thread over weights: large enough to stream, small enough to balance.
constexpr int64_t kTaskBytes = int64_t{256} << 10;

// A product is cut into row_tasks tasks for each of panel_tasks groups of panels.
struct Cut {
  int64_t panels_per_task;
  int64_t panel_tasks;
  int64_t row_tasks;
};

Cut CutIntoTasks(const LinearKernels& kernels, int64_t panels, int64_t panel_bytes, int64_t blocks,
                 int64_t threads) {
  const int64_t wanted_tasks = 4 * threads;
  const int64_t by_bytes = std::max<int64_t>(1, kTaskBytes / std::max<int64_t>(1, panel_bytes));
  const int64_t max_panels = kernels.task_panels > 0 && blocks > 1 ? kernels.task_panels : by_bytes;
  const int64_t min_row_tasks =
      kernels.task_blocks > 0 ? (blocks + kernels.task_blocks - 1) / kernels.task_blocks : 1;
  const int64_t panels_per_task =
      std::clamp<int64_t>(panels * min_row_tasks / wanted_tasks, 1, max_panels);
  const int64_t panel_tasks = (panels + panels_per_task - 1) / panels_per_task;
  // Rows are cut too where there are too few panels for the threads.
  const int64_t row_tasks = std::clamp(wanted_tasks / panel_tasks, min_row_tasks, blocks);
  return {panels_per_task, panel_tasks, row_tasks};
}

}  // namespace

CpuLinear::CpuLinear(CpuIsa isa, DType x_dtype, VnniFunction vnni, ThreadPool& threads)
    : threads_(threads),
      tiles_(isa == CpuIsa::kAmx ? FindTileFunctions() : nullptr),
      vnni_(vnni),
      vectors_(GetLinearKernels(isa, x_dtype)),
      quantized_(tiles_ != nullptr ? GetQuantizedTileKernels(x_dtype)
                                   : GetQuantizedLinearKernels(isa, x_dtype, vnni_)) {
  if (tiles_ != nullptr) tile_kernels_ = GetTileLinearKernels(x_dtype);
}

WeightArrangement CpuLinear::ArrangementFor(DType dtype) const {
  return tiles_ != nullptr && dtype == DType::kBF16 ? WeightArrangement::kTiles
                                                    : WeightArrangement::kSlots;
}

const LinearKernels& CpuLinear::KernelsFor(const CpuPackedWeight& weight) const {
  if (weight.quantized().bits != 0) return quantized_;
  return weight.arrangement() == WeightArrangement::kTiles ? tile_kernels_ : vectors_;
}

const std::byte* CpuLinear::Pack(const LinearKernels& kernels, const TensorView& x,
                                 const RowBlocks& blocks, int64_t lead) {
  if (x.rows == 1 && kernels.one_row_is_packed) {
    return reinterpret_cast<const std::byte*>(x.row<float>(0));
  }
  const int64_t row_bytes = kernels.packed_row_bytes(lead + x.cols);
  auto* packed = reinterpret_cast<std::byte*>(
      packed_rows_.Floats(static_cast<size_t>(x.rows * row_bytes) / sizeof(float)));
  const auto pack = [&](int64_t block, int) {
    const int64_t first = blocks.FirstRow(block);
    kernels.pack(x, first, blocks.FirstRow(block + 1) - first, lead, packed + first * row_bytes);
  };
  if (x.rows * x.cols < kMinElementsForThreads) {
    for (int64_t block = 0; block < blocks.num_blocks; ++block) pack(block, 0);
  } else {
    threads_.ParallelFor(blocks.num_blocks, pack);
  }
  return packed;
}

void CpuLinear::Multiply(const TensorView& x, const CpuPackedWeight& weight,
                         LinearEpilogue epilogue, std::span<const float> bias,
                         const TensorView& out) {
  PHALANX_CHECK(x.dtype == DType::kF32 && out.dtype == DType::kF32);
  PHALANX_CHECK_EQ(x.cols, weight.spec().in_features);
  PHALANX_CHECK_EQ(x.rows, out.rows);
  if (out.rows == 0 || out.cols == 0) return;
  const LinearKernels& kernels = KernelsFor(weight);
  LinearProblem problem;
  problem.blocks = {out.rows, (out.rows + kernels.max_block_rows - 1) / kernels.max_block_rows};
  const int64_t lead = weight.quantized().lead;
  problem.x = Pack(kernels, x, problem.blocks, lead);
  problem.x_row_bytes = kernels.packed_row_bytes(lead + x.cols);
  problem.in_features = x.cols;
  problem.panels = weight.panel(0);
  problem.panel_bytes = weight.panel_bytes();
  problem.weight_dtype = weight.spec().dtype;
  problem.quantized = weight.quantized();
  problem.epilogue = epilogue;
  problem.bias = bias.empty() ? nullptr : bias.data();
  problem.out = out.row<float>(0);
  problem.out_stride = out.stride;
  problem.out_features = out.cols;
  problem.tiles = tiles_;
  problem.vnni = vnni_;

  const int64_t panels = weight.num_panels();
  const int64_t num_blocks = problem.blocks.num_blocks;
  const Cut cut =
      CutIntoTasks(kernels, panels, problem.panel_bytes, num_blocks, threads_.num_threads());
  float* scratch =
      sums_.Floats(kernels.scratch_floats * static_cast<size_t>(threads_.num_threads()));
  threads_.ParallelFor(cut.panel_tasks * cut.row_tasks, [&](int64_t task, int thread) {
    const int64_t panel = task / cut.row_tasks * cut.panels_per_task;
    const int64_t part = task % cut.row_tasks;
    kernels.run(problem,
                {panel, std::min(panel + cut.panels_per_task, panels),
                 num_blocks * part / cut.row_tasks, num_blocks * (part + 1) / cut.row_tasks},
                scratch + kernels.scratch_floats * static_cast<size_t>(thread));
  });
}

}  // namespace phalanx
