// A grammar compiler that needs no grammar library: it takes as long as a test lets it.
#pragma once

#include <atomic>
#include <memory>
#include <span>

#include "grammar/grammar.h"

namespace phalanx::testing {

class NoGrammar final : public CompiledGrammar {
 public:
  std::unique_ptr<GrammarMatcher> NewMatcher(std::span<const int32_t>) const override {
    return nullptr;
  }
};

// Refuses what is spelled "bad"; "slow" waits until it is let go.
class FakeGrammarCompiler final : public GrammarCompiler {
 public:
  explicit FakeGrammarCompiler(const std::atomic<bool>& let_go) : let_go_(let_go) {}
  StatusOr<std::shared_ptr<const CompiledGrammar>> Compile(const GrammarSpec& spec,
                                                           std::string_view field) override {
    if (spec.source == "slow") let_go_.wait(false);
    if (spec.source == "bad") return InvalidArgumentError("{}: is bad", field).WithField(field);
    return std::make_shared<const NoGrammar>();
  }

 private:
  const std::atomic<bool>& let_go_;
};

}  // namespace phalanx::testing
