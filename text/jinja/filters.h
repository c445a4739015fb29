// Jinja's filters, and transformers' tojson.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

struct FilterEntry {
  std::string_view name;
  Value (*apply)(Interpreter& interpreter, const Value& input, Arguments& arguments);
};

const FilterEntry* FindFilter(std::string_view name);  // nullptr: there is none

// The parts of the list.
std::span<const FilterEntry> TextFilters();
std::span<const FilterEntry> NumberFilters();
std::span<const FilterEntry> SequenceFilters();
std::span<const FilterEntry> SelectionFilters();

Value ToJson(Interpreter& interpreter, const Value& input, Arguments& arguments);

}  // namespace phalanx::jinja
