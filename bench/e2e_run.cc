#include "bench/e2e_run.h"

#include <algorithm>
#include <chrono>
#include <span>

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;

// Decode steps between two probes: short, so that both see the same neighbours on a shared machine.
constexpr int32_t kStretch = 8;

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

Status Submit(const E2eShape& shape, uint64_t first_request_id, int32_t vocab_size,
              Engine& engine) {
  for (int32_t i = 0; i < shape.batch; ++i) {
    EngineRequest request;
    request.id = first_request_id + static_cast<uint64_t>(i);
    request.params.temperature = 0.0F;
    request.params.max_tokens = shape.output_tokens;
    for (int32_t t = 0; t < shape.prompt_tokens; ++t) {
      const auto mixed = (request.id * 7919 + static_cast<uint64_t>(t)) * 2654435761U;
      request.prompt_ids.push_back(static_cast<int32_t>(mixed % static_cast<uint64_t>(vocab_size)));
    }
    PHALANX_RETURN_IF_ERROR(engine.Submit(std::move(request)));
  }
  return OkStatus();
}

// The requests' prefill, to the last first token; what decode steps come between are part of it.
Status Prefill(const E2eShape& shape, Engine& engine, Communicator& communicator, E2eRound& round) {
  const double comm_before = communicator.stats().seconds;
  const auto begin = Clock::now();
  int32_t started = 0;
  while (started < shape.batch) {
    PHALANX_ASSIGN_OR_RETURN(const std::vector<EngineOutput> outputs, engine.Step());
    for (const EngineOutput& output : outputs) {
      PHALANX_RETURN_IF_ERROR(output.status);
      if (output.token.index == 0 && started++ == 0) round.first_token = Clock::now();
    }
  }
  round.prefill_s = SecondsSince(begin);
  round.prefill_comm_s = communicator.stats().seconds - comm_before;
  return OkStatus();
}

// Up to kStretch steps in which the whole batch decodes.
Status DecodeStretch(const E2eShape& shape, Engine& engine, Communicator& communicator,
                     E2eRound& round) {
  const double comm_before = communicator.stats().seconds;
  std::vector<double> stretch;
  for (int32_t step = 0; step < kStretch && engine.HasWork(); ++step) {
    const auto begin = Clock::now();
    PHALANX_ASSIGN_OR_RETURN(const std::vector<EngineOutput> outputs, engine.Step());
    for (const EngineOutput& output : outputs) PHALANX_RETURN_IF_ERROR(output.status);
    if (static_cast<int32_t>(outputs.size()) == shape.batch) stretch.push_back(SecondsSince(begin));
  }
  round.decode_comm_s += communicator.stats().seconds - comm_before;
  if (!stretch.empty()) round.stretch_step_s.push_back(Median(stretch));
  round.step_s.insert(round.step_s.end(), stretch.begin(), stretch.end());
  return OkStatus();
}

// Rank 0 drives with Lead(); the others follow until it lets them go.
template <typename Lead>
Status Together(Engine& engine, Communicator& communicator, const Lead& lead) {
  if (communicator.rank() != 0) return engine.Follow();
  PHALANX_RETURN_IF_ERROR(lead());
  return engine.Shutdown();
}

}  // namespace

StatusOr<double> SumOverRanks(Communicator& communicator, double value) {
  std::vector<double> all(static_cast<size_t>(communicator.size()));
  PHALANX_RETURN_IF_ERROR(communicator.AllGather(std::as_bytes(std::span(&value, 1)),
                                                 std::as_writable_bytes(std::span(all))));
  double sum = 0;
  for (const double each : all) sum += each;
  return sum;
}

double Median(std::vector<double> values) {
  if (values.empty()) return 0;
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

StatusOr<E2eRound> RunRound(const E2eShape& shape, uint64_t first_request_id, Engine& engine,
                            Communicator& communicator, LimitsProbe* probe) {
  E2eRound round;
  PHALANX_RETURN_IF_ERROR(Together(engine, communicator, [&]() -> Status {
    constexpr int32_t kSmallVocabulary = 1000;  // ids that every model has
    PHALANX_RETURN_IF_ERROR(Submit(shape, first_request_id, kSmallVocabulary, engine));
    return Prefill(shape, engine, communicator, round);
  }));
  for (double more = 1; more > 0;) {
    PHALANX_RETURN_IF_ERROR(Together(
        engine, communicator, [&] { return DecodeStretch(shape, engine, communicator, round); }));
    PHALANX_RETURN_IF_ERROR(communicator.Barrier());
    PHALANX_ASSIGN_OR_RETURN(const double mine,
                             probe == nullptr ? StatusOr<double>(0.0) : probe->ReadGbPerS());
    PHALANX_ASSIGN_OR_RETURN(const double bandwidth, SumOverRanks(communicator, mine));
    if (round.probe_gb_per_s.size() < round.stretch_step_s.size()) {
      round.probe_gb_per_s.push_back(bandwidth);
    }
    const bool has_work = communicator.rank() == 0 && engine.HasWork();
    PHALANX_ASSIGN_OR_RETURN(more, SumOverRanks(communicator, has_work ? 1.0 : 0.0));
  }
  return round;
}

}  // namespace phalanx
