// The `loop` of a for statement.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

class Loop final : public Callable {
 public:
  using Recurse = std::function<std::string(const Value& iterable, int depth)>;

  // `recurse` is empty where the loop is not recursive.
  Loop(const Value& iterable, int depth, Recurse recurse);

  std::string_view type_name() const override { return "LoopContext"; }
  std::string Description() override;
  std::optional<int64_t> Size() override { return Length(); }
  void Clear() override;

  bool Next(Value* item);

  // loop.NAME of data; missing where there is none.
  Value Attribute(std::string_view name);
  Value Cycle(const Values& items) const;
  bool Changed(Values values);
  Value Call(Interpreter& interpreter, Arguments arguments) override;

 private:
  bool Advance(Value* item);
  const Value& Peek();  // missing: there is no more
  int64_t Length();

  Value iterable_;
  std::shared_ptr<Iterator> iterator_;
  std::deque<Value> ahead_;  // what was read before its turn, for length
  Value after_;              // what was read before its turn, for last and nextitem
  Value before_, current_;
  int64_t index0_ = -1;
  std::optional<int64_t> length_;
  int depth0_;
  Recurse recurse_;
  std::optional<Values> last_changed_;
};

}  // namespace phalanx::jinja
