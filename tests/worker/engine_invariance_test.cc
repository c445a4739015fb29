// What a request gets depends on itself alone. The real engine runs two long requests, one greedy
// and one sampled, by themselves; then among sixteen others, in chunks of several sizes, from the
// prefix cache, and with a pool so small that they are preempted and computed again. Tokens,
// log-probabilities, ranks and alternatives are the same bits each time, on the bundled model and
// on two layers of the published 0.5B shape, on one and two ranks, on every instruction set of the
// machine.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <span>

#include "tests/worker/engine_ranks.h"

namespace phalanx {
namespace {

constexpr uint64_t kGreedy = 1;
constexpr uint64_t kSampled = 2;
constexpr uint64_t kFirstOther = 3;
constexpr uint64_t kLastEarlyOther = 18;  // sixteen are there before the long requests
constexpr uint64_t kLastOther = 22;
constexpr int32_t kMaxNumSeqs = 22;

constexpr size_t kLongPrompt = 2060;    // no multiple of a block or of a KV tile
constexpr size_t kSharedPrompt = 1000;  // the long prompts begin alike
constexpr size_t kLongOutput = 32;
constexpr size_t kOtherOutput = 16;  // compared; where others are company they go on
constexpr int64_t kNumBlocks = 700;
// Room for one long request and the others to start, and not for everybody to finish.
constexpr int64_t kFewBlocks = 224;
constexpr int64_t kFirstLongBlocks = 130;
constexpr int64_t kSharedBlocks = 62;
constexpr int32_t kChunk = 257;
constexpr int32_t kLargestStep = 2048;

// Without SIMD the whole matrix takes minutes: only the sampled one of the long requests, alone,
// from the prefix cache in company, and in small steps with a preemption; the bundled model on two
// ranks, and the 0.5B shape, with a narrower MLP and vocabulary, on one.
constexpr char kSlowIsa[] = "portable";

Qwen2Config HalfBillionShape() {
  Qwen2Config config;
  config.hidden_size = 896;
  config.intermediate_size = 4864;
  config.num_layers = 2;
  config.num_heads = 14;
  config.num_kv_heads = 2;
  config.head_dim = 64;
  config.vocab_size = 16384;  // the head is one more Linear; its width costs only time here
  config.max_position_embeddings = 4096;
  config.rope_theta = 1e6;
  config.tie_word_embeddings = true;
  return config;
}

std::vector<int32_t> RandomIds(size_t count, uint64_t seed) {
  std::mt19937_64 generator(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(generator() % 1000);
  return ids;
}

EngineRequest LongRequest(uint64_t id) {
  EngineRequest request;
  request.id = id;
  request.prompt_ids = RandomIds(kSharedPrompt, 99);
  const std::vector<int32_t> rest = RandomIds(kLongPrompt - kSharedPrompt, id);
  request.prompt_ids.insert(request.prompt_ids.end(), rest.begin(), rest.end());
  request.params.temperature = id == kGreedy ? 0.0F : 1.1F;
  request.params.top_p = id == kGreedy ? 1.0F : 0.95F;
  request.params.repetition_penalty = id == kGreedy ? 1.0F : 1.1F;
  request.params.seed = id;
  request.params.max_tokens = static_cast<int32_t>(kLongOutput);
  request.params.logprobs = 5;
  return request;
}

// Short, and of every way to sample.
EngineRequest OtherRequest(uint64_t id, size_t max_tokens) {
  EngineRequest request;
  request.id = id;
  request.prompt_ids = RandomIds(3 + 5 * (id % 13), id);
  SamplingParams& params = request.params;
  params.temperature = id % 4 == 0 ? 0.0F : 0.9F;
  params.top_k = id % 4 == 1 ? 40 : 0;
  params.top_p = id % 4 == 2 ? 0.9F : 1.0F;
  params.min_p = id % 8 == 3 ? 0.05F : 0.0F;
  params.frequency_penalty = id % 3 == 0 ? 0.3F : 0.0F;
  params.seed = id;
  params.max_tokens = static_cast<int32_t>(max_tokens);
  params.logprobs = id % 2 == 0 ? 2 : -1;
  params.prompt_logprobs = id == kLastOther ? 1 : -1;
  return request;
}

void Submit(Engine& engine, EngineRequest request) {
  const Status status = engine.Submit(std::move(request));
  ASSERT_TRUE(status.ok()) << status;
}

void SubmitOthers(Engine& engine, uint64_t first, uint64_t last, size_t max_tokens) {
  for (uint64_t id = first; id <= last; ++id) Submit(engine, OtherRequest(id, max_tokens));
}

using LongIds = std::vector<uint64_t>;

void RunAlone(Engine& engine, Answers& answers, const LongIds& long_ids) {
  for (uint64_t id = kFirstOther; id <= kLastOther; ++id) {
    Submit(engine, OtherRequest(id, kOtherOutput));
    Finish(engine, answers);
  }
  for (const uint64_t id : long_ids) {
    Submit(engine, LongRequest(id));
    Finish(engine, answers);
  }
}

size_t NumTokens(const Answers& answers, const LongIds& ids) {
  size_t count = 0;
  for (const uint64_t id : ids) {
    const auto it = answers.find(id);
    if (it != answers.end()) count += it->second.tokens.size();
  }
  return count;
}

void StepUntil(Engine& engine, Answers& answers, uint64_t id, size_t count) {
  while (answers[id].tokens.size() < count && !::testing::Test::HasFatalFailure()) {
    StepOnce(engine, answers);
  }
}

// Sixteen others decode when the long requests come and stay until those are done; four more come
// after them.
void RunInCompany(Engine& engine, Answers& answers, const LongIds& long_ids) {
  constexpr size_t kForever = 600;
  SubmitOthers(engine, kFirstOther, kLastEarlyOther, kForever);
  StepUntil(engine, answers, kLastEarlyOther, 1);
  for (const uint64_t id : long_ids) {
    Submit(engine, LongRequest(id));
    StepOnce(engine, answers);
  }
  SubmitOthers(engine, kLastEarlyOther + 1, kLastOther, kForever);
  const size_t all = long_ids.size() * kLongOutput;
  while (NumTokens(answers, long_ids) < all && !::testing::Test::HasFatalFailure()) {
    const size_t before = NumTokens(answers, long_ids);
    const int32_t num_running = engine.stats().num_running;
    StepOnce(engine, answers);
    if (NumTokens(answers, long_ids) > before) {
      EXPECT_GE(num_running, 17) << "a long one among sixteen";
    }
  }
  for (uint64_t id = kFirstOther; id <= kLastOther; ++id) {
    StepUntil(engine, answers, id, kOtherOutput);
    EXPECT_TRUE(engine.Cancel(id));
  }
  EXPECT_FALSE(engine.HasWork());
}

// The long request that came last is the first to be preempted, and that in the middle of its
// output.
void RunShortOfBlocks(Engine& engine, Answers& answers, const LongIds& long_ids) {
  constexpr size_t kLonger = 100;
  SubmitOthers(engine, kFirstOther, kLastOther, kLonger);
  for (const uint64_t id : long_ids) Submit(engine, LongRequest(id));
  const Answer& last = answers[long_ids.back()];
  while (engine.stats().num_preemptions == 0 && engine.HasWork()) StepOnce(engine, answers);
  EXPECT_GT(last.tokens.size(), 0U) << "preempted before its first token";
  EXPECT_LT(last.tokens.size(), kLongOutput) << "preempted too late";
  Finish(engine, answers);
}

void ExpectSame(const Answers& want, const Answers& got, std::string_view scenario) {
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [id, a] : want) {
    SCOPED_TRACE(fmt::format("{}, request {}", scenario, id));
    const size_t count = id < kFirstOther ? kLongOutput : kOtherOutput;
    const Answer& b = got.at(id);
    EXPECT_TRUE(b.status.ok()) << b.status;
    ASSERT_EQ(a.tokens.size(), count);
    ASSERT_GE(b.tokens.size(), count);
    EXPECT_TRUE(std::ranges::equal(a.tokens, std::span(b.tokens).first(count)));
    EXPECT_TRUE(std::ranges::equal(a.logprobs, std::span(b.logprobs).first(count)));
    EXPECT_EQ(a.prompt, b.prompt);
    EXPECT_EQ(a.prompt.empty(), id != kLastOther);
  }
}

// All engine runs of one model against the same reference.
class Matrix {
 public:
  explicit Matrix(const EngineModel& model)
      : model_(model), is_slow_(model.backend.cpu_isa == kSlowIsa) {
    model_.num_blocks = kNumBlocks;
    model_.max_num_tokens = kLargestStep;
    long_ids_ = is_slow_ ? LongIds{kSampled} : LongIds{kGreedy, kSampled};
  }

  void Run() {
    AddReferenceAndPrefixHits();
    if (!is_slow_) {
      for (const int32_t chunk : {64, kChunk, kLargestStep}) AddInCompany(chunk);
    }
    const int64_t first_blocks = is_slow_ ? 0 : kFirstLongBlocks;
    AddPreemption(PrefixCaching::kOff, long_ids_, kFewBlocks + first_blocks);
    if (!is_slow_) {
      AddPreemption(PrefixCaching::kOn, {kSampled, kGreedy},
                    kFewBlocks + first_blocks - kSharedBlocks);
    }
    RunEngines(model_, runs_);
  }

 private:
  void Add(const EngineRun& run, std::function<void(Engine&)> leader) {
    runs_.push_back(run);
    runs_.back().max_num_seqs = kMaxNumSeqs;
    runs_.back().leader = std::move(leader);
  }

  // The second of the long requests takes half its prompt from the first one's blocks already.
  void AddReferenceAndPrefixHits() {
    const EngineRun run = {.max_num_tokens = kLargestStep,
                           .num_blocks = kNumBlocks,
                           .prefix_caching = PrefixCaching::kOn};
    Add(run, [this](Engine& engine) {
      RunAlone(engine, alone_, long_ids_);
      for (size_t i = 0; i < long_ids_.size(); ++i) {
        EXPECT_EQ(alone_.at(long_ids_[i]).cached_tokens, i == 0 ? 0 : kSharedPrompt / 16 * 16);
      }
      Answers warm;
      RunInCompany(engine, warm, long_ids_);
      for (const uint64_t id : long_ids_) {
        EXPECT_EQ(warm.at(id).cached_tokens, kLongPrompt / 16 * 16);
      }
      ExpectSame(alone_, warm, "from the prefix cache");
    });
  }

  void AddInCompany(int32_t chunk) {
    Add({.max_num_tokens = chunk, .num_blocks = kNumBlocks}, [this, chunk](Engine& engine) {
      Answers answers;
      RunInCompany(engine, answers, long_ids_);
      ExpectSame(alone_, answers, fmt::format("steps of {} tokens", chunk));
    });
  }

  void AddPreemption(PrefixCaching caching, const LongIds& long_ids, int64_t num_blocks) {
    const EngineRun run = {
        .max_num_tokens = kChunk, .num_blocks = num_blocks, .prefix_caching = caching};
    Add(run, [this, long_ids](Engine& engine) {
      Answers answers;
      RunShortOfBlocks(engine, answers, long_ids);
      ExpectSame(alone_, answers, "preempted and computed again");
    });
  }

  EngineModel model_;
  bool is_slow_;
  LongIds long_ids_;
  Answers alone_;
  std::vector<EngineRun> runs_;
};

struct Param {
  std::string isa;
  int ranks = 1;
};

std::vector<Param> AllParams() {
  std::vector<Param> params;
  for (const int ranks : {1, 2}) {
    for (const std::string& isa : AvailableCpuIsas()) params.push_back({isa, ranks});
  }
  return params;
}

class EngineInvarianceTest : public ::testing::TestWithParam<Param> {
 protected:
  EngineModel Model() const {
    const int threads = GetParam().ranks == 1 ? 2 : 1;
    return {.ranks = GetParam().ranks,
            .backend = {.num_threads = threads, .cpu_isa = GetParam().isa}};
  }
};

TEST_P(EngineInvarianceTest, BundledModel) {
  if (GetParam().isa == kSlowIsa && GetParam().ranks == 1) GTEST_SKIP();
  EngineModel model = Model();
  model.model_dir = PHALANX_SOURCE_DIR "/launch/demo/model";
  const auto config = LoadConfig(model.model_dir);
  ASSERT_TRUE(config.ok()) << config.status();
  model.config = *config;
  Matrix(model).Run();
}

// On the best two of the machine and without SIMD: it is long, and what differs between the sets is
// in the bundled model's, too.
TEST_P(EngineInvarianceTest, HalfBillionShape) {
  const std::vector<std::string> isas = AvailableCpuIsas();
  const auto rank = std::find(isas.begin(), isas.end(), GetParam().isa) - isas.begin();
  if (GetParam().isa == kSlowIsa ? GetParam().ranks == 2 : rank >= 2) GTEST_SKIP();
  EngineModel model = Model();
  model.config = HalfBillionShape();
  if (GetParam().isa == kSlowIsa) {
    model.config.intermediate_size = 128;
    model.config.vocab_size = 1024;
  }
  Matrix(model).Run();
}

INSTANTIATE_TEST_SUITE_P(Isas, EngineInvarianceTest, ::testing::ValuesIn(AllParams()),
                         [](const auto& info) {
                           return fmt::format("{}_N{}", info.param.isa, info.param.ranks);
                         });

}  // namespace
}  // namespace phalanx
