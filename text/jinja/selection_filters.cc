// map, select, reject and their kin, and the list of all filters.
#include <utility>

#include "text/jinja/attribute_path.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"

namespace phalanx::jinja {
namespace {

// What map does to each item.
class Mapping {
 public:
  explicit Mapping(Arguments arguments) : arguments_(std::move(arguments)) {}

  Value Of(Interpreter& interpreter, const Value& item) {
    if (!std::exchange(is_prepared_, true)) Prepare();
    if (path_) return path_->Of(item);
    Arguments rest = rest_;
    return interpreter.ApplyFilter(name_, item, rest);
  }

 private:
  void Prepare() {
    std::optional<Value> attribute, otherwise;
    for (const Keyword& keyword : arguments_.keywords) {
      if (keyword.name == "attribute") attribute = keyword.value;
    }
    if (arguments_.positional.empty() && attribute) {
      for (const Keyword& keyword : arguments_.keywords) {
        if (keyword.name == "attribute") continue;
        if (keyword.name != "default") {
          Throw(ErrorKind::kType, "map: unexpected keyword argument '{}'", keyword.name);
        }
        otherwise = keyword.value;
      }
      path_.emplace(*attribute, otherwise);
      return;
    }
    if (arguments_.positional.empty()) Throw(ErrorKind::kType, "map requires a filter argument");
    name_ = arguments_.positional[0];
    rest_ = arguments_;
    rest_.positional.erase(rest_.positional.begin());
  }

  Arguments arguments_;
  bool is_prepared_ = false;
  std::optional<AttributePath> path_;
  Value name_;
  Arguments rest_;
};

Value Map(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  return MakeGenerator(input, [&interpreter, input, mapping = Mapping(std::move(arguments)),
                               source = std::shared_ptr<Iterator>()](Value* item) mutable {
    if (!IsTrue(input)) return false;
    if (source == nullptr) source = Iterate(input);
    Value next;
    if (!source->Next(&next)) return false;
    interpreter.Step();
    *item = mapping.Of(interpreter, next);
    return true;
  });
}

enum class Keeps { kPassing, kFailing };
enum class Looks { kAtItem, kAtAttribute };

// What select and reject ask of each item.
class Condition {
 public:
  Condition(Arguments arguments, Looks looks) : arguments_(std::move(arguments)), looks_(looks) {}

  bool Holds(Interpreter& interpreter, const Value& item) {
    if (!std::exchange(is_prepared_, true)) Prepare();
    const Value value = path_ ? path_->Of(item) : item;
    if (name_.Is(Type::kMissing)) return IsTrue(value);
    Arguments rest = rest_;
    return interpreter.ApplyTest(name_, value, rest);
  }

 private:
  void Prepare() {
    rest_ = std::move(arguments_);
    auto& positional = rest_.positional;
    if (looks_ == Looks::kAtAttribute) {
      if (positional.empty()) Throw(ErrorKind::kType, "missing parameter for attribute name");
      path_.emplace(positional[0]);
      positional.erase(positional.begin());
    }
    if (positional.empty()) return;
    name_ = positional[0];
    positional.erase(positional.begin());
  }

  Arguments arguments_;
  Looks looks_;
  bool is_prepared_ = false;
  std::optional<AttributePath> path_;
  Value name_;  // missing: the item itself decides
  Arguments rest_;
};

template <Keeps keeps, Looks looks>
Value Select(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  return MakeGenerator(input,
                       [&interpreter, input, condition = Condition(std::move(arguments), looks),
                        source = std::shared_ptr<Iterator>()](Value* item) mutable {
                         if (!IsTrue(input)) return false;
                         if (source == nullptr) source = Iterate(input);
                         while (source->Next(item)) {
                           interpreter.Step();
                           if (condition.Holds(interpreter, *item) == (keeps == Keeps::kPassing))
                             return true;
                         }
                         return false;
                       });
}

constexpr FilterEntry kFilters[] = {
    {"map", Map},
    {"select", Select<Keeps::kPassing, Looks::kAtItem>},
    {"reject", Select<Keeps::kFailing, Looks::kAtItem>},
    {"selectattr", Select<Keeps::kPassing, Looks::kAtAttribute>},
    {"rejectattr", Select<Keeps::kFailing, Looks::kAtAttribute>},
};

}  // namespace

std::span<const FilterEntry> SelectionFilters() { return kFilters; }

const FilterEntry* FindFilter(std::string_view name) {
  for (const auto filters :
       {TextFilters(), SequenceFilters(), SelectionFilters(), NumberFilters()}) {
    for (const FilterEntry& filter : filters) {
      if (filter.name == name) return &filter;
    }
  }
  return nullptr;
}

}  // namespace phalanx::jinja
