// Compiles the grammars of requests on a thread of its own, so that the step loop never waits for
// one.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "grammar/grammar.h"
#include "kernels/base/status.h"

namespace phalanx {

using GrammarCompilerFactory = std::function<StatusOr<std::unique_ptr<GrammarCompiler>>()>;

struct GrammarLoaderOptions {
  // Makes the compiler when the first grammar is asked for: it takes the tokenizer's vocabulary.
  GrammarCompilerFactory make_compiler;
  // Take has something to give. From the loader's thread.
  std::function<void()> on_loaded;
  size_t max_waiting = 256;
};

class GrammarLoader {
 public:
  explicit GrammarLoader(GrammarLoaderOptions options);
  ~GrammarLoader();  // what waits is dropped; what is being compiled is waited for
  GrammarLoader(const GrammarLoader&) = delete;
  GrammarLoader& operator=(const GrammarLoader&) = delete;

  // `field` names the grammar in errors. RESOURCE_EXHAUSTED: too many wait already.
  Status Load(uint64_t request, GrammarSpec spec, std::string field);

  struct Loaded {
    uint64_t request = 0;
    StatusOr<std::shared_ptr<const CompiledGrammar>> grammar;
  };
  // What has been compiled since the last call, in the order of Load.
  std::vector<Loaded> Take();

 private:
  struct Job {
    uint64_t request = 0;
    GrammarSpec spec;
    std::string field;
  };

  void Work();
  StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const Job& job);

  const GrammarLoaderOptions options_;
  std::unique_ptr<GrammarCompiler> compiler_;  // the thread's own

  std::mutex mu_;
  std::condition_variable arrived_;
  std::deque<Job> waiting_;
  std::vector<Loaded> loaded_;
  bool stopping_ = false;
  std::thread thread_;  // started by the first Load
};

}  // namespace phalanx
