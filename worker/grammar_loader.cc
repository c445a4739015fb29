#include "worker/grammar_loader.h"

#include <utility>

namespace phalanx {

GrammarLoader::GrammarLoader(GrammarLoaderOptions options) : options_(std::move(options)) {}

GrammarLoader::~GrammarLoader() {
  {
    std::lock_guard lock(mu_);
    stopping_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
}

Status GrammarLoader::Load(uint64_t request, GrammarSpec spec, std::string field) {
  {
    std::lock_guard lock(mu_);
    if (waiting_.size() >= options_.max_waiting) {
      return ResourceExhaustedError("{}: {} others wait for being compiled", field,
                                    waiting_.size());
    }
    waiting_.push_back({request, std::move(spec), std::move(field)});
    if (!thread_.joinable()) thread_ = std::thread([this] { Work(); });
  }
  arrived_.notify_one();
  return OkStatus();
}

std::vector<GrammarLoader::Loaded> GrammarLoader::Take() {
  std::lock_guard lock(mu_);
  return std::exchange(loaded_, {});
}

void GrammarLoader::Work() {
  std::unique_lock lock(mu_);
  for (;;) {
    arrived_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (stopping_) return;
    const Job job = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    Loaded loaded{job.request, Compile(job)};
    lock.lock();
    loaded_.push_back(std::move(loaded));
    lock.unlock();
    options_.on_loaded();
    lock.lock();
  }
}

StatusOr<std::shared_ptr<const CompiledGrammar>> GrammarLoader::Compile(const Job& job) {
  if (compiler_ == nullptr) {
    PHALANX_ASSIGN_OR_RETURN(compiler_, options_.make_compiler());
  }
  return compiler_->Compile(job.spec, job.field);
}

}  // namespace phalanx
