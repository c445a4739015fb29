// The filters whose input is a list or a mapping.
#include <algorithm>
#include <memory>
#include <utility>

#include "text/jinja/attribute_path.h"
#include "text/jinja/attributes.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

Value First(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("first", arguments, {});
  Value item;
  if (Iterate(input)->Next(&item)) return item;
  return Value::Undefined("No first item, sequence was empty.");
}

Value Last(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("last", arguments, {});
  const auto iterator = TryReverse(input);
  if (iterator == nullptr) {
    Throw(ErrorKind::kType, "'{}' object is not reversible", TypeName(input));
  }
  Value item;
  if (iterator->Next(&item)) return item;
  return Value::Undefined("No last item, sequence was empty.");
}

Value Length(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("length", arguments, {});
  return Value::Int(LengthOf(input));
}

Value List(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("list", arguments, {});
  return Value::List(ToList(input));
}

Value Join(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  const Parameters parameters("join", arguments, {"d", "attribute"});
  const std::string separator = parameters.Has(0) ? ToText(parameters[0]) : "";
  const AttributePath path(parameters.ValueOr(1, Value::None()));
  const auto iterator = Iterate(input);
  std::string out, buffer;
  bool is_first = true;
  for (Value item; iterator->Next(&item);) {
    interpreter.Step();
    if (!std::exchange(is_first, false)) out += separator;
    out += TextOf(path.Of(item), &buffer);
    if (out.size() > kMaxStringBytes) {
      Throw(ErrorKind::kLimit, "a string has more than {} bytes", kMaxStringBytes);
    }
  }
  return Value::String(std::move(out));
}

Value Reverse(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("reverse", arguments, {});
  if (input.IsString()) {
    return Slice(input, Value::None(), Value::None(), Value::Int(-1));
  }
  if (auto iterator = TryReverse(input)) return Value::FromObject(std::move(iterator));
  Values items = ToList(input);
  std::reverse(items.begin(), items.end());
  return Value::List(std::move(items));
}

// Indices in the order of their keys.
std::vector<size_t> SortedByKey(const Values& keys, bool is_reversed) {
  std::vector<size_t> order(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return is_reversed ? Less(keys[b], keys[a]) : Less(keys[a], keys[b]);
  });
  return order;
}

Value Sort(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  const Parameters parameters("sort", arguments, {"reverse", "case_sensitive", "attribute"});
  std::vector<AttributePath> paths;
  const Value attribute = parameters.ValueOr(2, Value::None());
  if (attribute.IsString()) {
    for (const std::string_view part : Split(attribute.str(), ",", -1)) {
      paths.emplace_back(Value::String(std::string(part)));
    }
  } else {
    paths.emplace_back(attribute);
  }
  const Values items = ToList(input);
  interpreter.Step(static_cast<int64_t>(items.size()));
  Values keys;
  for (const Value& item : items) {
    Values key;
    for (const AttributePath& path : paths) {
      Value value = path.Of(item);
      key.push_back(parameters.IsTrueAt(1) ? std::move(value) : IgnoreCase(value));
    }
    keys.push_back(Value::List(std::move(key)));
  }
  Values sorted;
  for (const size_t i : SortedByKey(keys, parameters.IsTrueAt(0))) sorted.push_back(items[i]);
  return Value::List(std::move(sorted));
}

Value DictSort(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("dictsort", arguments, {"case_sensitive", "by", "reverse"});
  const std::string by = parameters.Has(1) ? ToText(parameters[1]) : "key";
  if (by != "key" && by != "value") {
    Throw(ErrorKind::kValue, "dictsort sorts by \"key\" or \"value\", not {}", ReprText(by));
  }
  if (input.IsUndefined()) ThrowUndefined(input);
  if (!input.Is(Type::kDict)) {
    Throw(ErrorKind::kType, "dictsort takes a mapping, not '{}'", TypeName(input));
  }
  Values keys;
  for (const Dict::Entry& entry : input.dict().entries()) {
    const Value& key = by == "key" ? entry.key : entry.value;
    keys.push_back(parameters.IsTrueAt(0) ? key : IgnoreCase(key));
  }
  Values sorted;
  for (const size_t i : SortedByKey(keys, parameters.IsTrueAt(2))) {
    const Dict::Entry& entry = input.dict().entries()[i];
    sorted.push_back(Value::Tuple({entry.key, entry.value}));
  }
  return Value::List(std::move(sorted));
}

Value GroupBy(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("groupby", arguments, {"attribute", "default", "case_sensitive"}, 1);
  const AttributePath path(parameters[0], parameters.ValueOr(1, Value::None()));
  const Values items = ToList(input);
  Values keys;
  for (const Value& item : items) {
    Value key = path.Of(item);
    keys.push_back(parameters.IsTrueAt(2) ? std::move(key) : IgnoreCase(key));
  }
  Values groups, group;
  const std::vector<size_t> order = SortedByKey(keys, false);
  for (size_t i = 0; i < order.size(); ++i) {
    group.push_back(items[order[i]]);
    const bool is_last = i + 1 == order.size() || !Equals(keys[order[i]], keys[order[i + 1]]);
    if (!is_last) continue;
    // The group's name has the case of its first item's.
    Value name = parameters.IsTrueAt(2) ? keys[order[i]] : path.Of(group[0]);
    groups.push_back(Value::Group(std::move(name), Value::List(std::exchange(group, {}))));
  }
  return Value::List(std::move(groups));
}

Value Unique(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  const Parameters parameters("unique", arguments, {"case_sensitive", "attribute"});
  const bool is_case_sensitive = parameters.IsTrueAt(0);
  return MakeGenerator(
      input, [&interpreter, input, is_case_sensitive, source = std::shared_ptr<Iterator>(),
              seen = std::make_shared<Dict>(),
              path = AttributePath(parameters.ValueOr(1, Value::None()))](Value* item) mutable {
        if (source == nullptr) source = Iterate(input);
        while (source->Next(item)) {
          interpreter.Step();
          Value key = path.Of(*item);
          if (!is_case_sensitive) key = IgnoreCase(key);
          if (seen->Find(key) != nullptr) continue;
          seen->Set(key, Value::None());
          return true;
        }
        return false;
      });
}

enum class Extreme { kLeast, kGreatest };

template <Extreme extreme>
Value Extremum(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  const Parameters parameters("min or max", arguments, {"case_sensitive", "attribute"});
  const AttributePath path(parameters.ValueOr(1, Value::None()));
  const auto iterator = Iterate(input);
  Value best, best_key;
  for (Value item; iterator->Next(&item);) {
    interpreter.Step();
    Value key = path.Of(item);
    if (!parameters.IsTrueAt(0)) key = IgnoreCase(key);
    const bool is_better = best.Is(Type::kMissing) ||
                           (extreme == Extreme::kLeast ? Less(key, best_key) : Less(best_key, key));
    if (!is_better) continue;
    best = item;
    best_key = std::move(key);
  }
  if (best.Is(Type::kMissing)) {
    return Value::Undefined("No aggregated item, sequence was empty.");
  }
  return best;
}

Value Sum(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  const Parameters parameters("sum", arguments, {"attribute", "start"});
  const AttributePath path(parameters.ValueOr(0, Value::None()));
  Value sum = parameters.ValueOr(1, Value::Int(0));
  if (sum.IsString()) Throw(ErrorKind::kType, "sum cannot sum strings");
  const auto iterator = Iterate(input);
  for (Value item; iterator->Next(&item);) {
    interpreter.Step();
    sum = Binary(BinaryOp::kAdd, sum, path.Of(item));
    interpreter.Charge(sum);
  }
  return sum;
}

Value Items(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters none("items", arguments, {});
  return MakeGenerator(input, [input, next = size_t{0}](Value* item) mutable {
    if (input.IsUndefined()) return false;
    if (!input.Is(Type::kDict)) Throw(ErrorKind::kType, "can only get item pairs from a mapping");
    if (next == input.dict().size()) return false;
    const Dict::Entry& entry = input.dict().entries()[next++];
    *item = Value::Tuple({entry.key, entry.value});
    return true;
  });
}

Value Batch(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  const Parameters parameters("batch", arguments, {"linecount", "fill_with"}, 1);
  const Value& count = parameters[0];
  const Value fill = parameters.ValueOr(1, Value::None());
  return MakeGenerator(input,
                       [&interpreter, input, count, fill, source = std::shared_ptr<Iterator>(),
                        is_done = false](Value* batch) mutable {
                         if (is_done) return false;
                         if (source == nullptr) source = Iterate(input);
                         Values items;
                         const auto is_full = [&] {
                           return Equals(Value::Int(static_cast<int64_t>(items.size())), count);
                         };
                         while (items.empty() || !is_full()) {
                           Value item;
                           if (!source->Next(&item)) {
                             is_done = true;
                             break;
                           }
                           interpreter.Step();
                           items.push_back(std::move(item));
                         }
                         if (items.empty()) return false;
                         if (is_done && !fill.Is(Type::kNone)) {
                           const int64_t size = ToIndex(count, "the size of a batch");
                           if (size > static_cast<int64_t>(kMaxListItems))
                             Throw(ErrorKind::kLimit, "a batch is too large");
                           while (static_cast<int64_t>(items.size()) < size) items.push_back(fill);
                         }
                         *batch = Value::List(std::move(items));
                         return true;
                       });
}

Value SliceFilter(Interpreter& interpreter, const Value& input, Arguments& arguments) {
  const Parameters parameters("slice", arguments, {"slices", "fill_with"}, 1);
  const Value& count = parameters[0];
  const Value fill = parameters.ValueOr(1, Value::None());
  return MakeGenerator(input, [&interpreter, input, count, fill, items = std::optional<Values>(),
                               number = int64_t{0}](Value* slice) mutable {
    interpreter.Step();
    if (!items) items = ToList(input);
    const int64_t slices = ToIndex(count, "the number of slices");
    if (slices == 0) Throw(ErrorKind::kValue, "division by zero");
    if (number >= slices) return false;
    const auto length = static_cast<int64_t>(items->size());
    const int64_t size = length / slices;
    const int64_t with_one_more = length % slices;
    const int64_t start = number * size + std::min(number, with_one_more);
    const int64_t end = start + size + (number < with_one_more ? 1 : 0);
    Values part(items->begin() + start, items->begin() + end);
    if (!fill.Is(Type::kNone) && number >= with_one_more) part.push_back(fill);
    ++number;
    *slice = Value::List(std::move(part));
    return true;
  });
}

Value Default(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("default", arguments, {"default_value", "boolean"});
  const bool is_replaced = input.IsUndefined() || (parameters.IsTrueAt(1) && !IsTrue(input));
  return is_replaced ? parameters.ValueOr(0, Value::String("")) : input;
}

Value Attribute(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("attr", arguments, {"name"}, 1);
  const Value name = Value::String(parameters.Text(0));
  // Unlike a dot it does not fall back to a mapping's keys.
  if (input.Is(Type::kDict) && FindMethod(input, name.str()) == nullptr) {
    return Value::Undefined(fmt::format("'dict object' has no attribute {}", Repr(name)));
  }
  return GetAttribute(input, name);
}

constexpr FilterEntry kFilters[] = {
    {"first", First},
    {"last", Last},
    {"length", Length},
    {"count", Length},
    {"list", List},
    {"join", Join},
    {"reverse", Reverse},
    {"sort", Sort},
    {"dictsort", DictSort},
    {"groupby", GroupBy},
    {"unique", Unique},
    {"min", Extremum<Extreme::kLeast>},
    {"max", Extremum<Extreme::kGreatest>},
    {"sum", Sum},
    {"items", Items},
    {"batch", Batch},
    {"slice", SliceFilter},
    {"default", Default},
    {"d", Default},
    {"attr", Attribute},
    {"tojson", ToJson},
};

}  // namespace

std::span<const FilterEntry> SequenceFilters() { return kFilters; }

}  // namespace phalanx::jinja
