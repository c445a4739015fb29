#include "model/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace phalanx {
namespace {

// theta^(2i / head_dim) in float32: the exponent and the base are rounded first, as torch does.
std::vector<float> PositionFrequencies(double theta, int64_t head_dim) {
  std::vector<float> powers(static_cast<size_t>(head_dim / 2));
  const auto base = static_cast<double>(static_cast<float>(theta));
  for (size_t i = 0; i < powers.size(); ++i) {
    const float exponent = static_cast<float>(2 * i) / static_cast<float>(head_dim);
    powers[i] = static_cast<float>(std::pow(base, static_cast<double>(exponent)));
  }
  return powers;
}

double YarnScale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

float YarnAttentionFactor(const RopeScaling& scaling) {
  if (scaling.attention_factor) return static_cast<float>(*scaling.attention_factor);
  const double mscale = scaling.mscale.value_or(0.0);
  const double mscale_all_dim = scaling.mscale_all_dim.value_or(0.0);
  if (mscale != 0.0 && mscale_all_dim != 0.0) {
    return static_cast<float>(YarnScale(scaling.factor, mscale) /
                              YarnScale(scaling.factor, mscale_all_dim));
  }
  return static_cast<float>(YarnScale(scaling.factor, 1.0));
}

// Frequencies that turn often within the original context are kept, those that turn rarely are
// interpolated, with a linear ramp between the two.
void ScaleYarn(const Qwen2Config& config, const std::vector<float>& powers,
               std::vector<float>& inv_freq) {
  const RopeScaling& scaling = config.rope_scaling;
  const auto dim = static_cast<double>(config.head_dim);
  const auto correction_dim = [&](double rotations) {
    const auto original = static_cast<double>(scaling.original_max_position_embeddings);
    return dim * std::log(original / (rotations * 2.0 * std::numbers::pi)) /
           (2.0 * std::log(config.rope_theta));
  };
  double low = correction_dim(scaling.beta_fast);
  double high = correction_dim(scaling.beta_slow);
  if (scaling.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1.0);
  if (low == high) high += 0.001;
  const auto factor = static_cast<float>(scaling.factor);
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const float position = static_cast<float>(i) - static_cast<float>(low);
    const float ramp = std::clamp(position / static_cast<float>(high - low), 0.0F, 1.0F);
    const float extrapolation = 1.0F - ramp;
    inv_freq[i] =
        1.0F / (factor * powers[i]) * (1.0F - extrapolation) + 1.0F / powers[i] * extrapolation;
  }
}

void ScaleLlama3(const RopeScaling& scaling, std::vector<float>& inv_freq) {
  const auto original = static_cast<double>(scaling.original_max_position_embeddings);
  const auto low_wavelength = static_cast<float>(original / scaling.low_freq_factor);
  const auto high_wavelength = static_cast<float>(original / scaling.high_freq_factor);
  const auto low = static_cast<float>(scaling.low_freq_factor);
  const auto range = static_cast<float>(scaling.high_freq_factor - scaling.low_freq_factor);
  const auto factor = static_cast<float>(scaling.factor);
  for (float& frequency : inv_freq) {
    const float wavelength = static_cast<float>(2.0 * std::numbers::pi) / frequency;
    if (wavelength > low_wavelength) {
      frequency /= factor;
    } else if (wavelength >= high_wavelength) {
      const float smooth = (static_cast<float>(original) / wavelength - low) / range;
      frequency = (1.0F - smooth) * frequency / factor + smooth * frequency;
    }
  }
}

}  // namespace

RopeFrequencies ComputeRopeFrequencies(const Qwen2Config& config) {
  using Type = RopeScaling::Type;
  const RopeScaling& scaling = config.rope_scaling;
  const std::vector<float> powers = PositionFrequencies(config.rope_theta, config.head_dim);
  RopeFrequencies result;
  result.inv_freq.resize(powers.size());
  for (size_t i = 0; i < powers.size(); ++i) result.inv_freq[i] = 1.0F / powers[i];
  switch (scaling.type) {
    case Type::kNone:
    case Type::kDynamic:
      break;
    case Type::kLinear:
      for (float& frequency : result.inv_freq) frequency /= static_cast<float>(scaling.factor);
      break;
    case Type::kYarn:
      ScaleYarn(config, powers, result.inv_freq);
      result.attention_factor = YarnAttentionFactor(scaling);
      break;
    case Type::kLlama3:
      ScaleLlama3(scaling, result.inv_freq);
      break;
  }
  return result;
}

Status LazyRopeTable::Allocate(Backend& backend, RopeFrequencies frequencies,
                               int64_t num_positions) {
  frequencies_ = std::move(frequencies);
  const auto half_dim = static_cast<int64_t>(frequencies_.inv_freq.size());
  const auto count = static_cast<size_t>(num_positions * half_dim);
  PHALANX_ASSIGN_OR_RETURN(buffer_, backend.Allocate(2 * count * sizeof(float), "rope table"));
  const auto* cos = static_cast<const float*>(buffer_->data());
  view_ = {num_positions, half_dim, cos, cos + count};
  num_filled_ = 0;
  backend_ = &backend;
  return OkStatus();
}

void LazyRopeTable::Reach(int64_t end) {
  // Some milliseconds of work at a time.
  constexpr int64_t kUnit = 4096;
  if (end <= num_filled_) return;
  PHALANX_CHECK_LE(end, view_.num_positions);
  const int64_t new_end = std::min((end + kUnit - 1) / kUnit * kUnit, view_.num_positions);
  const std::vector<float>& inv_freq = frequencies_.inv_freq;
  const float attention_factor = frequencies_.attention_factor;
  const auto count = static_cast<size_t>(new_end - num_filled_) * inv_freq.size();
  std::vector<float> cos;
  std::vector<float> sin;
  cos.reserve(count);
  sin.reserve(count);
  for (int64_t p = num_filled_; p < new_end; ++p) {
    for (const float frequency : inv_freq) {
      const auto angle = static_cast<double>(static_cast<float>(p) * frequency);
      cos.push_back(static_cast<float>(std::cos(angle)) * attention_factor);
      sin.push_back(static_cast<float>(std::sin(angle)) * attention_factor);
    }
  }
  auto* const table = static_cast<float*>(buffer_->data()) + num_filled_ * view_.half_dim;
  backend_->CopyToDevice(table, cos.data(), count * sizeof(float));
  backend_->CopyToDevice(table + view_.num_positions * view_.half_dim, sin.data(),
                         count * sizeof(float));
  num_filled_ = new_end;
}

}  // namespace phalanx
