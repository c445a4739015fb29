#include "tests/device/device_under_test.h"

#include <fmt/format.h>

#include <cstdio>
#include <limits>
#include <optional>
#include <string_view>

#include "tests/testing/narrow.h"

namespace phalanx::testing {
namespace {

DeviceUnderTest& Mutable() {
  static DeviceUnderTest device;
  return device;
}

// The value of --name=VALUE.
std::optional<std::string> ValueOf(std::string_view argument, std::string_view name) {
  const std::string prefix = fmt::format("--{}=", name);
  if (!argument.starts_with(prefix)) return std::nullopt;
  return std::string(argument.substr(prefix.size()));
}

}  // namespace

const DeviceUnderTest& Device() { return Mutable(); }

int RunDeviceTests(int argc, char** argv) {
  // Before GoogleTest makes the tests: their sizes depend on the device.
  for (int i = 1; i < argc; ++i) {
    if (const auto device = ValueOf(argv[i], "device")) Mutable().name = *device;
    if (const auto data = ValueOf(argv[i], "data")) Mutable().data = *data;
  }
  PrepareEnvironment(Device().name);
  if (const auto backend = CreateBackend({.device = Device().name}); !backend.ok()) {
    fmt::print(stderr, "{}\n", backend.status().message());
    return 2;
  }
  if (!std::filesystem::exists(Device().data / "tests/model/goldens")) {
    fmt::print(stderr, "--data: is {}, allowed: a folder that holds tests/model/goldens\n",
               Device().data.string());
    return 2;
  }
  ::testing::InitGoogleTest(&argc, argv);
  for (int i = 1; i < argc; ++i) {
    if (ValueOf(argv[i], "device") || ValueOf(argv[i], "data")) continue;
    fmt::print(stderr, "{}: unknown flag, allowed: --device=, --data= and those of --help\n",
               argv[i]);
    return 2;
  }
  return RUN_ALL_TESTS();
}

std::unique_ptr<Backend> MakeDevice(DType dtype, Numerics numerics) {
  return std::move(CreateBackend({.device = Device().name,
                                  .activation_dtype = dtype,
                                  .numerics = numerics,
                                  .device_memory_bytes = size_t{1} << 30}))
      .value();
}

std::unique_ptr<Backend> MakeDevice(DType dtype, Numerics numerics, const StepLimits& limits) {
  auto backend = MakeDevice(dtype, numerics);
  const Status status = backend->PrepareSteps(limits);
  PHALANX_CHECK(status.ok());
  return backend;
}

DeviceMatrix::DeviceMatrix(Backend& backend, const std::vector<float>& values, int64_t rows,
                           DType dtype, int64_t gap)
    : backend_(backend) {
  const int64_t cols = rows == 0 ? 0 : static_cast<int64_t>(values.size()) / rows;
  PHALANX_CHECK_EQ(rows * cols, static_cast<int64_t>(values.size()));
  view_ = {nullptr, dtype, rows, cols, cols + gap};
  Fill(values);
}

DeviceMatrix::DeviceMatrix(Backend& backend, int64_t rows, int64_t cols, DType dtype)
    : backend_(backend), view_{nullptr, dtype, rows, cols, cols} {
  Fill(std::vector<float>(static_cast<size_t>(rows * cols),
                          std::numeric_limits<float>::quiet_NaN()));
}

void DeviceMatrix::Fill(const std::vector<float>& values) {
  std::vector<float> strided(static_cast<size_t>(view_.rows * view_.stride),
                             std::numeric_limits<float>::quiet_NaN());
  for (int64_t row = 0; row < view_.rows; ++row) {
    std::copy_n(values.begin() + row * view_.cols, view_.cols,
                strided.begin() + row * view_.stride);
  }
  const size_t bytes = strided.size() * SizeInBytes(view_.dtype);
  buffer_ = std::move(backend_.Allocate(bytes, "matrix")).value();
  view_.data = buffer_->data();
  if (view_.dtype == DType::kF32) {
    backend_.CopyToDevice(view_.data, strided.data(), bytes);
  } else {
    backend_.CopyToDevice(view_.data, Narrow(strided, view_.dtype).data(), bytes);
  }
}

std::vector<float> DeviceMatrix::Download() const {
  const auto count = static_cast<size_t>(view_.rows * view_.stride);
  std::vector<std::byte> stored(count * SizeInBytes(view_.dtype));
  backend_.CopyToHost(stored.data(), view_.data, stored.size());
  const Status status = backend_.Finish();
  EXPECT_TRUE(status.ok()) << status;
  std::vector<float> values;
  for (int64_t row = 0; row < view_.rows; ++row) {
    for (int64_t col = 0; col < view_.cols; ++col) {
      const auto i = static_cast<size_t>(row * view_.stride + col);
      values.push_back(
          view_.dtype == DType::kF32
              ? reinterpret_cast<const float*>(stored.data())[i]
              : Widen(reinterpret_cast<const uint16_t*>(stored.data())[i], view_.dtype));
    }
  }
  return values;
}

std::string NameOf(Numerics numerics) { return numerics == Numerics::kFast ? "fast" : "exact"; }

}  // namespace phalanx::testing
