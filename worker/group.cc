#include "worker/group.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include "hub/locate.h"
#include "kernels/backend_factory.h"
#include "worker/agreement.h"
#include "worker/host.h"
#include "worker/kv_pool.h"
#include "worker/largest_step.h"
#include "worker/model_identity.h"

namespace phalanx {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kStepSeconds = 0.15;
constexpr int32_t kMaxStepTokens = 2048;
constexpr int32_t kMinStepTokens = 64;  // as far as there are sequences for them
constexpr int32_t kMinLogitRows = 64;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// What a rank finds by itself, before it meets the others.
struct Local {
  std::filesystem::path model_dir;
  Qwen2Config config;
  std::string config_fingerprint;
  std::string weights_fingerprint;
  std::vector<std::string> isas;
};

StatusOr<Local> Inspect(const GroupOptions& options) {
  Local local;
  PHALANX_ASSIGN_OR_RETURN(local.model_dir, LocateModel(options.model));
  PHALANX_ASSIGN_OR_RETURN(local.config, LoadConfig(local.model_dir));
  PHALANX_ASSIGN_OR_RETURN(local.config_fingerprint, ConfigFingerprint(local.model_dir));
  if (options.load_format == LoadFormat::kDummy) {
    local.weights_fingerprint = fmt::format("dummy:{}", options.dummy_seed);
  } else {
    PHALANX_ASSIGN_OR_RETURN(local.weights_fingerprint, WeightsFingerprint(local.model_dir));
  }
  if (options.device == "cpu" && options.ranks_per_gpu != 1) {
    return InvalidField("--ranks-per-gpu", options.ranks_per_gpu, "1 with --device cpu");
  }
  if (options.max_model_len && *options.max_model_len > local.config.max_position_embeddings) {
    return InvalidField("--max-model-len", *options.max_model_len,
                        fmt::format("at most {}, the model's max_position_embeddings",
                                    local.config.max_position_embeddings));
  }
  local.isas = AvailableCpuIsas();
  if (options.quantization != Quantization::kNone && options.device != "cpu") {
    return InvalidField("--quantization", Name(options.quantization),
                        fmt::format("none with --device {}", options.device));
  }
  if (local.config.stored.is_integer() && options.device != "cpu") {
    return InvalidField("config.json: quantization_config", "there",
                        fmt::format("none with --device {}", options.device));
  }
  if (!options.cpu_isa.empty()) {
    const auto chosen = std::find(local.isas.begin(), local.isas.end(), options.cpu_isa);
    if (chosen == local.isas.end()) {
      return InvalidField("--cpu-isa", options.cpu_isa,
                          fmt::format("{}", fmt::join(local.isas, ", ")));
    }
    local.isas = {options.cpu_isa};
  }
  return local;
}

std::optional<DType> ActivationDtype(const GroupOptions& options, const Qwen2Config& config) {
  if (options.activation_dtype || options.device == "cpu") return options.activation_dtype;
  return config.dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
}

// What a device has left for the pools of all ranks that share it. Some of it may be taken only
// once kernels run, so they run first. Looked at between two agreements: every rank has run by
// then, and none has a pool yet.
StatusOr<int64_t> MeasureFreeBytes(Communicator& communicator, const Group& group,
                                   int64_t longest) {
  const PlanLimits& limits = group.scheduler.limits;
  Status mine = RunLargestStep({.max_num_tokens = limits.max_num_tokens,
                                .max_num_seqs = limits.max_num_seqs,
                                .max_num_logit_rows = group.scheduler.max_num_logit_rows,
                                .max_model_len = longest,
                                .block_size = limits.block_size,
                                .kv_dtype = group.kv_dtype},
                               *group.model);
  if (const Status end = group.backend->Finish(); mine.ok() && !end.ok()) {
    mine = end.WithContext("largest step");
  }
  if (mine.ok()) {
    mine = group.model->CreateKvCache(group.model->KvSpec(0, limits.block_size, group.kv_dtype));
  }
  if (!mine.ok() && group.collectives != nullptr) {
    // Peers wait on their devices for this rank's part, where no agreement reaches them.
    communicator.Abort(mine);
    return mine;
  }
  PHALANX_RETURN_IF_ERROR(AgreeOnStatus(communicator, mine));
  return *group.backend->FreeMemoryBytes();
}

// Sizes the pool, agrees on it, creates it.
Status CreatePool(const GroupOptions& options, Communicator& communicator, Group& group) {
  PlanLimits& limits = group.scheduler.limits;
  const Qwen2Config& config = group.model->config();
  const int64_t longest = options.max_model_len.value_or(static_cast<int32_t>(
      std::min<int64_t>(config.max_position_embeddings, std::numeric_limits<int32_t>::max())));
  const int64_t blocks_per_seq = (longest + limits.block_size - 1) / limits.block_size;
  const LocalRank local_rank = FindLocalRank();
  KvPoolRequest pool;
  pool.block_bytes = KvBlockBytes(group.model->KvSpec(1, limits.block_size, group.kv_dtype));
  if (group.backend->FreeMemoryBytes()) {
    pool.memory = KvPoolRequest::Memory::kOwn;
    pool.sharing_ranks = RanksOnGpu(
        {.local_rank = local_rank.index, .ranks_per_gpu = options.ranks_per_gpu}, local_rank.count);
    PHALANX_ASSIGN_OR_RETURN(pool.available_bytes, MeasureFreeBytes(communicator, group, longest));
  } else {
    pool.available_bytes = AvailableMemoryBytes();
    pool.sharing_ranks = local_rank.count;
  }
  pool.kv_cache_memory_bytes = options.kv_cache_memory_bytes;
  pool.memory_fraction = options.memory_fraction;
  pool.most_blocks = blocks_per_seq * limits.max_num_seqs;
  PHALANX_ASSIGN_OR_RETURN(const int64_t room, Agree(communicator, NumKvBlocks(pool)));
  PHALANX_ASSIGN_OR_RETURN(limits.num_blocks, AgreeOnMinimum(communicator, room));
  PHALANX_ASSIGN_OR_RETURN(
      limits.max_model_len,
      Agree(communicator,
            ChooseMaxModelLen({.max_model_len = options.max_model_len,
                               .max_position_embeddings = config.max_position_embeddings,
                               .num_blocks = limits.num_blocks,
                               .block_size = limits.block_size})));
  group.is_shortened = !options.max_model_len && limits.max_model_len < longest;
  const KvCacheSpec spec =
      group.model->KvSpec(limits.num_blocks, limits.block_size, group.kv_dtype);
  group.kv_bytes = KvBlockBytes(spec) * limits.num_blocks;
  return AgreeOnStatus(communicator, group.model->CreateKvCache(spec));
}

}  // namespace

int32_t DefaultStepTokens(const Qwen2Config& config, const std::string& isa, int threads_in_all,
                          int32_t max_num_seqs) {
  const double rows = kStepSeconds * threads_in_all * AssumedCoreRate(isa) / RowFlop(config);
  const double rounded =
      std::ceil(std::min(rows, static_cast<double>(kMaxStepTokens)) / 16.0) * 16.0;
  return std::max(static_cast<int32_t>(rounded), std::min(max_num_seqs, kMinStepTokens));
}

int32_t DefaultGpuStepTokens(int32_t max_num_seqs) {
  return std::max(kMaxStepTokens, max_num_seqs);
}

StatusOr<Group> StartGroup(const GroupOptions& options, Communicator& communicator) {
  PHALANX_ASSIGN_OR_RETURN(const Local local, Agree(communicator, Inspect(options)));
  PHALANX_ASSIGN_OR_RETURN(const std::string isa, AgreeOnIsa(communicator, local.isas));

  Group group;
  const LocalRank local_rank = FindLocalRank();
  const std::vector<int> cpus = AllowedCpus();
  const std::vector<int> slice = CpuSlice(cpus, local_rank);
  group.threads =
      options.threads > 0 ? options.threads : std::max<int>(1, static_cast<int>(slice.size()));
  group.is_oversubscribed =
      static_cast<size_t>(group.threads) * static_cast<size_t>(local_rank.count) > cpus.size();
  BackendOptions backend_options{.device = options.device, .num_threads = group.threads};
  backend_options.activation_dtype = ActivationDtype(options, local.config);
  backend_options.numerics = options.numerics;
  backend_options.op_profile = options.op_profile;
  const GpuPlace gpu{.local_rank = local_rank.index, .ranks_per_gpu = options.ranks_per_gpu};
  backend_options.gpu = gpu;
  backend_options.device_memory_bytes = options.emulated_memory_bytes;
  backend_options.cpu_isa = isa;
  // Ranks that share CPUs are better placed by the kernel.
  backend_options.cpus = group.is_oversubscribed ? cpus : slice;
  PHALANX_ASSIGN_OR_RETURN(group.backend, Agree(communicator, CreateBackend(backend_options)));
  const std::string computing(group.backend->isa());
  group.kv_dtype = options.kv_cache_dtype.value_or(group.backend->activation_dtype());
  // A cache of no blocks: what the backend cannot take is said before weights are read.
  PHALANX_RETURN_IF_ERROR(
      AgreeOnStatus(communicator, group.backend
                                      ->CreateKvCache({.num_layers = local.config.num_layers,
                                                       .block_size = options.block_size,
                                                       .head_dim = local.config.head_dim,
                                                       .dtype = group.kv_dtype})
                                      .status()));
  PHALANX_ASSIGN_OR_RETURN(group.collectives,
                           CreateDeviceCollectives({.by = options.device_sums,
                                                    .nccl_library = options.nccl_library,
                                                    .ranks_per_gpu = options.ranks_per_gpu,
                                                    .init_timeout = options.step_timeout,
                                                    .board = options.board,
                                                    .in_use = options.collectives_in_use},
                                                   *group.backend, communicator));

  PlanLimits& limits = group.scheduler.limits;
  limits.max_num_seqs = options.max_num_seqs;
  limits.max_num_tokens = options.max_num_batched_tokens.value_or(
      group.backend->device() == "cuda"
          ? DefaultGpuStepTokens(options.max_num_seqs)
          : DefaultStepTokens(local.config, computing, group.threads * communicator.size(),
                              options.max_num_seqs));
  limits.vocab_size = static_cast<int32_t>(local.config.vocab_size);
  limits.block_size = options.block_size;
  group.scheduler.policy = options.policy;
  group.scheduler.prefix_caching = options.prefix_caching;
  // A step samples no more rows than it has.
  group.scheduler.max_num_logit_rows =
      std::max(kMinLogitRows, std::min(options.max_num_seqs, limits.max_num_tokens));

  const NamedValues numerics = {
      {"version", options.version},
      {"config", local.config_fingerprint},
      {"weights", local.weights_fingerprint},
      {"device", options.device},
      {"isa", computing},
      {"quantization", std::string(Name(options.quantization))},
      {"activations", std::string(Name(group.backend->activation_dtype()))},
      {"numerics", options.numerics == Numerics::kExact ? "exact" : "fast"},
      {"sums", OrderOfSums(group.collectives.get(), options.numerics)},
      {"kv", std::string(Name(group.kv_dtype))},
      {"ranks", std::to_string(communicator.size())},
      {"block_size", std::to_string(options.block_size)},
  };
  NamedValues all = numerics;
  all.emplace_back("--max-num-seqs", std::to_string(limits.max_num_seqs));
  all.emplace_back("--max-num-batched-tokens", std::to_string(limits.max_num_tokens));
  all.emplace_back("--max-model-len", std::to_string(options.max_model_len.value_or(0)));
  PHALANX_RETURN_IF_ERROR(AgreeOnValues(communicator, all));
  group.numerics_id = JoinValues(numerics);

  const Clock::time_point load_start = Clock::now();
  ModelOptions model_options;
  model_options.load_format = options.load_format;
  model_options.quantization = options.quantization;
  model_options.dummy_seed = options.dummy_seed;
  model_options.max_num_tokens = limits.max_num_tokens;
  model_options.max_num_logit_rows = group.scheduler.max_num_logit_rows;
  model_options.max_num_seqs = limits.max_num_seqs;
  model_options.block_size = limits.block_size;
  model_options.max_model_len = options.max_model_len.value_or(0);
  model_options.load_threads = group.threads;
  model_options.on_progress = options.on_load_progress;
  model_options.on_warning = options.on_load_warning;
  model_options.should_stop = options.should_stop;
  model_options.device_collectives = group.collectives.get();
  model_options.numerics = options.numerics;
  PHALANX_ASSIGN_OR_RETURN(
      group.model,
      Agree(communicator, Qwen2Model::Load(local.model_dir, local.config, model_options,
                                           *group.backend, communicator)));
  group.load_s = SecondsSince(load_start);

  const Clock::time_point pool_start = Clock::now();
  PHALANX_RETURN_IF_ERROR(CreatePool(options, communicator, group));
  group.pool_s = SecondsSince(pool_start);
  if (options.board != nullptr) {
    options.board->mine().kv_cache_bytes.store(group.kv_bytes, std::memory_order_relaxed);
  }

  EngineOptions engine_options;
  engine_options.scheduler = group.scheduler;
  engine_options.max_token_slowdown = options.max_token_slowdown;
  engine_options.board = options.board;
  const double rate =
      AssumedRankRate(group.backend->device(), computing, group.threads) * communicator.size();
  engine_options.deadline = {.base = options.step_timeout,
                             .seconds_per_row = RowFlop(local.config) / rate,
                             .seconds_per_position = PositionFlop(local.config) / rate};
  group.engine = Engine::Create(engine_options, *group.model, *group.backend, communicator);
  return group;
}

Status WarmUp(Group& group) {
  const Clock::time_point start = Clock::now();
  PHALANX_RETURN_IF_ERROR(group.engine->WarmUp().WithContext("warm-up"));
  group.warm_up_s = SecondsSince(start);
  return OkStatus();
}

}  // namespace phalanx
