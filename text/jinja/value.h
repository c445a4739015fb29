// What a template computes with: Python's values as far as a sandboxed Jinja can make them. Values
// are immutable, except objects (namespaces, loops, iterators), which are shared by reference.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace phalanx::jinja {

class BigInt;
class Dict;
class Object;
class Value;

using Values = std::vector<Value>;

enum class Type : uint8_t {
  kMissing,  // a variable's slot that holds nothing; never seen by an operation
  kUndefined,
  kNone,
  kBool,
  kInt,     // fits int64_t
  kBigInt,  // does not
  kFloat,
  kString,
  kList,
  kTuple,
  kDict,
  kObject,
};

// Values may hold values this deep; what would be deeper is an error, so that nothing that walks
// them runs out of stack.
inline constexpr int kMaxValueDepth = 200;

struct Text {
  std::string bytes;  // well-formed UTF-8
  bool is_markup;     // markupsafe.Markup: what `safe` and `escape` return
};

struct Sequence {
  Values items;
  int depth;
  bool is_group;  // of groupby: a tuple whose members are also named grouper and list
};

// Why a value is undefined; what is done with it decides whether that is an error.
struct Missing {
  std::string message;
  bool is_unsafe;  // the sandbox hides it
};

enum class Markup { kNo, kYes };

class Value {
 public:
  Value() = default;  // missing
  static Value None() { return Value(Type::kNone); }
  static Value Undefined(std::string message);
  static Value Unsafe(std::string message);
  static Value Bool(bool value);
  static Value Int(int64_t value);
  static Value Int(BigInt value);  // kInt where it fits
  static Value Float(double value);
  static Value String(std::string bytes, Markup markup = Markup::kNo);
  static Value List(Values items);
  static Value Tuple(Values items);
  static Value Group(Value grouper, Value list);
  static Value FromDict(Dict dict);
  static Value FromObject(std::shared_ptr<Object> object);

  Type type() const { return type_; }
  bool Is(Type type) const { return type_ == type; }
  bool IsUndefined() const { return type_ == Type::kUndefined; }
  bool IsString() const { return type_ == Type::kString; }
  bool IsSequence() const { return type_ == Type::kList || type_ == Type::kTuple; }
  bool IsInteger() const {  // as Python's int is one, bool included
    return type_ == Type::kInt || type_ == Type::kBigInt || type_ == Type::kBool;
  }
  bool IsNumber() const { return IsInteger() || type_ == Type::kFloat; }

  bool boolean() const { return integer_ != 0; }
  int64_t integer() const { return integer_; }  // also of a bool
  double real() const { return real_; }
  const BigInt& big() const { return *static_cast<const BigInt*>(heap_.get()); }
  const std::string& str() const { return text().bytes; }
  const Text& text() const { return *static_cast<const Text*>(heap_.get()); }
  bool is_markup() const { return IsString() && text().is_markup; }
  const Values& items() const { return sequence().items; }
  const Sequence& sequence() const { return *static_cast<const Sequence*>(heap_.get()); }
  const Dict& dict() const { return *static_cast<const Dict*>(heap_.get()); }
  const Missing& missing() const { return *static_cast<const Missing*>(heap_.get()); }
  Object& object() const { return *static_cast<Object*>(heap_.get()); }
  std::shared_ptr<Object> shared_object() const { return std::static_pointer_cast<Object>(heap_); }

  // dynamic_cast of an object; nullptr for every other value.
  template <typename T>
  T* As() const {
    return type_ == Type::kObject ? dynamic_cast<T*>(&object()) : nullptr;
  }

  // Python's `is`, for values that have an identity of their own.
  bool IsSame(const Value& other) const;
  int Depth() const;

 private:
  explicit Value(Type type) : type_(type) {}
  template <typename T>
  Value(Type type, std::shared_ptr<T> heap) : type_(type), heap_(std::move(heap)) {}

  Type type_ = Type::kMissing;
  union {
    int64_t integer_ = 0;
    double real_;
  };
  std::shared_ptr<void> heap_;
};

// A dict: keys keep the order in which they were first set.
class Dict {
 public:
  struct Entry {
    Value key;
    Value value;
  };

  // Throws for keys that cannot be hashed.
  void Set(Value key, Value value);
  void Set(std::string_view key, Value value);
  const Value* Find(const Value& key) const;
  const Value* Find(std::string_view key) const;

  const std::vector<Entry>& entries() const { return entries_; }
  size_t size() const { return entries_.size(); }
  int depth() const { return depth_; }

 private:
  static constexpr size_t kSmall = 8;  // up to here a search is cheaper than a hash

  template <typename Equal>
  size_t Position(size_t hash, const Equal& equal) const;
  void Append(size_t hash, Value key, Value value);

  std::vector<Entry> entries_;
  std::vector<size_t> hashes_;                           // of the keys
  std::unordered_multimap<size_t, uint32_t> positions_;  // by hash, once larger than kSmall
  int depth_ = 1;
};

// Everything with an identity: functions, macros, loops, iterators, namespaces, ranges.
class Object {
 public:
  explicit Object(int depth) : depth_(depth) {}
  virtual ~Object() = default;
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  virtual std::string_view type_name() const = 0;
  // What str() shows between < and >; of objects that are not data it is not Python's, which names
  // an address.
  virtual std::string Description() { return std::string(type_name()) + " object"; }
  // len(), where there is one.
  virtual std::optional<int64_t> Size() { return std::nullopt; }
  // Lets go of everything that it holds, so that what holds each other is freed.
  virtual void Clear() {}
  int depth() const { return depth_; }

 private:
  int depth_;
};

// The depth of what holds a value of depth `inner`; throws beyond kMaxValueDepth.
int DepthAbove(int inner);

std::string_view TypeName(const Value& value);  // "str", "int", "Undefined", ...

bool IsHashable(const Value& value);
// Python's hash; throws for what is not hashable.
size_t HashOf(const Value& value);
size_t HashOf(std::string_view text);

}  // namespace phalanx::jinja
