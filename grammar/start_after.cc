#include "grammar/start_after.h"

#include <utility>

namespace phalanx {
namespace {

class WaitingMatcher final : public GrammarMatcher {
 public:
  WaitingMatcher(int32_t token_id, std::unique_ptr<GrammarMatcher> matcher)
      : token_id_(token_id), matcher_(std::move(matcher)) {}

  bool Accept(int32_t token_id) override {
    if (place_ == Place::kBehind) return matcher_->Accept(token_id);
    if (token_id == token_id_) place_ = Place::kBehind;
    return true;
  }

  Mask FillMask(std::span<uint32_t> words) override {
    return place_ == Place::kBehind ? matcher_->FillMask(words) : Mask::kEverything;
  }

  bool finished() const override { return matcher_->finished(); }

 private:
  enum class Place { kBefore, kBehind };

  const int32_t token_id_;
  const std::unique_ptr<GrammarMatcher> matcher_;
  Place place_ = Place::kBefore;
};

class WaitingGrammar final : public CompiledGrammar {
 public:
  WaitingGrammar(int32_t token_id, std::shared_ptr<const CompiledGrammar> grammar)
      : token_id_(token_id), grammar_(std::move(grammar)) {}

  std::unique_ptr<GrammarMatcher> NewMatcher(std::span<const int32_t> stop_ids) const override {
    return std::make_unique<WaitingMatcher>(token_id_, grammar_->NewMatcher(stop_ids));
  }

 private:
  const int32_t token_id_;
  const std::shared_ptr<const CompiledGrammar> grammar_;
};

}  // namespace

std::shared_ptr<const CompiledGrammar> StartAfter(int32_t token_id,
                                                  std::shared_ptr<const CompiledGrammar> grammar) {
  return std::make_shared<WaitingGrammar>(token_id, std::move(grammar));
}

}  // namespace phalanx
