#include "text/jinja/loop.h"

#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"

namespace phalanx::jinja {

Loop::Loop(const Value& iterable, int depth, Recurse recurse)
    : Callable(DepthAbove(iterable.Depth())),
      iterable_(iterable),
      iterator_(Iterate(iterable)),
      depth0_(depth),
      recurse_(std::move(recurse)) {}

std::string Loop::Description() { return fmt::format("LoopContext {}/{}", index0_ + 1, Length()); }

void Loop::Clear() {
  last_changed_.reset();
  recurse_ = nullptr;
}

bool Loop::Advance(Value* item) {
  if (ahead_.empty()) return iterator_->Next(item);
  *item = std::move(ahead_.front());
  ahead_.pop_front();
  return true;
}

bool Loop::Next(Value* item) {
  if (!after_.Is(Type::kMissing)) {
    *item = std::exchange(after_, Value());
  } else if (!Advance(item)) {
    return false;
  }
  ++index0_;
  before_ = std::exchange(current_, *item);
  return true;
}

const Value& Loop::Peek() {
  if (after_.Is(Type::kMissing)) {
    Value item;
    if (Advance(&item)) after_ = std::move(item);
  }
  return after_;
}

int64_t Loop::Length() {
  if (length_) return *length_;
  const bool has_length = iterable_.IsUndefined() || iterable_.IsString() ||
                          iterable_.IsSequence() || iterable_.Is(Type::kDict) ||
                          (iterable_.Is(Type::kObject) && iterable_.object().Size().has_value());
  if (has_length) {
    length_ = LengthOf(iterable_);
  } else {
    for (Value item; iterator_->Next(&item);) ahead_.push_back(std::move(item));
    length_ =
        static_cast<int64_t>(ahead_.size()) + index0_ + 1 + (after_.Is(Type::kMissing) ? 0 : 1);
  }
  return *length_;
}

Value Loop::Attribute(std::string_view name) {
  if (name == "index") return Value::Int(index0_ + 1);
  if (name == "index0") return Value::Int(index0_);
  if (name == "first") return Value::Bool(index0_ == 0);
  if (name == "last") return Value::Bool(Peek().Is(Type::kMissing));
  if (name == "length") return Value::Int(Length());
  if (name == "revindex") return Value::Int(Length() - index0_);
  if (name == "revindex0") return Value::Int(Length() - index0_ - 1);
  if (name == "depth") return Value::Int(depth0_ + 1);
  if (name == "depth0") return Value::Int(depth0_);
  if (name == "previtem") {
    return index0_ == 0 ? Value::Undefined("there is no previous item") : before_;
  }
  if (name == "nextitem") {
    const Value& next = Peek();
    return next.Is(Type::kMissing) ? Value::Undefined("there is no next item") : next;
  }
  return {};
}

Value Loop::Cycle(const Values& items) const {
  if (items.empty()) Throw(ErrorKind::kType, "no items for cycling given");
  return items[static_cast<size_t>(index0_) % items.size()];
}

bool Loop::Changed(Values values) {
  const bool is_same = last_changed_ && Equals(Value::Tuple(*last_changed_), Value::Tuple(values));
  if (!is_same) last_changed_ = std::move(values);
  return !is_same;
}

Value Loop::Call(Interpreter&, Arguments arguments) {
  const Parameters parameters("loop", arguments, {"iterable"}, 1);
  if (!recurse_) {
    Throw(ErrorKind::kType, "the loop must have the 'recursive' marker to be called recursively");
  }
  return Value::String(recurse_(parameters[0], depth0_ + 1));
}

}  // namespace phalanx::jinja
