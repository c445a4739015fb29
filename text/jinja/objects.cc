#include "text/jinja/objects.h"

#include <algorithm>

#include "text/jinja/error.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

int64_t RangeLength(int64_t start, int64_t stop, int64_t step) {
  const auto low = static_cast<__int128>(step > 0 ? start : stop);
  const auto high = static_cast<__int128>(step > 0 ? stop : start);
  if (low >= high) return 0;
  const __int128 by = step > 0 ? static_cast<__int128>(step) : -static_cast<__int128>(step);
  const __int128 length = (high - low - 1) / by + 1;
  if (length > Range::kMaxLength) {
    Throw(ErrorKind::kLimit, "range has more than {} items", Range::kMaxLength);
  }
  return static_cast<int64_t>(length);
}

// The items of `value` one by one, by their index; the value is kept alive.
template <typename At>
std::shared_ptr<Iterator> ByIndex(const Value& value, size_t size, At at) {
  return std::make_shared<Generator>(DepthAbove(value.Depth()),
                                     [value, size, at, next = size_t{0}](Value* item) mutable {
                                       if (next == size) return false;
                                       *item = at(value, next++);
                                       return true;
                                     });
}

template <typename Transform>
std::shared_ptr<Iterator> IterateIn(const Value& value, Transform position) {
  switch (value.type()) {
    case Type::kUndefined:
      return ByIndex(value, 0, [](const Value&, size_t) { return Value(); });
    case Type::kList:
    case Type::kTuple:
      return ByIndex(value, value.items().size(), [position](const Value& list, size_t i) {
        return list.items()[position(i, list.items().size())];
      });
    case Type::kDict:
      return ByIndex(value, value.dict().size(), [position](const Value& dict, size_t i) {
        return dict.dict().entries()[position(i, dict.dict().size())].key;
      });
    case Type::kString: {
      const auto points = std::make_shared<CodePoints>(value.str());
      return ByIndex(value, points->size(), [position, points](const Value&, size_t i) {
        return Value::String(std::string((*points)[position(i, points->size())]));
      });
    }
    case Type::kObject:
      break;
    default:
      return nullptr;
  }
  if (const auto* range = value.As<Range>()) {
    const auto size = static_cast<size_t>(range->length());
    return ByIndex(value, size, [range, position, size](const Value&, size_t i) {
      return Value::Int(range->At(static_cast<int64_t>(position(i, size))));
    });
  }
  if (const auto* view = value.As<DictView>()) {
    const auto size = view->length();
    return ByIndex(value, size, [view, position, size](const Value&, size_t i) {
      return view->At(position(i, size));
    });
  }
  return nullptr;
}

}  // namespace

Range::Range(int64_t start, int64_t stop, int64_t step)
    : Object(1), start_(start), stop_(stop), step_(step), length_(RangeLength(start, stop, step)) {}

Value Range::Slice(int64_t from, int64_t to, int64_t by) const {
  // The range's own indices are small; only its values may be large.
  return Value::FromObject(std::make_shared<Range>(At(from), At(to), step_ * by));
}

bool Range::Equals(const Range& other) const {
  if (length_ != other.length_) return false;
  if (length_ == 0) return true;
  return start_ == other.start_ && (length_ == 1 || step_ == other.step_);
}

DictView::DictView(Value dict, Part part)
    : Object(DepthAbove(dict.Depth())), dict_(std::move(dict)), part_(part) {}

std::string_view DictView::type_name() const {
  switch (part_) {
    case Part::kKeys:
      return "dict_keys";
    case Part::kValues:
      return "dict_values";
    case Part::kItems:
      return "dict_items";
  }
  return "";
}

Value DictView::At(size_t index) const {
  const Dict::Entry& entry = dict_.dict().entries()[index];
  switch (part_) {
    case Part::kKeys:
      return entry.key;
    case Part::kValues:
      return entry.value;
    case Part::kItems:
      return Value::Tuple({entry.key, entry.value});
  }
  return {};
}

void Namespace::Set(const Value& name, const Value& value) {
  if (name.IsString() && name.str().starts_with('_')) {
    Throw(ErrorKind::kSecurity, "a namespace cannot store the attribute '{}'", name.str());
  }
  attributes_.Set(name, value);
}

Cycler::Cycler(Values items) : Object(Value::List(items).Depth()), items_(std::move(items)) {}

Value MakeGenerator(const Value& source, Generator::Function next) {
  return Value::FromObject(
      std::make_shared<Generator>(DepthAbove(source.Depth()), std::move(next)));
}

std::shared_ptr<Iterator> TryIterate(const Value& value) {
  if (value.As<Iterator>() != nullptr) {
    return std::static_pointer_cast<Iterator>(value.shared_object());
  }
  return IterateIn(value, [](size_t i, size_t) { return i; });
}

std::shared_ptr<Iterator> Iterate(const Value& value) {
  auto iterator = TryIterate(value);
  if (iterator == nullptr) {
    Throw(ErrorKind::kType, "'{}' object is not iterable", TypeName(value));
  }
  return iterator;
}

std::shared_ptr<Iterator> TryReverse(const Value& value) {
  return IterateIn(value, [](size_t i, size_t size) { return size - 1 - i; });
}

Values ToList(const Value& value) {
  if (value.IsSequence()) return value.items();
  const auto iterator = Iterate(value);
  Values items;
  for (Value item; iterator->Next(&item);) {
    if (items.size() == kMaxListItems) {
      Throw(ErrorKind::kLimit, "a list has more than {} items", kMaxListItems);
    }
    items.push_back(std::move(item));
  }
  return items;
}

}  // namespace phalanx::jinja
