// mpirun -np N bench_e2e --model DIR [--load-format dummy] --prompt-tokens P --output-tokens T
// --batch B --threads K --json
//
// The real engine, without the network. fraction_of_read_limit = bytes that a decode step must read
// (layers, LM head, KV; not an untied embedding table) / step time / read bandwidth; the bandwidth
// is probed by all ranks at once between stretches of decode steps, and the fraction is the median
// of the stretches' ratios. fraction_of_fma_peak counts executed FLOP of the prefill;
// tile_peak_gflop_per_s is that of bf16 tiles, of which a product with f32 takes three.
//
//   bench_e2e --device cuda --numerics fast ...
//
// On devices the limits are those of bench/device_limits.h, and fraction_of_tensor_peak takes the
// place of the CPU's. first_token_s is the time from the start of rank 0's process, by
// /proc/self/stat, to the first token of the first request.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <nlohmann/json.hpp>

#include "app/choice_flag.h"
#include "bench/e2e_run.h"
#include "bench/process_age.h"
#include "kernels/backend_factory.h"
#include "kernels/base/op_times.h"
#include "parallel/mpi_factory.h"
#include "worker/host.h"

namespace phalanx {
namespace {

struct BenchOptions {
  GroupOptions group;
  E2eShape shape;
  int rounds = 3;
  bool json = false;
};

// FLOP and bytes of a model, from its shape.
struct Costs {
  double layer_weights = 0;       // elements of all layers
  double head_weights = 0;        // elements of the LM head
  double layer_weight_bytes = 0;  // of one element
  double head_weight_bytes = 0;
  double attention_width = 0;  // num_layers * num_heads * head_dim
  double kv_token_bytes = 0;   // K and V of one token, all layers

  Costs(const Qwen2Config& config, Quantization quantization, DType weight_dtype, DType kv_dtype) {
    const auto qkvo = static_cast<double>(config.hidden_size * config.head_dim *
                                          (2 * config.num_heads + 2 * config.num_kv_heads));
    const auto mlp = static_cast<double>(3 * config.hidden_size * config.intermediate_size);
    layer_weights = static_cast<double>(config.num_layers) * (qkvo + mlp);
    head_weights = static_cast<double>(config.vocab_size * config.hidden_size);
    layer_weight_bytes = head_weight_bytes = static_cast<double>(SizeInBytes(weight_dtype));
    if (quantization != Quantization::kNone) layer_weight_bytes = head_weight_bytes = 1;
    if (quantization == Quantization::kInt4) {
      layer_weight_bytes = 0.5 + static_cast<double>(sizeof(float)) / kInt4GroupSize;
    }
    if (const StoredIntegers& stored = config.stored; stored.is_integer()) {
      layer_weight_bytes = stored.bits / 8.0;
      if (stored.group_size > 0) {
        layer_weight_bytes += sizeof(float) / static_cast<double>(stored.group_size);
      }
    }
    attention_width = static_cast<double>(config.num_layers * config.num_heads * config.head_dim);
    kv_token_bytes =
        static_cast<double>(2 * config.num_layers * config.num_kv_heads * config.head_dim) *
        static_cast<double>(SizeInBytes(kv_dtype));
  }
  double PrefillFlop(const E2eShape& shape) const {
    const double tokens = shape.prompt_tokens;
    const double pairs = tokens * (tokens + 1) / 2;  // causal
    return shape.batch *
           (2 * layer_weights * tokens + 2 * head_weights + 4 * attention_width * pairs);
  }
  double WeightBytes() const {
    return layer_weights * layer_weight_bytes + head_weights * head_weight_bytes;
  }
  double DecodeBytes(const E2eShape& shape) const {
    const double context = shape.prompt_tokens + shape.output_tokens / 2.0;
    return WeightBytes() + shape.batch * context * kv_token_bytes;
  }
};

// What is measured beside the rounds, of all ranks together.
struct Surroundings {
  std::vector<ArithmeticPeak> peaks;
  double first_token_s = 0;
  double peak_rss_mb = 0;
  double pss_mb = 0;
  double pss_after_load_mb = 0;
  double device_memory_mb = 0;
};

nlohmann::ordered_json Report(const BenchOptions& options, const Group& group, int ranks,
                              const std::vector<E2eRound>& rounds, const Surroundings& around) {
  const Qwen2Config& config = group.model->config();
  const bool is_device = group.backend->FreeMemoryBytes().has_value();
  // Devices keep weights in the type of their activations.
  const DType weight_dtype = is_device ? group.backend->activation_dtype() : config.dtype;
  const Costs costs(config, options.group.quantization, weight_dtype, group.kv_dtype);
  std::vector<double> prefill_s, step_s, bandwidth, fraction;
  double comm_s = 0, all_s = 0, prefill_comm_s = 0, prefill_all_s = 0;
  for (const E2eRound& round : rounds) {
    prefill_s.push_back(round.prefill_s);
    prefill_comm_s += round.prefill_comm_s;
    prefill_all_s += round.prefill_s;
    comm_s += round.decode_comm_s;
    for (const double step : round.step_s) all_s += step;
    step_s.insert(step_s.end(), round.step_s.begin(), round.step_s.end());
    for (size_t i = 0; i < round.probe_gb_per_s.size(); ++i) {
      bandwidth.push_back(round.probe_gb_per_s[i]);
      fraction.push_back(costs.DecodeBytes(options.shape) / round.stretch_step_s[i] /
                         (round.probe_gb_per_s[i] * 1e9));
    }
  }
  const double prefill = Median(prefill_s), step = Median(step_s);
  const double prefill_gflop_per_s = costs.PrefillFlop(options.shape) / prefill * 1e-9;
  nlohmann::ordered_json report = {
      {"model", options.group.model},
      {"device", options.group.device},
      {"isa", group.backend->isa()},
      {"activations", Name(group.backend->activation_dtype())},
      {"numerics", options.group.numerics == Numerics::kFast ? "fast" : "exact"},
      {"quantization", Name(options.group.quantization)},
      {"ranks", ranks},
      {"threads", group.threads},
      {"oversubscribed", group.is_oversubscribed},
      {"prompt_tokens", options.shape.prompt_tokens},
      {"output_tokens", options.shape.output_tokens},
      {"batch", options.shape.batch},
      {"prefill_tokens_per_s", options.shape.batch * options.shape.prompt_tokens / prefill},
      {"prefill_gflop_per_s", prefill_gflop_per_s},
  };
  for (const ArithmeticPeak& peak : around.peaks) {
    report[peak.name + "_peak_gflop_per_s"] = peak.gflop_per_s;
    if (&peak != &around.peaks.front()) continue;
    report[fmt::format("fraction_of_{}_peak", peak.name)] = prefill_gflop_per_s / peak.gflop_per_s;
  }
  report.update({
      {"decode_tokens_per_s", options.shape.batch / step},
      {"decode_step_ms", step * 1e3},
      {"decode_bytes", costs.DecodeBytes(options.shape)},
      {"read_bandwidth_gb_per_s", Median(bandwidth)},
      {"fraction_of_read_limit", Median(fraction)},
      {"all_reduce_share", all_s > 0 ? comm_s / all_s : 0.0},
      {"prefill_all_reduce_share", prefill_all_s > 0 ? prefill_comm_s / prefill_all_s : 0.0},
      {"first_token_s", around.first_token_s},
      {"load_s", group.load_s},
      {"kv_pool_mb", static_cast<double>(group.kv_bytes) * ranks * 1e-6},
      {"weights_mb", costs.WeightBytes() * 1e-6},
      {"peak_rss_mb", around.peak_rss_mb},
      {"pss_mb", around.pss_mb},
      {"pss_after_load_mb", around.pss_after_load_mb},
  });
  if (is_device) report["peak_device_memory_mb"] = around.device_memory_mb;
  return report;
}

void Print(const nlohmann::ordered_json& report, bool json) {
  if (json) {
    fmt::print("{}\n", report.dump());
    return;
  }
  for (const auto& [name, value] : report.items()) {
    fmt::print("{:<26} {}\n", name,
               value.is_number_float() ? fmt::format("{:.4g}", value.get<double>())
               : value.is_string()     ? value.get<std::string>()
                                       : value.dump());
  }
}

// Of rank 0, warming up included; on stderr where stdout is JSON.
void PrintOpTimes(const BenchOptions& options, Backend& backend) {
  for (const std::string& line : FormatOpTimes(backend.TakenTimes())) {
    fmt::print(options.json ? stderr : stdout, "{}\n", line);
  }
}

StatusOr<double> MemoryOverRanksMb(Communicator& communicator, const char* file, const char* name) {
  PHALANX_ASSIGN_OR_RETURN(
      const double kib,
      SumOverRanks(communicator, static_cast<double>(ProcessMemoryKib(file, name))));
  return kib * 1024e-6;
}

// Nothing is allocated there once a model has computed, so this is the peak.
double DeviceMemoryMb(const Backend& backend) {
  double bytes = 0;
  for (const MemoryUse& use : backend.Memory()) {
    if (use.where == MemoryUse::Where::kDevice) bytes += static_cast<double>(use.bytes);
  }
  return bytes * 1e-6;
}

// A first, short round touches every weight. Peaks of memory are read before the probe's buffer
// comes.
StatusOr<Surroundings> RunFirstRound(const BenchOptions& options, Group& group,
                                     Communicator& communicator) {
  constexpr const char* kMaps = "/proc/self/smaps_rollup";
  Surroundings around;
  PHALANX_ASSIGN_OR_RETURN(around.pss_after_load_mb, MemoryOverRanksMb(communicator, kMaps, "Pss"));
  PHALANX_ASSIGN_OR_RETURN(const E2eRound round,
                           RunRound(options.shape, 1, *group.engine, communicator, nullptr));
  const auto since_token = std::chrono::steady_clock::now() - round.first_token;
  around.first_token_s = ProcessAgeSeconds() - std::chrono::duration<double>(since_token).count();
  PHALANX_ASSIGN_OR_RETURN(around.peak_rss_mb,
                           MemoryOverRanksMb(communicator, "/proc/self/status", "VmHWM"));
  PHALANX_ASSIGN_OR_RETURN(around.pss_mb, MemoryOverRanksMb(communicator, kMaps, "Pss"));
  PHALANX_ASSIGN_OR_RETURN(around.device_memory_mb,
                           SumOverRanks(communicator, DeviceMemoryMb(*group.backend)));
  return around;
}

StatusOr<std::vector<ArithmeticPeak>> PeaksOverRanks(LimitsProbe& probe,
                                                     Communicator& communicator) {
  PHALANX_RETURN_IF_ERROR(communicator.Barrier());
  PHALANX_ASSIGN_OR_RETURN(std::vector<ArithmeticPeak> peaks, probe.Peaks());
  for (ArithmeticPeak& peak : peaks) {
    PHALANX_ASSIGN_OR_RETURN(peak.gflop_per_s, SumOverRanks(communicator, peak.gflop_per_s));
  }
  return peaks;
}

Status Run(const BenchOptions& options, Communicator& communicator) {
  PHALANX_ASSIGN_OR_RETURN(Group group, StartGroup(options.group, communicator));
  PHALANX_RETURN_IF_ERROR(WarmUp(group));
  PHALANX_ASSIGN_OR_RETURN(Surroundings around, RunFirstRound(options, group, communicator));
  BackendOptions probed{.device = options.group.device, .num_threads = group.threads};
  probed.gpu = {.local_rank = FindLocalRank().index, .ranks_per_gpu = options.group.ranks_per_gpu};
  PHALANX_ASSIGN_OR_RETURN(const auto probe, CreateLimitsProbe(probed));
  PHALANX_ASSIGN_OR_RETURN(around.peaks, PeaksOverRanks(*probe, communicator));
  std::vector<E2eRound> rounds;
  for (int i = 0; i < options.rounds; ++i) {
    const auto id = static_cast<uint64_t>(1 + (i + 1) * options.shape.batch);
    PHALANX_ASSIGN_OR_RETURN(E2eRound round,
                             RunRound(options.shape, id, *group.engine, communicator, probe.get()));
    rounds.push_back(std::move(round));
  }
  if (communicator.rank() != 0) return OkStatus();
  if (rounds.front().step_s.empty()) {
    return InvalidField("--output-tokens", options.shape.output_tokens,
                        "more: in no step did the whole batch decode");
  }
  Print(Report(options, group, communicator.size(), rounds, around), options.json);
  PrintOpTimes(options, *group.backend);
  return OkStatus();
}

void AddFlags(CLI::App& app, BenchOptions& options) {
  GroupOptions& group = options.group;
  app.add_option("--model,model", group.model,
                 "folder with a config.json, and weights unless dummy")
      ->required();
  AddChoice<LoadFormat>(app, "--load-format", group.load_format,
                        {{"auto", LoadFormat::kSafetensors},
                         {"safetensors", LoadFormat::kSafetensors},
                         {"dummy", LoadFormat::kDummy}},
                        "where weights come from");
  app.add_option("--device", group.device, "what computes")
      ->check(CLI::IsMember(AvailableDevices()))
      ->capture_default_str();
  AddChoice<Numerics>(app, "--numerics", group.numerics,
                      {{"exact", Numerics::kExact}, {"fast", Numerics::kFast}},
                      "fast: kernels picked by the batch's size, on CUDA devices");
  AddChoice<DeviceSums>(
      app, "--sums", group.device_sums,
      {{"auto", DeviceSums::kAuto}, {"host", DeviceSums::kHost}, {"nccl", DeviceSums::kNccl}},
      "over ranks, of what lies in a device's memory");
  app.add_option("--nccl-library", group.nccl_library, "default: libnccl.so.2");
  app.add_option("--ranks-per-gpu", group.ranks_per_gpu, "ranks of a host that share a GPU")
      ->check(CLI::Range(1, 64));
  AddChoice<Quantization>(
      app, "--quantization", group.quantization,
      {{"none", Quantization::kNone}, {"int8", Quantization::kInt8}, {"int4", Quantization::kInt4}},
      "of weights as they are read, on CPUs");
  using OptionalDtype = std::optional<DType>;
  AddChoice<OptionalDtype>(app, "--dtype", group.activation_dtype,
                           {{"auto", std::nullopt},
                            {"float32", DType::kF32},
                            {"bfloat16", DType::kBF16},
                            {"float16", DType::kF16}},
                           "of activations");
  app.add_option("--prompt-tokens", options.shape.prompt_tokens)->check(CLI::Range(1, 1 << 20));
  app.add_option("--output-tokens", options.shape.output_tokens,
                 "at least 2; the first is prefill's")
      ->check(CLI::Range(2, 1 << 20));
  app.add_option("--batch", options.shape.batch)->check(CLI::Range(1, 4096));
  app.add_option("--threads", group.threads, "of one rank; 0: an even share of the CPUs");
  app.add_option("--cpu-isa", group.cpu_isa)->check(CLI::IsMember(AvailableCpuIsas()));
  app.add_option("--max-num-batched-tokens", group.max_num_batched_tokens, "default 512");
  app.add_option("--rounds", options.rounds, "measured rounds; medians are reported")
      ->check(CLI::Range(1, 100));
  app.add_flag_callback(
      "--profile-ops", [&group] { group.op_profile = OpProfile::kOn; },
      "print how long each op took; costs time itself");
  app.add_flag("--json", options.json, "one JSON object instead of a table");
}

int Main(int argc, char** argv) {
  BenchOptions options;
  options.group.max_num_batched_tokens = 512;
  options.group.prefix_caching = PrefixCaching::kOff;
  CLI::App app("End-to-end benchmark of one rank group.", "bench_e2e");
  AddFlags(app, options);
  CLI11_PARSE(app, argc, argv);
  PrepareEnvironment(options.group.device);
  options.group.version = PHALANX_VERSION;
  options.group.max_num_seqs = options.shape.batch;
  options.group.max_model_len = options.shape.prompt_tokens + options.shape.output_tokens;
  auto communicator =
      CreateMpiCommunicator({.threads_per_rank = std::max(1, options.group.threads)});
  const Status status = communicator.ok() ? Run(options, **communicator) : communicator.status();
  if (status.ok()) return 0;
  fmt::print(stderr, "bench_e2e: {}\n", status.ToString());
  // Others may wait for this rank.
  if (communicator.ok() && (*communicator)->size() > 1) (*communicator)->Abort(status);
  return status.code() == StatusCode::kInvalidArgument ? 2 : 1;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) { return phalanx::Main(argc, argv); }
