#include "bench/device_linear.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

// Weights rotate through at least this much memory: several times a GPU's cache.
constexpr int64_t kRotationBytes = int64_t{512} << 20;
constexpr int64_t kMaxCopies = 64;
constexpr double kLeastSeconds = 10e-3;  // of one measurement
// What is checked against the oracle.
constexpr int64_t kCheckedRows = 3;
constexpr int64_t kCheckedColumns = 64;

using Run = std::function<Status(int64_t run)>;

int64_t WeightBytes(const MatmulShape& shape) {
  return shape.out * shape.in * static_cast<int64_t>(SizeInBytes(shape.dtype));
}

// Inputs and outputs of one case. The weight's random rows repeat.
class DeviceLinear {
 public:
  DeviceLinear(Backend& backend, const MatmulShape& shape)
      : backend_(backend),
        shape_(shape),
        generator_(31),
        pattern_(testing::MakeWeight(std::min<int64_t>(shape.out, 251), shape.in, shape.dtype,
                                     generator_)),
        x_(testing::MakeWeight(shape.rows, shape.in, shape.dtype, generator_)) {}

  // `copies` of the weight for the backend, and one behind the other as cuBLAS takes them.
  Status Fill(int64_t copies, Cublas* cublas);
  Run Ours();
  Run Theirs(Cublas& cublas);
  // What is wrong with the output of `run`, or "".
  StatusOr<std::string> Check(const Run& run);

 private:
  void AppendRow(int64_t row, std::vector<float>& to) const {
    const auto begin = pattern_.values.begin() + row % pattern_.out_features * shape_.in;
    to.insert(to.end(), begin, begin + shape_.in);
  }

  Backend& backend_;
  const MatmulShape shape_;
  testing::Generator generator_;
  testing::RandomWeight pattern_;
  testing::RandomWeight x_;
  std::vector<std::unique_ptr<PackedWeight>> weights_;
  std::unique_ptr<Buffer> plain_;     // [copies, out, in]; null without cuBLAS
  std::unique_ptr<Buffer> x_device_;  // [rows, in]
  std::unique_ptr<Buffer> out_;       // [rows, out] f32
};

Status DeviceLinear::Fill(int64_t copies, Cublas* cublas) {
  for (int64_t copy = 0; copy < copies; ++copy) {
    PHALANX_ASSIGN_OR_RETURN(auto weight, backend_.CreateWeight({.name = "w",
                                                                 .out_features = shape_.out,
                                                                 .in_features = shape_.in,
                                                                 .dtype = shape_.dtype}));
    for (int64_t row = 0; row < shape_.out; row += pattern_.out_features) {
      backend_.PackRows(*weight, row,
                        pattern_.View(0, std::min(pattern_.out_features, shape_.out - row)));
    }
    weights_.push_back(std::move(weight));
  }
  PHALANX_RETURN_IF_ERROR(backend_.PrepareSteps({.max_num_tokens = shape_.rows,
                                                 .max_num_seqs = 1,
                                                 .max_num_logit_rows = 1,
                                                 .num_logit_cols = 1,
                                                 .max_blocks_per_seq = 1}));
  const auto bytes = static_cast<size_t>(WeightBytes(shape_));
  if (cublas != nullptr) {
    PHALANX_ASSIGN_OR_RETURN(
        plain_, backend_.Allocate(static_cast<size_t>(copies) * bytes, "cuBLAS's weights"));
    std::vector<std::byte> rows;
    while (rows.size() < bytes) {
      const size_t count = std::min(pattern_.stored.size(), bytes - rows.size());
      rows.insert(rows.end(), pattern_.stored.begin(),
                  pattern_.stored.begin() + static_cast<std::ptrdiff_t>(count));
    }
    for (int64_t copy = 0; copy < copies; ++copy) {
      backend_.CopyToDevice(static_cast<std::byte*>(plain_->data()) + copy * WeightBytes(shape_),
                            rows.data(), bytes);
    }
  }
  PHALANX_ASSIGN_OR_RETURN(x_device_, backend_.Allocate(x_.stored.size(), "x"));
  backend_.CopyToDevice(x_device_->data(), x_.stored.data(), x_.stored.size());
  PHALANX_ASSIGN_OR_RETURN(
      out_,
      backend_.Allocate(static_cast<size_t>(shape_.rows * shape_.out) * sizeof(float), "out"));
  return backend_.Finish();
}

Run DeviceLinear::Ours() {
  const TensorView x = MakeTensor(x_device_->data(), shape_.dtype, shape_.rows, shape_.in);
  const TensorView out = MakeTensor(out_->data(), DType::kF32, shape_.rows, shape_.out);
  return [this, x, out](int64_t run) {
    backend_.Linear(x, *weights_[static_cast<size_t>(run) % weights_.size()], {}, out);
    return OkStatus();
  };
}

Run DeviceLinear::Theirs(Cublas& cublas) {
  return [this, &cublas](int64_t run) {
    const auto copy = run % static_cast<int64_t>(weights_.size());
    return cublas.Run(
        {.rows = shape_.rows,
         .in = shape_.in,
         .out_features = shape_.out,
         .dtype = shape_.dtype,
         .x = x_device_->data(),
         .weight = static_cast<const std::byte*>(plain_->data()) + copy * WeightBytes(shape_),
         .out = static_cast<float*>(out_->data())});
  };
}

StatusOr<std::string> DeviceLinear::Check(const Run& run) {
  std::vector<float> out = testing::NaNs(shape_.rows * shape_.out);
  const size_t bytes = out.size() * sizeof(float);
  backend_.CopyToDevice(out_->data(), out.data(), bytes);
  PHALANX_RETURN_IF_ERROR(run(0));
  backend_.CopyToHost(out.data(), out_->data(), bytes);
  PHALANX_RETURN_IF_ERROR(backend_.Finish());
  const int64_t columns = std::min(shape_.out, kCheckedColumns);
  for (int64_t i = 0; i < std::min(shape_.rows, kCheckedRows); ++i) {
    const int64_t row = i * (shape_.rows - 1) / std::max<int64_t>(1, kCheckedRows - 1);
    const std::vector<float> x(x_.values.begin() + row * shape_.in,
                               x_.values.begin() + (row + 1) * shape_.in);
    std::vector<float> w;
    std::vector<float> actual;
    for (int64_t c = 0; c < columns; ++c) {
      const int64_t column = c * (shape_.out - 1) / std::max<int64_t>(1, columns - 1);
      AppendRow(column, w);
      actual.push_back(out[static_cast<size_t>(row * shape_.out + column)]);
    }
    const std::string mismatch =
        testing::Mismatch(actual, testing::LinearOracle(x, w, {}, 1, shape_.in, columns));
    if (!mismatch.empty()) return fmt::format("row {}: {}", row, mismatch);
  }
  return std::string();
}

// Seconds of one run.
StatusOr<double> Time(Backend& backend, const Run& run, int64_t rotation) {
  using Clock = std::chrono::steady_clock;
  for (int64_t runs = rotation;; runs *= 2) {
    PHALANX_RETURN_IF_ERROR(backend.Finish());
    const Clock::time_point begin = Clock::now();
    for (int64_t i = 0; i < runs; ++i) PHALANX_RETURN_IF_ERROR(run(i));
    PHALANX_RETURN_IF_ERROR(backend.Finish());
    const double elapsed = std::chrono::duration<double>(Clock::now() - begin).count();
    if (elapsed >= kLeastSeconds) return elapsed / static_cast<double>(runs);
  }
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

std::string Describe(const MatmulShape& shape) {
  return fmt::format("{} {} rows={} in={} out={}", shape.name, Name(shape.dtype), shape.rows,
                     shape.in, shape.out);
}

void Print(const MatmulShape& shape, const DeviceLinearTime& time) {
  const std::string theirs = time.cublas_seconds
                                 ? fmt::format("{:11.1f} {:8.2f}", *time.cublas_seconds * 1e6,
                                               *time.cublas_seconds / time.seconds)
                                 : fmt::format("{:>11} {:>8}", "-", "-");
  fmt::print("{:46} {:11.1f} {:8.1f} {:9.1f} {}\n", Describe(shape), time.seconds * 1e6,
             static_cast<double>(time.bytes) / time.seconds * 1e-9, time.flop / time.seconds * 1e-9,
             theirs);
  std::fflush(stdout);
}

nlohmann::json Json(const MatmulShape& shape, const DeviceLinearTime& time) {
  nlohmann::json one = {{"op", "linear"},
                        {"shape", Describe(shape)},
                        {"median_us", time.seconds * 1e6},
                        {"gb_per_s", static_cast<double>(time.bytes) / time.seconds * 1e-9},
                        {"gflop_per_s", time.flop / time.seconds * 1e-9}};
  if (time.cublas_seconds) one["cublas_us"] = *time.cublas_seconds * 1e6;
  return one;
}

}  // namespace

StatusOr<DeviceLinearTime> TimeDeviceLinear(Backend& backend, const MatmulShape& shape, int rounds,
                                            Cublas* cublas) {
  DeviceLinear linear(backend, shape);
  // An emulated device has no cache to defeat, and time for one.
  const int64_t copies =
      backend.device() == "cuda"
          ? std::clamp<int64_t>(kRotationBytes / WeightBytes(shape) + 1, 1, kMaxCopies)
          : 1;
  PHALANX_RETURN_IF_ERROR(linear.Fill(copies, cublas));
  struct Contender {
    std::string_view name;
    Run run;
    std::vector<double> seconds{};
  };
  std::vector<Contender> contenders = {{"this kernel", linear.Ours()}};
  if (cublas != nullptr) contenders.push_back({"cuBLAS", linear.Theirs(*cublas)});
  for (const Contender& contender : contenders) {
    PHALANX_ASSIGN_OR_RETURN(const std::string wrong, linear.Check(contender.run));
    if (!wrong.empty()) return InternalError("{} is wrong: {}", contender.name, wrong);
  }
  for (int round = 0; round < rounds; ++round) {
    for (Contender& contender : contenders) {
      PHALANX_ASSIGN_OR_RETURN(const double seconds, Time(backend, contender.run, copies));
      contender.seconds.push_back(seconds);
    }
  }
  DeviceLinearTime time{.bytes = WeightBytes(shape),
                        .flop = 2.0 * static_cast<double>(shape.rows * shape.in * shape.out),
                        .seconds = Median(contenders.front().seconds)};
  if (cublas != nullptr) time.cublas_seconds = Median(contenders.back().seconds);
  return time;
}

int RunDeviceLinear(const DeviceLinearOptions& options) {
  const bool is_table = options.format == DeviceLinearOptions::Format::kTable;
  nlohmann::json report = {{"device", options.backend.device}, {"cases", nlohmann::json::array()}};
  int exit_code = 0;
  bool is_first = true;
  for (const MatmulShape& shape : LinearShapes()) {
    if (Describe(shape).find(options.filter) == std::string::npos) continue;
    // One that holds no more than this shape's memory.
    const auto backend = CreateBackend(options.backend);
    if (!backend.ok()) {
      fmt::print(stderr, "{}\n", backend.status().message());
      return 2;
    }
    if ((*backend)->activation_dtype() != shape.dtype) continue;
    std::unique_ptr<Cublas> cublas;
    std::string about = "cuBLAS: computes on GPUs alone";
    if (void* const stream = (*backend)->device_queue()->stream_handle(); stream != nullptr) {
      auto loaded = Cublas::Load(stream);
      about = loaded.ok() ? fmt::format("cuBLAS {}", (*loaded)->version())
                          : fmt::format("cuBLAS: not found ({}); launch/setup.sh --cuda fetches it",
                                        loaded.status().message());
      if (loaded.ok()) cublas = std::move(loaded).value();
    }
    if (is_first) {
      report["isa"] = (*backend)->isa();
      report["cublas"] = about;
      if (is_table) {
        fmt::print("{} {}, {}\n", options.backend.device, (*backend)->isa(), about);
        fmt::print("{:46} {:>11} {:>8} {:>9} {:>11} {:>8}\n", "linear", "median us", "GB/s",
                   "GFLOP/s", "cuBLAS us", "x cuBLAS");
      }
      is_first = false;
    }
    const auto time = TimeDeviceLinear(**backend, shape, options.rounds, cublas.get());
    if (!time.ok()) {
      exit_code = 1;
      fmt::print(stderr, "linear {}: {}\n", Describe(shape), time.status().message());
    } else if (is_table) {
      Print(shape, *time);
    } else {
      report["cases"].push_back(Json(shape, *time));
    }
  }
  if (!is_table) fmt::print("{}\n", report.dump(2));
  return exit_code;
}

}  // namespace phalanx
