// The objects that templates meet, and iteration.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace phalanx::jinja {

class Interpreter;

struct Keyword {
  std::string name;
  Value value;
};

struct Arguments {
  Values positional;
  std::vector<Keyword> keywords;
};

class Callable : public Object {
 public:
  using Object::Object;
  virtual Value Call(Interpreter& interpreter, Arguments arguments) = 0;
};

// Python's iterators: each item comes once.
class Iterator : public Object {
 public:
  using Object::Object;
  std::string_view type_name() const override { return "generator"; }
  virtual bool Next(Value* item) = 0;  // false: there is no more
};

// One that a function makes.
class Generator final : public Iterator {
 public:
  using Function = std::function<bool(Value*)>;
  Generator(int depth, Function next) : Iterator(depth), next_(std::move(next)) {}
  bool Next(Value* item) override { return next_(item); }

 private:
  Function next_;
};

// range(); never longer than kMaxLength, as in Jinja's sandbox.
class Range final : public Object {
 public:
  static constexpr int64_t kMaxLength = 100'000;
  Range(int64_t start, int64_t stop, int64_t step);  // step != 0
  std::string_view type_name() const override { return "range"; }
  std::optional<int64_t> Size() override { return length_; }
  int64_t length() const { return length_; }
  int64_t start() const { return start_; }
  int64_t stop() const { return stop_; }
  int64_t step() const { return step_; }
  int64_t At(int64_t index) const { return start_ + index * step_; }
  Value Slice(int64_t from, int64_t to, int64_t by) const;
  bool Equals(const Range& other) const;

 private:
  int64_t start_, stop_, step_, length_;
};

// dict.keys(), values() and items().
class DictView final : public Object {
 public:
  enum class Part { kKeys, kValues, kItems };
  DictView(Value dict, Part part);
  std::string_view type_name() const override;
  std::optional<int64_t> Size() override { return static_cast<int64_t>(length()); }
  size_t length() const { return dict_.dict().size(); }
  Value At(size_t index) const;
  Part part() const { return part_; }
  const Dict& dict() const { return dict_.dict(); }

 private:
  Value dict_;
  Part part_;
};

// What namespace() makes: the only thing that a template can change.
class Namespace final : public Object {
 public:
  explicit Namespace(Dict attributes) : Object(1), attributes_(std::move(attributes)) {}
  std::string_view type_name() const override { return "Namespace"; }
  const Dict& attributes() const { return attributes_; }
  void Set(const Value& name, const Value& value);  // refuses names with an underscore in front
  void Clear() override { attributes_ = {}; }

 private:
  Dict attributes_;
};

class Cycler final : public Object {
 public:
  explicit Cycler(Values items);
  std::string_view type_name() const override { return "Cycler"; }
  const Values& items() const { return items_; }
  const Value& current() const { return items_[position_]; }
  size_t position() const { return position_; }
  void Advance() { position_ = (position_ + 1) % items_.size(); }
  void Reset() { position_ = 0; }

 private:
  Values items_;
  size_t position_ = 0;
};

// A function of this library, or a method bound to its receiver.
class Builtin final : public Callable {
 public:
  using Function = std::function<Value(Interpreter&, Arguments&)>;
  Builtin(std::string name, int depth, Function function)
      : Callable(depth), name_(std::move(name)), function_(std::move(function)) {}
  std::string_view type_name() const override { return "builtin_function_or_method"; }
  const std::string& name() const { return name_; }
  Value Call(Interpreter& interpreter, Arguments arguments) override {
    return function_(interpreter, arguments);
  }

 private:
  std::string name_;
  Function function_;
};

Value MakeGenerator(const Value& source, Generator::Function next);  // deeper than `source` by one

// iter(value); nullptr where it is not iterable.
std::shared_ptr<Iterator> TryIterate(const Value& value);
// The same, which throws instead.
std::shared_ptr<Iterator> Iterate(const Value& value);
// reversed(value); nullptr where Python cannot.
std::shared_ptr<Iterator> TryReverse(const Value& value);
// list(value).
Values ToList(const Value& value);

}  // namespace phalanx::jinja
