#include "model/weight_loader.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include "model/integer_rows.h"
#include "model/quantize.h"
#include "model/stored_floats.h"

namespace phalanx {
namespace {

// Reads of this size reach a disk's full rate; a thread's staging buffer has this size or one row.
constexpr int64_t kChunkBytes = 4 << 20;

struct Source {
  std::optional<TensorLocation> location;  // empty: dummy
  DType dtype = DType::kF32;
  std::optional<TensorLocation> scales;  // of integers
};

// Rows [rows.begin, rows.end) of one tensor, read and packed by one thread.
struct Chunk {
  size_t table_row = 0;
  Range rows;
};

// Of one row, what this rank reads: bytes from the row's first one.
Range ReadBytes(const WeightRow& row, DType dtype) {
  const Range cols = row.read_cols();
  const auto element = static_cast<int64_t>(SizeInBytes(dtype));
  if (row.stored.is_integer()) return StoredBytesRead(row);
  return {cols.begin * element, cols.end * element};
}

int64_t RowBytes(const WeightRow& row, DType dtype) { return ReadBytes(row, dtype).size(); }

int64_t FullRowBytes(const WeightRow& row, DType dtype) {
  if (row.stored.is_integer()) return row.stored.RowBytes(row.cols);
  return row.cols * static_cast<int64_t>(SizeInBytes(dtype));
}

// The destination of one (layer, slot).
struct Target {
  PackedWeight* weight = nullptr;  // else `vector`
  float* vector = nullptr;
};

class Loader {
 public:
  Loader(const std::vector<WeightRow>& table, const WeightLoadOptions& options, Backend& backend)
      : table_(table), options_(options), backend_(backend) {}

  StatusOr<Qwen2Weights> Run(const Checkpoint* checkpoint, DType dummy_dtype) {
    PHALANX_RETURN_IF_ERROR(LocateAll(checkpoint, dummy_dtype));
    PHALANX_RETURN_IF_ERROR(AllocateAll());
    PlanChunks();
    std::vector<std::thread> threads;
    for (int i = 1; i < options_.num_threads; ++i) threads.emplace_back([this] { Work(); });
    Work();
    for (std::thread& thread : threads) thread.join();
    PHALANX_RETURN_IF_ERROR(error_);
    // Copies to a device are still under way.
    PHALANX_RETURN_IF_ERROR(backend_.Finish());
    return std::move(weights_);
  }

 private:
  Status LocateAll(const Checkpoint* checkpoint, DType dummy_dtype) {
    for (const WeightRow& row : table_) {
      Source source{std::nullopt, dummy_dtype, std::nullopt};
      if (checkpoint != nullptr && row.stored.is_integer()) {
        PHALANX_ASSIGN_OR_RETURN(const StoredIntegerTensors found,
                                 FindStoredIntegers(*checkpoint, row));
        source = {found.values, found.values.dtype, found.scales};
      } else if (checkpoint != nullptr) {
        PHALANX_ASSIGN_OR_RETURN(source.location, checkpoint->Find(row.name, row.shape()));
        source.dtype = source.location->dtype;
      }
      sources_.push_back(source);
    }
    return OkStatus();
  }

  Status AllocateAll() {
    struct Slot {
      int64_t rows = 0;
      int64_t cols = 0;
      DType dtype = DType::kF32;
      std::vector<size_t> members;
    };
    std::map<std::pair<int64_t, WeightSlot>, Slot> slots;
    int64_t num_layers = 0;
    for (size_t i = 0; i < table_.size(); ++i) {
      const WeightRow& row = table_[i];
      Slot& slot = slots[{row.layer, row.slot}];
      const bool same = slot.members.empty() || slot.dtype == sources_[i].dtype;
      slot.dtype = same ? sources_[i].dtype : DType::kF32;
      slot.rows += row.local_rows().size();
      slot.cols = row.local_cols().size();
      slot.members.push_back(i);
      num_layers = std::max(num_layers, row.layer + 1);
    }
    weights_.layers.resize(static_cast<size_t>(num_layers));
    targets_.resize(table_.size());
    for (const auto& [key, slot] : slots) {
      const WeightRow& first = table_[slot.members.front()];
      Target target;
      if (first.role == WeightRow::Role::kMatrix) {
        const auto layout =
            first.slot == WeightSlot::kGateUp ? WeightLayout::kGateUp : WeightLayout::kLinear;
        std::unique_ptr<PackedWeight>& weight = Matrix(first);
        const bool is_quantized = first.quantization.is_quantized();
        PHALANX_ASSIGN_OR_RETURN(
            weight, backend_.CreateWeight({first.name, slot.rows, slot.cols,
                                           is_quantized ? DType::kI8 : slot.dtype, layout,
                                           first.quantization}));
        target.weight = weight.get();
        weights_.size_bytes += static_cast<int64_t>(weight->size_bytes());
      } else {
        DeviceVector& vector = Vector(first);
        PHALANX_ASSIGN_OR_RETURN(
            auto buffer,
            backend_.Allocate(static_cast<size_t>(slot.rows) * sizeof(float), first.name));
        vector = DeviceVector(std::move(buffer), slot.rows);
        target.vector = vector.data();
        weights_.size_bytes += vector.size_bytes();
      }
      for (const size_t member : slot.members) targets_[member] = target;
    }
    return OkStatus();
  }

  std::unique_ptr<PackedWeight>& Matrix(const WeightRow& row) {
    switch (row.slot) {
      case WeightSlot::kEmbedding:
        return weights_.embedding;
      case WeightSlot::kLmHead:
        return weights_.lm_head;
      case WeightSlot::kQkv:
        return Layer(row).qkv;
      case WeightSlot::kO:
        return Layer(row).o;
      case WeightSlot::kGateUp:
        return Layer(row).gate_up;
      default:
        PHALANX_CHECK(row.slot == WeightSlot::kDown);
        return Layer(row).down;
    }
  }

  DeviceVector& Vector(const WeightRow& row) {
    switch (row.slot) {
      case WeightSlot::kFinalNorm:
        return weights_.final_norm;
      case WeightSlot::kInputNorm:
        return Layer(row).input_norm;
      case WeightSlot::kQkvBias:
        return Layer(row).qkv_bias;
      default:
        PHALANX_CHECK(row.slot == WeightSlot::kPostAttentionNorm);
        return Layer(row).post_attention_norm;
    }
  }

  LayerWeights& Layer(const WeightRow& row) {
    return weights_.layers[static_cast<size_t>(row.layer)];
  }

  void PlanChunks() {
    for (size_t i = 0; i < table_.size(); ++i) {
      const Range rows = table_[i].local_rows();
      const int64_t row_bytes = RowBytes(table_[i], sources_[i].dtype);
      if (row_bytes == 0) continue;
      const int64_t step = std::max<int64_t>(1, kChunkBytes / row_bytes);
      for (int64_t r = rows.begin; r < rows.end; r += step) {
        chunks_.push_back({i, {r, std::min(r + step, rows.end)}});
      }
      staging_bytes_ = std::max(staging_bytes_, std::min(step, rows.size()) * row_bytes);
      total_bytes_ += rows.size() * row_bytes;
    }
  }

  // One loading thread: takes chunks in order until none is left or something has failed.
  void Work() {
    std::vector<std::byte> staging(static_cast<size_t>(staging_bytes_));
    std::vector<float> widened;
    while (!failed_) {
      const size_t next = next_chunk_.fetch_add(1);
      if (next >= chunks_.size()) return;
      const Chunk& chunk = chunks_[next];
      const bool is_stopped = options_.should_stop && options_.should_stop();
      Status status = is_stopped ? CancelledError("loading the weights was stopped")
                                 : LoadChunk(chunk, staging, widened);
      if (!status.ok()) {
        const std::lock_guard lock(mutex_);
        if (error_.ok()) error_ = std::move(status);
        failed_ = true;
        return;
      }
      ReportProgress(chunk.rows.size() *
                     RowBytes(table_[chunk.table_row], sources_[chunk.table_row].dtype));
    }
  }

  Status LoadChunk(const Chunk& chunk, std::span<std::byte> staging, std::vector<float>& widened) {
    const WeightRow& row = table_[chunk.table_row];
    const Source& source = sources_[chunk.table_row];
    const Target& target = targets_[chunk.table_row];
    const int64_t cols = row.read_cols().size();
    const int64_t count = chunk.rows.size() * cols;
    staging = staging.first(static_cast<size_t>(chunk.rows.size() * RowBytes(row, source.dtype)));
    if (row.stored.is_integer() && source.location) {
      return LoadIntegers(chunk, staging);
    }
    if (source.location) {
      PHALANX_RETURN_IF_ERROR(ReadRows(row, *source.location, chunk.rows, staging));
      PHALANX_RETURN_IF_ERROR(CheckFinite(row, *source.location, chunk.rows, staging));
    } else {
      MakeDummyRows(row, source.dtype, chunk.rows, staging);
    }
    const int64_t first_row = row.first_row + chunk.rows.begin - row.local_rows().begin;
    const bool widen = target.weight == nullptr || target.weight->spec().dtype != source.dtype;
    if (widen) {
      widened.resize(static_cast<size_t>(count));
      WidenToFloat(staging.data(), source.dtype, widened);
    }
    if (target.weight == nullptr) {
      backend_.CopyToDevice(target.vector + first_row, widened.data(),
                            widened.size() * sizeof(float));
    } else if (row.quantization.is_quantized()) {
      RowQuantizer quantizer(row);
      backend_.PackQuantizedRows(*target.weight, first_row, quantizer.Quantize(widened));
    } else {
      void* data = widen ? static_cast<void*>(widened.data()) : staging.data();
      backend_.PackRows(*target.weight, first_row,
                        MakeTensor(data, target.weight->spec().dtype, chunk.rows.size(), cols));
    }
    return OkStatus();
  }

  Status LoadIntegers(const Chunk& chunk, std::span<std::byte> staging) {
    const WeightRow& row = table_[chunk.table_row];
    const Source& source = sources_[chunk.table_row];
    PHALANX_RETURN_IF_ERROR(ReadRows(row, *source.location, chunk.rows, staging));
    std::vector<int8_t> values = UnpackRows(row, staging);
    PHALANX_ASSIGN_OR_RETURN(std::vector<float> scales,
                             ReadStoredScales(row, *source.scales, chunk.rows));
    const Range read = row.read_cols();
    const Range local = row.local_cols();
    const int64_t first_row = row.first_row + chunk.rows.begin - row.local_rows().begin;
    backend_.PackQuantizedRows(*targets_[chunk.table_row].weight, first_row,
                               {{values.data() + (local.begin - read.begin), DType::kI8,
                                 chunk.rows.size(), local.size(), read.size()},
                                MakeTensor(scales.data(), DType::kF32, chunk.rows.size(),
                                           row.quantization.NumGroups(local.size()))});
    return OkStatus();
  }

  // Whole rows are one read; a split on the input axis reads the columns that this rank needs
  // row by row, and nothing in between.
  Status ReadRows(const WeightRow& row, const TensorLocation& location, Range rows,
                  std::span<std::byte> out) {
    const Range bytes = ReadBytes(row, location.dtype);
    const int64_t full = FullRowBytes(row, location.dtype);
    const auto offset = [&](int64_t r) { return location.begin + r * full + bytes.begin; };
    if (bytes.size() == full) return location.file->Read(offset(rows.begin), out);
    const auto row_bytes = static_cast<size_t>(bytes.size());
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      PHALANX_RETURN_IF_ERROR(location.file->Read(offset(r), out.first(row_bytes)));
      out = out.subspan(row_bytes);
    }
    return OkStatus();
  }

  Status CheckFinite(const WeightRow& row, const TensorLocation& location, Range rows,
                     std::span<const std::byte> data) {
    const size_t element = SizeInBytes(location.dtype);
    const size_t count = data.size() / element;
    if (!HasNonFinite(data.data(), count, location.dtype)) return OkStatus();
    const auto cols = static_cast<size_t>(row.read_cols().size());
    for (size_t i = 0; i < count; ++i) {
      float value = 0.0F;
      WidenToFloat(data.data() + i * element, location.dtype, std::span(&value, 1));
      if (std::isfinite(value)) continue;
      const int64_t r = rows.begin + static_cast<int64_t>(i / cols);
      const int64_t c = row.read_cols().begin + static_cast<int64_t>(i % cols);
      return InvalidArgumentError("{}: tensor \"{}\": found {} at [{}, {}], expected finite values",
                                  location.file->path(), row.name, value, r, c);
    }
    return OkStatus();
  }

  void MakeDummyRows(const WeightRow& row, DType dtype, Range rows, std::span<std::byte> out) {
    const DummyTensor tensor(options_.dummy_seed, row.name, row.dummy_distribution());
    const auto row_bytes = static_cast<size_t>(RowBytes(row, dtype));
    for (int64_t r = rows.begin; r < rows.end; ++r) {
      tensor.Fill(r, row.read_cols().begin, dtype, out.first(row_bytes));
      out = out.subspan(row_bytes);
    }
  }

  void ReportProgress(int64_t bytes) {
    if (!options_.on_progress) return;
    const std::lock_guard lock(mutex_);
    done_bytes_ += bytes;
    if (done_bytes_ < total_bytes_ && done_bytes_ - reported_bytes_ < total_bytes_ / 100) return;
    reported_bytes_ = done_bytes_;
    options_.on_progress(done_bytes_, total_bytes_);
  }

  const std::vector<WeightRow>& table_;
  const WeightLoadOptions& options_;
  Backend& backend_;
  std::vector<Source> sources_;  // [table_.size()]
  std::vector<Target> targets_;  // [table_.size()]
  std::vector<Chunk> chunks_;
  int64_t staging_bytes_ = 0;
  int64_t total_bytes_ = 0;
  Qwen2Weights weights_;

  std::atomic<size_t> next_chunk_ = 0;
  std::atomic<bool> failed_ = false;
  std::mutex mutex_;  // guards what follows
  Status error_;
  int64_t done_bytes_ = 0;
  int64_t reported_bytes_ = 0;
};

StatusOr<bool> SameBytes(const TensorLocation& a, const TensorLocation& b, int64_t bytes) {
  std::vector<std::byte> from_a;
  std::vector<std::byte> from_b;
  for (int64_t done = 0; done < bytes; done += kChunkBytes) {
    const auto size = static_cast<size_t>(std::min(kChunkBytes, bytes - done));
    from_a.resize(size);
    from_b.resize(size);
    PHALANX_RETURN_IF_ERROR(a.file->Read(a.begin + done, from_a));
    PHALANX_RETURN_IF_ERROR(b.file->Read(b.begin + done, from_b));
    if (from_a != from_b) return false;
  }
  return true;
}

}  // namespace

StatusOr<Qwen2Weights> LoadWeights(const std::vector<WeightRow>& table,
                                   const Checkpoint* checkpoint, DType dummy_dtype,
                                   const WeightLoadOptions& options, Backend& backend) {
  return Loader(table, options, backend).Run(checkpoint, dummy_dtype);
}

StatusOr<EmbeddingNames> ResolveEmbedding(const Checkpoint& checkpoint, const Qwen2Config& config) {
  EmbeddingNames names;
  if (!config.tie_word_embeddings) return names;
  if (!checkpoint.Contains(names.lm_head)) {
    names.lm_head = names.embedding;
    return names;
  }
  if (!checkpoint.Contains(names.embedding)) {
    names.embedding = names.lm_head;
    return names;
  }
  const std::vector<int64_t> shape = {config.vocab_size, config.hidden_size};
  PHALANX_ASSIGN_OR_RETURN(const auto embedding, checkpoint.Find(names.embedding, shape));
  PHALANX_ASSIGN_OR_RETURN(const auto lm_head, checkpoint.Find(names.lm_head, shape));
  if (embedding.dtype != lm_head.dtype) return names;
  const int64_t bytes =
      config.vocab_size * config.hidden_size * static_cast<int64_t>(SizeInBytes(embedding.dtype));
  PHALANX_ASSIGN_OR_RETURN(const bool same, SameBytes(embedding, lm_head, bytes));
  if (same) names.lm_head = names.embedding;
  return names;
}

}  // namespace phalanx
