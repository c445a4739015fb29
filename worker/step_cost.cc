#include "worker/step_cost.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds kForget = std::chrono::minutes(5);
constexpr double kHalfLife_s = 30;
constexpr size_t kLeastSamples = 3;  // of which one may be an outlier
constexpr int32_t kLeastSteps = 8;   // to have run for a while
constexpr int32_t kStart = 4;        // taken as having run before anything has
constexpr double kLeastSpread = 1.25;
constexpr double kGrowth = 1.5;

double Seconds(nanoseconds time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

StepCost::StepCost(double max_slowdown) : max_slowdown_(max_slowdown), limit_(kNoLimit) {
  PHALANX_CHECK(max_slowdown == 0 || max_slowdown >= 1);
  if (max_slowdown_ > 0) limit_ = static_cast<int32_t>(kGrowth * kStart);
}

// Each number to 15 by itself, then four to an octave.
size_t StepCost::BucketOf(int32_t num_decodes) {
  const auto n = static_cast<uint32_t>(num_decodes);
  if (n < 16) return n;
  const uint32_t octave = static_cast<uint32_t>(std::bit_width(n)) - 1;
  return 16 + 4 * (octave - 4) + ((n >> (octave - 2)) & 3);
}

void StepCost::Samples::Add(const Sample& sample) {
  newest[count % kMost] = sample;
  ++count;
  auto sorted = newest;
  const auto num_sorted = static_cast<ptrdiff_t>(std::min(count, kMost));
  const auto middle = sorted.begin() + num_sorted / 2;
  std::nth_element(sorted.begin(), middle, sorted.begin() + num_sorted);
  median = *middle;
}

void StepCost::Add(const StepTime& step) {
  if (max_slowdown_ == 0) return;
  elapsed_ += step.time;
  ForgetOld();
  CountPrefill(step);
  if (step.num_decodes == 0) return;
  const size_t index = BucketOf(step.num_decodes);
  if (index >= buckets_.size()) buckets_.resize(index + 1);
  Bucket& bucket = buckets_[index];
  bucket.num_decodes = step.num_decodes;
  ++bucket.num_steps;
  bucket.last_step = elapsed_;
  if (step.num_rows == step.num_decodes) {
    bucket.decodes.Add({.seconds = Seconds(step.time), .num_rows = step.num_rows});
    bucket.last_sample = elapsed_;
  }
  line_ = Fit();
  const double reach = kGrowth * Reach();
  limit_ = static_cast<int32_t>(line_ ? std::min(LimitBy(*line_), reach) : reach);
}

void StepCost::CountPrefill(const StepTime& step) {
  const int32_t num_prefill = step.num_rows - step.num_decodes;
  const double kept = std::exp2(-Seconds(step.time) / kHalfLife_s);
  prefill_rows_ = kept * prefill_rows_ + num_prefill;
  decode_rows_ = kept * decode_rows_ + step.num_decodes;
  if (num_prefill == 0 || !line_) return;
  const double decodes_s = line_->step_s + line_->row_s * step.num_decodes;
  const double row_s = std::max(Seconds(step.time) - decodes_s, 0.0) / num_prefill;
  prefill_.Add({.seconds = row_s, .num_rows = 1});
}

double StepCost::LimitBy(const Line& line) const {
  const double prompts_s =
      decode_rows_ > 0 ? prefill_.median.seconds * prefill_rows_ / decode_rows_ : 0;
  const double allowed_s = max_slowdown_ * (line.step_s + line.row_s);
  return std::max((allowed_s - line.step_s) / (line.row_s + prompts_s), max_slowdown_);
}

void StepCost::ForgetOld() {
  for (Bucket& bucket : buckets_) {
    if (elapsed_ - bucket.last_step > kForget) bucket = {};
    if (elapsed_ - bucket.last_sample > kForget) bucket.decodes.count = 0;
  }
}

std::optional<StepCost::Line> StepCost::Fit() const {
  double weights = 0;
  double mean_rows = 0;
  double mean_s = 0;
  int32_t least = kNoLimit;
  int32_t most = 0;
  // Errors are in proportion to the time.
  const auto weight_of = [this](const Bucket& bucket) {
    const double age_s = Seconds(elapsed_ - bucket.last_sample);
    return std::exp2(-age_s / kHalfLife_s) /
           (bucket.decodes.median.seconds * bucket.decodes.median.seconds);
  };
  const auto is_known = [](const Bucket& bucket) {
    return bucket.decodes.count >= kLeastSamples && bucket.decodes.median.seconds > 0;
  };
  for (const Bucket& bucket : buckets_) {
    if (!is_known(bucket)) continue;
    const double weight = weight_of(bucket);
    weights += weight;
    mean_rows += weight * bucket.decodes.median.num_rows;
    mean_s += weight * bucket.decodes.median.seconds;
    least = std::min(least, bucket.decodes.median.num_rows);
    most = std::max(most, bucket.decodes.median.num_rows);
  }
  if (most < kLeastSpread * least) return std::nullopt;
  mean_rows /= weights;
  mean_s /= weights;
  double covariance = 0;
  double variance = 0;
  for (const Bucket& bucket : buckets_) {
    if (!is_known(bucket)) continue;
    const double weight = weight_of(bucket);
    const double rows = bucket.decodes.median.num_rows - mean_rows;
    covariance += weight * rows * (bucket.decodes.median.seconds - mean_s);
    variance += weight * rows * rows;
  }
  const double row_s = covariance / variance;
  if (!(row_s > 0)) return std::nullopt;
  return Line{.step_s = std::max(mean_s - row_s * mean_rows, 0.0), .row_s = row_s};
}

int32_t StepCost::Reach() const {
  int32_t reach = kStart;
  for (const Bucket& bucket : buckets_) {
    if (bucket.num_steps >= kLeastSteps) reach = std::max(reach, bucket.num_decodes);
  }
  return reach;
}

}  // namespace phalanx
