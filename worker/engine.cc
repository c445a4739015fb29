#include "worker/engine.h"

#include <fmt/format.h>

#include <chrono>
#include <unordered_map>
#include <utility>

#include "kernels/base/check.h"
#include "worker/memory_report.h"
#include "worker/sequence_grammars.h"
#include "worker/step_buffers.h"
#include "worker/step_cost.h"
#include "worker/token_masks.h"

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;

int64_t Nanoseconds(Clock::duration duration) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count();
}

// Tokens of a sequence in a step: each takes microseconds of the grammar's, and all others wait.
constexpr int kMostForced = 64;

class LockstepEngine final : public Engine {
 public:
  LockstepEngine(const EngineOptions& options, Qwen2Model& model, Backend& backend,
                 Communicator& communicator)
      : limits_(options.scheduler.limits),
        model_(model),
        backend_(backend),
        communicator_(communicator),
        scheduler_(options.scheduler),
        sampler_(Sampler::Create({.max_num_seqs = limits_.max_num_seqs,
                                  .vocab_size = limits_.vocab_size,
                                  .top_p_candidates = options.top_p_candidates,
                                  .kept_logits = model.kept_logits()},
                                 model.shard(), backend, communicator)),
        buffers_(limits_, options.scheduler.max_num_logit_rows),
        grammars_(limits_.vocab_size),
        masks_(limits_.vocab_size),
        step_cost_(options.max_token_slowdown),
        board_(options.board),
        memory_(options.board, backend),
        deadline_(options.deadline) {
    LimitRunning();
  }

  Status WarmUp() override {
    for (const StepPlan& plan : {WarmUpPrefill(), WarmUpDecode()}) {
      PHALANX_RETURN_IF_ERROR(Run(plan, StepDeadline()).status());
    }
    Publish(Activity::kStarting, std::chrono::milliseconds(0));
    return OkStatus();
  }

  Status Submit(EngineRequest request) override {
    Flight flight{.arrival = Clock::now() - request.waited};
    if (request.params.prompt_logprobs >= 0 && !request.prompt_ids.empty()) {
      flight.prompt.resize(request.prompt_ids.size());
      flight.prompt.front().token_id = request.prompt_ids.front();
    }
    const uint64_t id = request.id;
    request.params.constraint = request.grammar == nullptr ? Constraint::kNone : Constraint::kMask;
    PHALANX_ASSIGN_OR_RETURN(auto grammar, grammars_.Replay(request));
    PHALANX_RETURN_IF_ERROR(scheduler_.Add(std::move(request)));
    if (grammar != nullptr) grammars_.Start(id, std::move(grammar));
    flights_.emplace(id, std::move(flight));
    return OkStatus();
  }

  bool Cancel(uint64_t request) override {
    flights_.erase(request);
    grammars_.End(request);
    return scheduler_.Cancel(request);
  }

  bool HasWork() const override { return scheduler_.HasWork(); }

  StatusOr<std::vector<EngineOutput>> Step() override {
    const Clock::time_point begin = Clock::now();
    StepPlan plan = scheduler_.Schedule();
    if (plan.work.empty() && plan.inits.empty()) return std::vector<EngineOutput>{};
    MarkStarted(plan);
    PHALANX_RETURN_IF_ERROR(Send(plan));
    PHALANX_ASSIGN_OR_RETURN(std::vector<SampleResult> results, Run(plan, deadline_));
    Publish(Activity::kServing, deadline_.base);
    LearnCost(plan, Clock::now() - begin);
    return Commit(plan, std::move(results));
  }

  Status Heartbeat() override {
    StepPlan plan;
    plan.kind = StepPlan::Kind::kHeartbeat;
    Publish(Activity::kServing, deadline_.base);
    memory_.Refresh(Clock::now());
    return Send(plan);
  }
  Status Shutdown() override {
    StepPlan plan;
    plan.kind = StepPlan::Kind::kShutdown;
    return Send(plan);
  }
  SchedulerStats stats() const override { return scheduler_.stats(); }
  uint64_t last_step() const override { return last_step_; }

  Status Follow() override {
    for (;;) {
      Publish(Activity::kWaitingForPlan, deadline_.base);
      PHALANX_RETURN_IF_ERROR(communicator_.Broadcast(message_));
      PHALANX_ASSIGN_OR_RETURN(const StepPlan plan, Decode(message_));
      if (plan.kind == StepPlan::Kind::kShutdown) return OkStatus();
      if (plan.kind == StepPlan::Kind::kHeartbeat) {
        memory_.Refresh(Clock::now());
        continue;
      }
      const StatusOr<std::vector<SampleResult>> results = Run(plan, deadline_);
      if (!results.ok()) return results.status();
    }
  }

 private:
  // What rank 0 remembers of a request until its first token.
  struct Flight {
    Clock::time_point arrival{};
    Clock::time_point started{};
    std::vector<TokenLogprobs> prompt{};  // empty where not asked for
  };

  Status Send(const StepPlan& plan) {
    message_ = Encode(plan);
    return communicator_.Broadcast(message_);
  }

  void MarkStarted(const StepPlan& plan) {
    const Clock::time_point now = Clock::now();
    for (const SequenceWork& work : plan.work) {
      const auto flight = flights_.find(scheduler_.RequestInSlot(work.slot));
      if (flight == flights_.end() || flight->second.started != Clock::time_point{}) continue;
      flight->second.started = now;
    }
  }

  // What every rank does with a plan. Its errors name the step, wherever in it they show.
  StatusOr<std::vector<SampleResult>> Run(const StepPlan& plan, const StepDeadline& deadline) {
    PHALANX_RETURN_IF_ERROR(Validate(plan, limits_).WithContext("step plan"));
    last_step_ = plan.step;
    const StepMark begin = Mark();
    const std::chrono::milliseconds allowed = deadline.For(plan);
    Publish(Activity::kForwardPass, allowed);
    for (const SlotInit& init : plan.inits) sampler_->InitSlot(init);
    for (const SequenceWork& work : plan.work) sampler_->TakeForced(work);
    auto results = ForwardAndSample(plan, allowed);
    if (!results.ok()) return results.status().WithContext(fmt::format("step {}", plan.step));
    CountStep(begin);
    return results;
  }

  StatusOr<std::vector<SampleResult>> ForwardAndSample(const StepPlan& plan,
                                                       std::chrono::milliseconds allowed) {
    PHALANX_RETURN_IF_ERROR(ShareMasks(plan));
    const ForwardBatch batch = buffers_.Fill(plan, *sampler_);
    const StepScope scope(backend_);
    PHALANX_ASSIGN_OR_RETURN(const TensorView logits, model_.Forward(batch));
    Publish(Activity::kSampling, allowed);
    return sampler_->Sample(plan, logits, masks_);
  }

  void LearnCost(const StepPlan& plan, Clock::duration time) {
    StepTime step{.time = time};
    for (const SequenceWork& work : plan.work) {
      step.num_rows += static_cast<int32_t>(work.tokens.size());
      if (work.tokens.size() == 1) ++step.num_decodes;
    }
    step_cost_.Add(step);
    LimitRunning();
  }

  void LimitRunning() { scheduler_.LimitRunning(step_cost_.limit()); }

  struct StepMark {
    Clock::time_point time;
    double collective_s;
  };
  StepMark Mark() const {
    DeviceQueue* const queue = backend_.device_queue();
    return {Clock::now(),
            communicator_.stats().seconds + (queue == nullptr ? 0 : queue->CollectiveSeconds())};
  }

  void CountStep(const StepMark& begin) {
    if (board_ == nullptr) return;
    const StepMark end = Mark();
    const double collective_ns = 1e9 * (end.collective_s - begin.collective_s);
    LivenessRecord& record = board_->mine();
    record.steps.fetch_add(1, std::memory_order_relaxed);
    record.step_ns.fetch_add(static_cast<uint64_t>(Nanoseconds(end.time - begin.time)),
                             std::memory_order_relaxed);
    record.collective_ns.fetch_add(static_cast<uint64_t>(collective_ns), std::memory_order_relaxed);
    memory_.Refresh(end.time);
  }

  // Rank 0 alone has the matchers; steps without grammars send nothing.
  Status ShareMasks(const StepPlan& plan) {
    const size_t num_masks = sampler_->NumMasks(plan);
    if (num_masks == 0) return OkStatus();
    if (communicator_.rank() == 0) grammars_.FillMasks(plan, scheduler_, masks_);
    PHALANX_RETURN_IF_ERROR(communicator_.Broadcast(masks_.bytes()));
    return masks_.CheckSize(num_masks);
  }

  void Publish(Activity activity, std::chrono::milliseconds allowed) const {
    if (board_ != nullptr) board_->Publish(activity, last_step_, allowed);
  }

  // As many rows as a short prompt has, with room for one more token.
  int32_t WarmUpRows() const {
    constexpr int32_t kRows = 64;
    const int64_t pool_tokens = limits_.num_blocks * limits_.block_size;
    return static_cast<int32_t>(std::min<int64_t>(
        {kRows, limits_.max_num_tokens, limits_.max_model_len - 1, pool_tokens - 1}));
  }

  SequenceWork WarmUpWork(int32_t end_position) const {
    SequenceWork work;
    work.sample = SequenceWork::Sample::kLast;
    const int32_t num_blocks = (end_position + limits_.block_size - 1) / limits_.block_size;
    for (int32_t block = 0; block < num_blocks; ++block) work.block_table.push_back(block);
    return work;
  }

  StepPlan WarmUpPrefill() const {
    const int32_t rows = WarmUpRows();
    SequenceWork work = WarmUpWork(rows);
    for (int32_t i = 0; i < rows; ++i) work.tokens.push_back(i % limits_.vocab_size);
    work.logit_offsets = {rows - 1};
    SlotInit init;
    init.prompt_ids = work.tokens;
    init.params.temperature = 1;
    init.params.top_p = 0.9F;
    init.params.max_tokens = 2;
    return {.inits = {std::move(init)}, .work = {std::move(work)}};
  }

  StepPlan WarmUpDecode() const {
    const int32_t position = WarmUpRows();
    SequenceWork work = WarmUpWork(position + 1);
    work.start_position = position;
    work.tokens = {kLastSample};
    work.logit_offsets = {0};
    return {.inits = {}, .work = {std::move(work)}};
  }

  // Files prompt log-probabilities under the positions that they belong to.
  static void FilePrompt(const SequenceWork& work, std::vector<TokenLogprobs> rows,
                         std::vector<TokenLogprobs>& prompt) {
    for (size_t i = 0; i < rows.size(); ++i) {
      const auto position =
          static_cast<size_t>(int64_t{work.start_position} + work.logit_offsets[i] + 1);
      if (position < prompt.size()) prompt[position] = std::move(rows[i]);
    }
  }

  std::vector<EngineOutput> Commit(const StepPlan& plan, std::vector<SampleResult> results) {
    std::vector<EngineOutput> outputs;
    std::vector<SampledToken> samples;
    std::unordered_map<int32_t, SampleResult*> by_slot;
    size_t next = 0;
    for (const SequenceWork& work : plan.work) {
      if (work.logit_offsets.empty()) continue;
      SampleResult& result = results[next++];
      const uint64_t request = scheduler_.RequestInSlot(work.slot);
      if (work.sample == SequenceWork::Sample::kLast) {
        samples.push_back({.slot = work.slot, .token_id = std::max(result.token_id, 0)});
        by_slot.emplace(work.slot, &result);
        if (result.status.ok()) result.status = grammars_.Accept(request, result.token_id);
      }
      const auto flight = flights_.find(request);
      if (flight != flights_.end() && !result.prompt.empty()) {
        FilePrompt(work, std::move(result.prompt), flight->second.prompt);
      }
      if (result.status.ok()) continue;
      // The scheduler drops the token of a request that is cancelled before the commit.
      if (!Cancel(request)) continue;
      EngineOutput failed;
      failed.token.request = request;
      failed.token.slot = work.slot;
      failed.status = result.status;
      outputs.push_back(std::move(failed));
    }
    for (const TokenOutput& token : scheduler_.Commit(samples)) {
      EngineOutput output;
      output.token = token;
      output.logprobs = std::move(by_slot.at(token.slot)->logprobs);
      const auto flight = flights_.find(token.request);
      if (flight != flights_.end()) {
        output.prompt = std::move(flight->second.prompt);
        output.queue_ns = Nanoseconds(flight->second.started - flight->second.arrival);
        output.prefill_ns = Nanoseconds(Clock::now() - flight->second.started);
        flights_.erase(flight);
      }
      outputs.push_back(std::move(output));
      AppendForced(token, outputs);
    }
    return outputs;
  }

  // What the grammar leaves no choice about needs no step: it is output now, and runs with the
  // token before it in the next one.
  void AppendForced(TokenOutput token, std::vector<EngineOutput>& outputs) {
    for (int i = 0; i < kMostForced && token.finish == FinishReason::kNone; ++i) {
      const auto forced = grammars_.AcceptForced(token.request, token.index + 1);
      if (!forced) return;
      token = scheduler_.Append(token.request, *forced);
      EngineOutput& output = outputs.emplace_back();
      output.token = token;
    }
    if (token.finish != FinishReason::kNone) grammars_.End(token.request);
  }

  PlanLimits limits_;
  Qwen2Model& model_;
  Backend& backend_;
  Communicator& communicator_;
  Scheduler scheduler_;
  std::unique_ptr<Sampler> sampler_;
  StepBuffers buffers_;
  SequenceGrammars grammars_;
  TokenMasks masks_;
  StepCost step_cost_;
  const LivenessBoard* board_;
  MemoryReport memory_;
  const StepDeadline deadline_;
  std::string message_;
  uint64_t last_step_ = 0;
  std::unordered_map<uint64_t, Flight> flights_;
};

}  // namespace

std::unique_ptr<Engine> Engine::Create(const EngineOptions& options, Qwen2Model& model,
                                       Backend& backend, Communicator& communicator) {
  return std::make_unique<LockstepEngine>(options, model, backend, communicator);
}

}  // namespace phalanx
