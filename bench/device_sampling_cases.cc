#include "bench/device_sampling_cases.h"

#include <algorithm>
#include <optional>

#include "bench/device_matrix.h"
#include "kernels/backend_factory.h"

namespace phalanx {
namespace {

Status Prepare(Backend& backend, const DeviceSamplingShape& shape) {
  return backend.PrepareSteps(
      testing::SamplingLimits(*std::ranges::max_element(shape.row_counts), shape.vocab_size));
}

// The CPU's kernels, whose bits a device's have but for sums of exponentials.
StatusOr<std::unique_ptr<Backend>> Reference(int64_t vocab_size) {
  PHALANX_ASSIGN_OR_RETURN(auto backend, CreateBackend({.num_threads = 1}));
  PHALANX_RETURN_IF_ERROR(backend->PrepareSteps(testing::SamplingLimits(1, vocab_size)));
  return StatusOr<std::unique_ptr<Backend>>(std::move(backend));
}

// Logits, as often as they rotate.
struct Logits {
  static StatusOr<std::shared_ptr<Logits>> Create(const DeviceBench& bench, int64_t num_rows,
                                                  int64_t cols) {
    testing::Generator generator(53);
    auto logits = std::make_shared<Logits>(Logits{.rows = num_rows});
    logits->values = RepeatedRows(num_rows, cols, generator);
    logits->copies = bench.ActivationCopies(4.0 * static_cast<double>(num_rows * cols));
    PHALANX_ASSIGN_OR_RETURN(
        logits->matrix,
        DeviceMatrix::Create(bench.backend,
                             {.rows = num_rows, .cols = cols, .copies = logits->copies},
                             logits->values));
    return logits;
  }
  std::vector<float> Row(int64_t row) const {
    const auto cols = static_cast<std::ptrdiff_t>(values.size()) / rows;
    return {values.begin() + row * cols, values.begin() + (row + 1) * cols};
  }

  int64_t rows = 0;
  int64_t copies = 1;
  std::vector<float> values{};  // [rows, cols]
  std::optional<DeviceMatrix> matrix{};
};

struct Selection {
  std::string_view name;
  int32_t top_k;
  CandidateTask::Gumbel gumbel;
};
constexpr Selection kSelections[] = {{"greedy", 1, CandidateTask::Gumbel::kNone},
                                     {"logprobs", 20, CandidateTask::Gumbel::kWanted},
                                     {"top-p", kTopPCandidates, CandidateTask::Gumbel::kWanted}};

struct Selecting {
  std::shared_ptr<Logits> logits;
  std::vector<CandidateTask> tasks{};
  std::vector<CandidateResult> results{};
};

std::string Difference(const CandidateResult& actual, const CandidateResult& expected) {
  constexpr double kSumTolerance = 1e-5;
  const auto differs = [](const Candidate& a, const Candidate& b) {
    return a.id != b.id || a.logit != b.logit;
  };
  if (actual.max != expected.max) return "another maximum";
  if (differs(actual.gumbel, expected.gumbel)) return "another Gumbel argmax";
  if (!(std::abs(actual.sum_exp - expected.sum_exp) <= kSumTolerance * expected.sum_exp)) {
    return fmt::format("a sum of exponentials of {}, expected: {}", actual.sum_exp,
                       expected.sum_exp);
  }
  if (actual.candidates.size() != expected.candidates.size()) return "another number of candidates";
  for (size_t i = 0; i < expected.candidates.size(); ++i) {
    if (differs(actual.candidates[i], expected.candidates[i])) {
      return fmt::format("another candidate {}", i);
    }
  }
  return "";
}

// The first and the last row.
StatusOr<std::string> CheckSelection(Selecting& selecting) {
  for (const int64_t row : {int64_t{0}, selecting.logits->rows - 1}) {
    std::vector<float> values = selecting.logits->Row(row);
    const auto cols = static_cast<int64_t>(values.size());
    PHALANX_ASSIGN_OR_RETURN(const auto reference, Reference(cols));
    CandidateTask task = selecting.tasks[static_cast<size_t>(row)];
    task.row = 0;
    std::vector<CandidateResult> expected(1);
    reference->SelectCandidates(testing::ViewOf(values, 1, cols), 0, {&task, 1}, expected);
    PHALANX_RETURN_IF_ERROR(reference->Finish());
    const std::string difference =
        Difference(selecting.results[static_cast<size_t>(row)], expected.front());
    if (!difference.empty()) return fmt::format("row {} has {}", row, difference);
  }
  return std::string();
}

DeviceCase MakeSelection(Backend& backend, const std::shared_ptr<Logits>& logits,
                         const Selection& selection) {
  auto selecting = std::make_shared<Selecting>(Selecting{.logits = logits});
  for (int64_t row = 0; row < logits->rows; ++row) {
    selecting->tasks.push_back({.row = row,
                                .top_k = selection.top_k,
                                .gumbel = selection.gumbel,
                                .seed = static_cast<uint64_t>(row)});
  }
  selecting->results.resize(selecting->tasks.size());
  DeviceCase one{.bytes = 4.0 * static_cast<double>(logits->values.size()),
                 .rotation = logits->copies};
  one.run = [&backend, selecting](int64_t run) {
    backend.SelectCandidates(selecting->logits->matrix->view(run), 0, selecting->tasks,
                             selecting->results);
    return backend.Finish();
  };
  one.check = [selecting, run = one.run]() -> StatusOr<std::string> {
    PHALANX_RETURN_IF_ERROR(run(0));
    return CheckSelection(*selecting);
  };
  return one;
}

enum class Mask : uint8_t { kNone, kHalf };

// Rows that differ in nothing but their slots.
struct Adjusting {
  Adjusting(std::shared_ptr<Logits> of, int64_t cols, Mask mask_kind) : logits(std::move(of)) {
    constexpr int64_t kMostTokens = 512;
    const int64_t count = std::min(kMostTokens, cols / 2);
    for (int64_t i = 0; i < count; ++i) {
      all.push_back(static_cast<int32_t>(i));
      tokens.push_back({.id = static_cast<int32_t>(i * (cols / count)),
                        .count = static_cast<int32_t>(i % 3),
                        .seen = TokenAdjustment::Seen::kYes});
    }
    if (mask_kind == Mask::kNone) return;
    testing::Generator generator(54);
    for (int64_t word = 0; word < (cols + 31) / 32; ++word) {
      mask.push_back(static_cast<uint32_t>(generator()));
    }
  }
  // With `changed` of each row's tokens.
  std::vector<RowAdjustment> Rows(int64_t count, size_t changed) const {
    std::vector<RowAdjustment> rows;
    for (int64_t row = 0; row < count; ++row) {
      rows.push_back({.row = row,
                      .slot = static_cast<int32_t>(row),
                      .tokens = tokens,
                      .changed = std::span(all).first(changed),
                      .repetition_penalty = 1.1F,
                      .frequency_penalty = 0.2F,
                      .presence_penalty = 0.1F,
                      .mask = mask});
    }
    return rows;
  }

  std::shared_ptr<Logits> logits;
  std::vector<TokenAdjustment> tokens;
  std::vector<int32_t> all;    // indices into tokens
  std::vector<uint32_t> mask;  // of half of the columns; empty: none
};

StatusOr<std::string> CheckAdjusted(Backend& backend, Adjusting& adjusting) {
  Logits& logits = *adjusting.logits;
  PHALANX_RETURN_IF_ERROR(logits.matrix->Fill(logits.values));
  backend.AdjustLogits(logits.matrix->view(0), 0,
                       adjusting.Rows(logits.rows, adjusting.tokens.size()));
  PHALANX_ASSIGN_OR_RETURN(const std::vector<float> actual, logits.matrix->Download());
  for (const int64_t row : {int64_t{0}, logits.rows - 1}) {
    std::vector<float> expected = logits.Row(row);
    const auto cols = static_cast<int64_t>(expected.size());
    PHALANX_ASSIGN_OR_RETURN(const auto reference, Reference(cols));
    reference->AdjustLogits(testing::ViewOf(expected, 1, cols), 0,
                            adjusting.Rows(1, adjusting.tokens.size()));
    PHALANX_RETURN_IF_ERROR(reference->Finish());
    const std::string mismatch =
        testing::BitMismatch({actual.data() + row * cols, expected.size()}, expected);
    if (!mismatch.empty()) return fmt::format("row {}: {}", row, mismatch);
  }
  return std::string();
}

DeviceCase MakeAdjustment(Backend& backend, const std::shared_ptr<Logits>& logits, Mask mask) {
  constexpr size_t kChanged = 2;
  const auto cols = static_cast<int64_t>(logits->values.size()) / logits->rows;
  auto adjusting = std::make_shared<Adjusting>(logits, cols, mask);
  // A token is read, and so is its logit, which is written; a mask of random bits leaves hardly a
  // piece of the row untouched.
  double bytes_of_row =
      static_cast<double>(adjusting->tokens.size() * (sizeof(TokenAdjustment) + 8));
  if (mask == Mask::kHalf) bytes_of_row += 4.125 * static_cast<double>(cols);
  return {.bytes = bytes_of_row * static_cast<double>(logits->rows),
          .rotation = logits->copies,
          .run =
              [&backend, adjusting, rows = adjusting->Rows(logits->rows, kChanged)](int64_t run) {
                backend.AdjustLogits(adjusting->logits->matrix->view(run), 0, rows);
                return OkStatus();
              },
          .check = [&backend, adjusting] { return CheckAdjusted(backend, *adjusting); }};
}

}  // namespace

DeviceCaseGroup DeviceCandidateCases(const DeviceSamplingShape& shape) {
  DeviceCaseGroup group;
  for (const int64_t rows : shape.row_counts) {
    for (const Selection& selection : kSelections) {
      group.shapes.push_back(fmt::format("{} rows={} vocab={} top_k={}", selection.name, rows,
                                         shape.vocab_size, selection.top_k));
    }
  }
  group.make = [shape](const DeviceBench& bench) -> StatusOr<std::vector<DeviceCase>> {
    PHALANX_RETURN_IF_ERROR(Prepare(bench.backend, shape));
    std::vector<DeviceCase> cases;
    for (const int64_t rows : shape.row_counts) {
      PHALANX_ASSIGN_OR_RETURN(const auto logits, Logits::Create(bench, rows, shape.vocab_size));
      for (const Selection& selection : kSelections) {
        cases.push_back(MakeSelection(bench.backend, logits, selection));
      }
    }
    return cases;
  };
  return group;
}

DeviceCaseGroup DeviceAdjustCases(const DeviceSamplingShape& shape) {
  DeviceCaseGroup group;
  for (const int64_t rows : shape.row_counts) {
    for (const std::string_view name : {"penalties", "penalties and mask"}) {
      group.shapes.push_back(fmt::format("{} rows={} vocab={}", name, rows, shape.vocab_size));
    }
  }
  group.make = [shape](const DeviceBench& bench) -> StatusOr<std::vector<DeviceCase>> {
    PHALANX_RETURN_IF_ERROR(Prepare(bench.backend, shape));
    std::vector<DeviceCase> cases;
    for (const int64_t rows : shape.row_counts) {
      PHALANX_ASSIGN_OR_RETURN(const auto logits, Logits::Create(bench, rows, shape.vocab_size));
      for (const Mask mask : {Mask::kNone, Mask::kHalf}) {
        cases.push_back(MakeAdjustment(bench.backend, logits, mask));
      }
    }
    return cases;
  };
  return group;
}

}  // namespace phalanx
