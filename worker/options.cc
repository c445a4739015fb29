#include "worker/options.h"

#include <CLI/CLI.hpp>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "app/choice_flag.h"
#include "app/usage_error.h"
#include "app/yaml_config.h"
#include "grammar/limit_flags.h"
#include "kernels/backend_factory.h"

namespace phalanx {
namespace {

constexpr int kUsageError = 2;
constexpr int64_t kMostSeqs = 4096;
constexpr int64_t kMostTokens = 65536;

// Every rank parses the same command line; one is enough to say what is wrong with it.
bool IsSpokesman() {
  const char* rank = std::getenv("OMPI_COMM_WORLD_RANK");
  return rank == nullptr || std::strcmp(rank, "0") == 0;
}

// A flag whose value is a count with an optional suffix.
void AddCount(CLI::App& app, const std::string& flag, int64_t least, int64_t most,
              const std::function<void(int64_t)>& set, const std::string& help) {
  app.add_option_function<std::string>(
         flag,
         [=](const std::string& text) {
           const StatusOr<int64_t> value = ParseCount(flag, text);
           if (!value.ok()) throw CLI::ValidationError(value.status().message());
           if (*value < least || *value > most) {
             throw CLI::ValidationError(
                 InvalidField(flag, text, fmt::format("{} to {}", least, most)).message());
           }
           set(*value);
         },
         help)
      ->type_name("COUNT");
}

DeviceSums SumsOf(CommunicatorKind kind) {
  switch (kind) {
    case CommunicatorKind::kAuto:
      return DeviceSums::kAuto;
    case CommunicatorKind::kSharedMemory:
    case CommunicatorKind::kMpi:
      return DeviceSums::kHost;
    case CommunicatorKind::kNccl:
      return DeviceSums::kNccl;
  }
  return DeviceSums::kAuto;
}

void AddStepTimeout(CLI::App& app, GroupOptions& group) {
  // Idle ranks show progress once a second; less than a few of those would end healthy groups.
  constexpr double kLeastSeconds = 5;
  constexpr double kMostSeconds = 86400;
  app.add_option_function<double>(
         "--step-timeout",
         [&group](double seconds) {
           if (!(seconds == 0 || (seconds >= kLeastSeconds && seconds <= kMostSeconds))) {
             throw CLI::ValidationError(
                 InvalidField("--step-timeout", seconds, "0 (never) or 5 to 86400 seconds")
                     .message());
           }
           group.step_timeout = std::chrono::milliseconds(std::llround(seconds * 1e3));
         },
         "seconds without progress after which a rank counts as lost and the group ends; long "
         "steps get more; 0: never [60]")
      ->type_name("SECONDS");
}

void AddTokenSlowdown(CLI::App& app, GroupOptions& group) {
  constexpr double kMostSlowdown = 1000;
  group.max_token_slowdown = 4;
  app.add_option_function<double>(
         "--max-token-slowdown",
         [&group](double slowdown) {
           if (!(slowdown == 0 || (slowdown >= 1 && slowdown <= kMostSlowdown))) {
             throw CLI::ValidationError(
                 InvalidField("--max-token-slowdown", slowdown, "0 (any) or 1 to 1000").message());
           }
           group.max_token_slowdown = slowdown;
         },
         "times what a token takes alone that it may take beside others: more sequences wait, as "
         "measured while serving; 0: any [4]")
      ->type_name("TIMES");
}

void AddFlags(CLI::App& app, WorkerOptions& options) {
  GroupOptions& group = options.group;
  constexpr int64_t kMostBytes = std::numeric_limits<int64_t>::max();
  app.add_option("--model,model", group.model,
                 "the model's folder, or a hub id that lies in the Hugging Face cache")
      ->required();
  AddChoice<LoadFormat>(app, "--load-format", group.load_format,
                        {{"auto", LoadFormat::kSafetensors},
                         {"safetensors", LoadFormat::kSafetensors},
                         {"dummy", LoadFormat::kDummy}},
                        "where weights come from; dummy makes random ones of the config's shape");
  app.add_option("--seed", group.dummy_seed, "seed of dummy weights")->capture_default_str();
  app.add_option("--device", group.device,
                 "what computes; cuda-emulated executes the CUDA kernels on the CPU, for tests")
      ->check(CLI::IsMember(AvailableDevices()))
      ->capture_default_str();
  app.add_option(
         "--ranks-per-gpu", group.ranks_per_gpu,
         "ranks of a host that share a GPU, for tests of tensor parallelism on few GPUs: the "
         "first so many share the first one, and sums go through the host's memory")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  AddCount(
      app, "--emulated-memory-bytes", 0, int64_t{16} << 30,
      [&group](int64_t n) { group.emulated_memory_bytes = static_cast<size_t>(n); },
      "memory of an emulated device [4G]");
  app.add_option("--threads", group.threads,
                 "compute threads of a rank; 0: an even share of the host's CPUs")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--cpu-isa", group.cpu_isa,
                 "instruction set; default: the best that every rank has")
      ->check(CLI::IsMember(AvailableCpuIsas()));
  using OptionalDtype = std::optional<DType>;
  AddChoice<OptionalDtype>(app, "--dtype", group.activation_dtype,
                           {{"auto", std::nullopt},
                            {"float32", DType::kF32},
                            {"bfloat16", DType::kBF16},
                            {"float16", DType::kF16}},
                           "dtype of activations: float32 or bfloat16 on CPUs, where auto is "
                           "float32, bfloat16 or float16 on CUDA devices, where auto is the "
                           "checkpoint's");
  AddChoice<Numerics>(app, "--numerics", group.numerics,
                      {{"exact", Numerics::kExact}, {"fast", Numerics::kFast}},
                      "exact: the same tokens whatever shares the batch; fast: kernels picked by "
                      "the batch's size, on CUDA devices");
  app.add_flag_function(
      "--profile-ops",
      [&group](int64_t count) { group.op_profile = count > 0 ? OpProfile::kOn : OpProfile::kOff; },
      "time every op; rank 0 logs a table when it ends");
  AddChoice<Quantization>(
      app, "--quantization", group.quantization,
      {{"none", Quantization::kNone}, {"int8", Quantization::kInt8}, {"int4", Quantization::kInt4}},
      "of weights as they are read, on CPUs; none: as the checkpoint has them, and what it has as "
      "integers stays so in any case");
  app.add_flag("--enforce-eager")->description("no captured graphs; CPUs never have any");
  AddChoice<OptionalDtype>(app, "--kv-cache-dtype", group.kv_cache_dtype,
                           {{"auto", std::nullopt},
                            {"float32", DType::kF32},
                            {"bfloat16", DType::kBF16},
                            {"float16", DType::kF16}},
                           "dtype of the KV cache; auto is that of the activations");
  AddCount(
      app, "--max-model-len", 1, std::numeric_limits<int32_t>::max(),
      [&group](int64_t n) { group.max_model_len = static_cast<int32_t>(n); },
      "longest sequence, prompt and output, e.g. 4096 or 32k; default: what the model reaches "
      "and the KV pool holds");
  AddCount(
      app, "--max-num-seqs", 1, kMostSeqs,
      [&group](int64_t n) { group.max_num_seqs = static_cast<int32_t>(n); },
      "sequences that run at once [256]");
  AddTokenSlowdown(app, group);
  AddCount(
      app, "--max-num-batched-tokens", 1, kMostTokens,
      [&group](int64_t n) { group.max_num_batched_tokens = static_cast<int32_t>(n); },
      "tokens of one step; default: what the model computes in about 150 ms");
  AddCount(
      app, "--block-size", 1, 1024,
      [&group](int64_t n) {
        if (n != 16 && n != 32 && n != 64) {
          throw CLI::ValidationError(InvalidField("--block-size", n, "16, 32 or 64").message());
        }
        group.block_size = static_cast<int32_t>(n);
      },
      "tokens of one KV block: 16, 32 or 64 [16]");
  AddCount(
      app, "--kv-cache-memory-bytes", 1, kMostBytes,
      [&group](int64_t n) { group.kv_cache_memory_bytes = n; },
      "KV pool of one rank, e.g. 512M; default: 40 % of the available memory, at most 4 GiB, "
      "shared by the ranks of the host");
  app.add_option("--gpu-memory-utilization", group.memory_fraction,
                 "KV pools of this host as a fraction of the memory that is available once weights "
                 "are loaded")
      ->check(CLI::Range(0.01, 1.0))
      ->excludes("--kv-cache-memory-bytes");
  app.add_flag_function(
      "--enable-prefix-caching,!--no-enable-prefix-caching",
      [&group](int64_t count) {
        group.prefix_caching = count > 0 ? PrefixCaching::kOn : PrefixCaching::kOff;
      },
      "reuse KV blocks of equal prefixes [on]");
  AddChoice<SchedulingPolicy>(
      app, "--scheduling-policy", group.policy,
      {{"fcfs", SchedulingPolicy::kFcfs}, {"priority", SchedulingPolicy::kPriority}},
      "who runs first");
  app.add_option("--tensor-parallel-size", options.tensor_parallel_size,
                 "refused unless it is the number of ranks that mpirun started")
      ->check(CLI::Range(1, 1 << 16));
  AddChoice<CommunicatorKind>(app, "--communicator", options.communicator,
                              {{"auto", CommunicatorKind::kAuto},
                               {"shm", CommunicatorKind::kSharedMemory},
                               {"mpi", CommunicatorKind::kMpi},
                               {"nccl", CommunicatorKind::kNccl}},
                              "how ranks talk; auto is shared memory on one host, and NCCL for "
                              "sums between GPUs; shm and mpi sum in the host's memory");
  app.add_option("--nccl-library", group.nccl_library,
                 "NCCL's shared library; default: libnccl.so.2 where the loader finds it");
  AddStepTimeout(app, group);
  AddGrammarLimits(app, options.grammar_limits);
  app.add_option("--engine", options.engine, "the coordinator's Unix socket")->required();
  app.add_option("--log-level", options.log_level, "least severity that is logged")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "critical", "off"}))
      ->capture_default_str();
  AddChoice<LogFormat>(app, "--log-format", options.log_format,
                       {{"text", LogFormat::kText}, {"json", LogFormat::kJson}},
                       "text or json, a line each");
}

}  // namespace

StatusOr<int64_t> ParseCount(std::string_view flag, std::string_view text) {
  constexpr std::string_view kAllowed =
      "a number such as 4096, 32k (32000) or 32K (32768), also m, M, g, G";
  const auto refuse = [&] { return InvalidField(flag, text, kAllowed); };
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number)) return refuse();
  const std::string_view suffix(end, static_cast<size_t>(text.data() + text.size() - end));
  double unit = 1;
  if (!suffix.empty()) {
    constexpr std::string_view kSuffixes = "kKmMgG";
    constexpr double kUnits[] = {1e3, 0x1p10, 1e6, 0x1p20, 1e9, 0x1p30};
    const size_t at = kSuffixes.find(suffix);
    if (suffix.size() != 1 || at == std::string_view::npos) return refuse();
    unit = kUnits[at];
  }
  const double value = number * unit;
  if (value != std::floor(value) || std::abs(value) > 0x1p53) return refuse();
  return static_cast<int64_t>(value);
}

std::variant<WorkerOptions, ExitCode> ParseWorkerOptions(int argc, const char* const* argv) {
  WorkerOptions options;
  CLI::App app("Phalanx worker: one rank of the group that mpirun starts.", "worker");
  app.set_version_flag("--version", std::string("phalanx worker ") + PHALANX_VERSION);
  AddYamlConfig(&app);
  AddFlags(app, options);
  options.group.version = PHALANX_VERSION;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return ExitCode{app.exit(error)};
    if (IsSpokesman()) std::fprintf(stderr, "%s\n", UsageError(app, error).c_str());
    return ExitCode{kUsageError};
  }
  options.group.device_sums = SumsOf(options.communicator);
  return options;
}

}  // namespace phalanx
