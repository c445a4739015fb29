// Encode and Decode of StepPlan. Fixed-width little-endian fields in the order of the structs; a
// vector is a u32 count and its elements. A count is checked against the bytes that are left before
// anything is allocated for it, so a short message never asks for much memory.
#include <bit>
#include <cstring>
#include <limits>
#include <type_traits>

#include "worker/step_plan.h"

namespace phalanx {
namespace {

static_assert(std::endian::native == std::endian::little,
              "values are copied as they lie in memory, which must be the wire's order");

constexpr uint32_t kMagic = 0x314e4c50;  // "PLN1"

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}

  template <typename T>
  void Scalar(T value) {
    static_assert(std::is_arithmetic_v<T> || std::is_enum_v<T>);
    Bytes(&value, sizeof(T));
  }
  void Count(size_t count) {
    PHALANX_CHECK_LE(count, std::numeric_limits<uint32_t>::max());
    Scalar(static_cast<uint32_t>(count));
  }
  void Ids(const std::vector<int32_t>& ids) {
    Count(ids.size());
    Bytes(ids.data(), ids.size() * sizeof(int32_t));
  }

 private:
  void Bytes(const void* data, size_t size_bytes) {
    out_.append(static_cast<const char*>(data), size_bytes);
  }
  std::string& out_;
};

// Once a read fails, every later one gives zeros and empty vectors; the caller looks at status() at
// the end.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes), size_(bytes.size()) {}

  template <typename T>
  void Scalar(T& value) {
    Bytes(&value, sizeof(T));
  }
  template <typename Enum>
  void Enumerator(Enum& value, Enum last) {
    auto raw = std::underlying_type_t<Enum>{};
    Bytes(&raw, sizeof(raw));
    if (raw > static_cast<std::underlying_type_t<Enum>>(last)) {
      return Fail(fmt::format("enumerator {}", raw));
    }
    value = static_cast<Enum>(raw);
  }
  // A count of elements that take at least `min_bytes` each.
  size_t Count(size_t min_bytes) {
    uint32_t count = 0;
    Bytes(&count, sizeof(count));
    if (count > rest_.size() / min_bytes) {
      Fail(fmt::format("count {}, more than the bytes left can hold", count));
      return 0;
    }
    return count;
  }
  void Ids(std::vector<int32_t>& ids) {
    ids.resize(Count(sizeof(int32_t)));
    Bytes(ids.data(), ids.size() * sizeof(int32_t));
  }
  void Fail(std::string what) {
    if (status_.ok()) {
      status_ =
          InvalidArgumentError("step plan: {} at byte {} of {}", what, size_ - rest_.size(), size_);
    }
    rest_ = {};
  }
  size_t size_left() const { return rest_.size(); }
  const Status& status() const { return status_; }

 private:
  void Bytes(void* data, size_t size_bytes) {
    if (size_bytes == 0) return;
    if (size_bytes > rest_.size()) return Fail("ends too early");
    std::memcpy(data, rest_.data(), size_bytes);
    rest_.remove_prefix(size_bytes);
  }
  std::string_view rest_;
  size_t size_;
  Status status_;
};

// Lower bounds of the encoded sizes, so that a count of structs can be judged.
constexpr size_t kMinInitBytes = 89;
constexpr size_t kMinWorkBytes = 25;
constexpr size_t kBiasBytes = sizeof(int32_t) + sizeof(float);

void EncodeParams(const SamplingParams& params, Writer& out) {
  out.Scalar(params.temperature);
  out.Scalar(params.top_k);
  out.Scalar(params.top_p);
  out.Scalar(params.min_p);
  out.Scalar(params.presence_penalty);
  out.Scalar(params.frequency_penalty);
  out.Scalar(params.repetition_penalty);
  out.Count(params.logit_bias.size());
  for (const auto& [id, bias] : params.logit_bias) {
    out.Scalar(id);
    out.Scalar(bias);
  }
  out.Ids(params.allowed_token_ids);
  out.Count(params.bad_words.size());
  for (const std::vector<int32_t>& word : params.bad_words) out.Ids(word);
  out.Scalar(params.seed);
  out.Scalar(params.choice);
  out.Scalar(params.max_tokens);
  out.Scalar(params.min_tokens);
  out.Ids(params.stop_token_ids);
  out.Ids(params.eos_token_ids);
  out.Scalar(params.logprobs);
  out.Scalar(params.prompt_logprobs);
  out.Scalar(params.constraint);
}

void DecodeParams(Reader& in, SamplingParams& params) {
  in.Scalar(params.temperature);
  in.Scalar(params.top_k);
  in.Scalar(params.top_p);
  in.Scalar(params.min_p);
  in.Scalar(params.presence_penalty);
  in.Scalar(params.frequency_penalty);
  in.Scalar(params.repetition_penalty);
  params.logit_bias.resize(in.Count(kBiasBytes));
  for (auto& [id, bias] : params.logit_bias) {
    in.Scalar(id);
    in.Scalar(bias);
  }
  in.Ids(params.allowed_token_ids);
  params.bad_words.resize(in.Count(sizeof(uint32_t)));
  for (std::vector<int32_t>& word : params.bad_words) in.Ids(word);
  in.Scalar(params.seed);
  in.Scalar(params.choice);
  in.Scalar(params.max_tokens);
  in.Scalar(params.min_tokens);
  in.Ids(params.stop_token_ids);
  in.Ids(params.eos_token_ids);
  in.Scalar(params.logprobs);
  in.Scalar(params.prompt_logprobs);
  in.Enumerator(params.constraint, Constraint::kMask);
}

// All of a plan without inits, which is the usual one.
size_t EncodedSizeOfWork(const StepPlan& plan) {
  size_t size_bytes = sizeof(kMagic) + sizeof(plan.kind) + sizeof(plan.step) + 2 * sizeof(uint32_t);
  for (const SequenceWork& work : plan.work) {
    size_bytes += kMinWorkBytes + sizeof(int32_t) * (work.tokens.size() + work.block_table.size() +
                                                     work.logit_offsets.size());
  }
  return size_bytes;
}

}  // namespace

std::string Encode(const StepPlan& plan) {
  std::string bytes;
  bytes.reserve(EncodedSizeOfWork(plan));
  Writer out(bytes);
  out.Scalar(kMagic);
  out.Scalar(plan.kind);
  out.Scalar(plan.step);
  out.Count(plan.inits.size());
  for (const SlotInit& init : plan.inits) {
    out.Scalar(init.slot);
    EncodeParams(init.params, out);
    out.Ids(init.prompt_ids);
    out.Ids(init.emitted_ids);
  }
  out.Count(plan.work.size());
  for (const SequenceWork& work : plan.work) {
    out.Scalar(work.slot);
    out.Scalar(work.start_position);
    out.Ids(work.tokens);
    out.Scalar(work.num_forced);
    out.Ids(work.block_table);
    out.Ids(work.logit_offsets);
    out.Scalar(work.sample);
  }
  return bytes;
}

StatusOr<StepPlan> Decode(std::string_view bytes) {
  Reader in(bytes);
  StepPlan plan;
  uint32_t magic = 0;
  in.Scalar(magic);
  if (magic != kMagic) in.Fail(fmt::format("begins with {:#x}, not {:#x}", magic, kMagic));
  in.Enumerator(plan.kind, StepPlan::Kind::kShutdown);
  in.Scalar(plan.step);
  plan.inits.resize(in.Count(kMinInitBytes));
  for (SlotInit& init : plan.inits) {
    in.Scalar(init.slot);
    DecodeParams(in, init.params);
    in.Ids(init.prompt_ids);
    in.Ids(init.emitted_ids);
  }
  plan.work.resize(in.Count(kMinWorkBytes));
  for (SequenceWork& work : plan.work) {
    in.Scalar(work.slot);
    in.Scalar(work.start_position);
    in.Ids(work.tokens);
    in.Scalar(work.num_forced);
    in.Ids(work.block_table);
    in.Ids(work.logit_offsets);
    in.Enumerator(work.sample, SequenceWork::Sample::kLast);
  }
  if (in.status().ok() && in.size_left() != 0) {
    in.Fail(fmt::format("{} bytes too many", in.size_left()));
  }
  if (!in.status().ok()) return in.status();
  return plan;
}

}  // namespace phalanx
