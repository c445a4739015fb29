// obj.name and obj[key] as Jinja's sandbox resolves them: data, and a list of methods that only
// compute.
#pragma once

#include <span>
#include <string_view>

#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

struct MethodEntry {
  std::string_view name;
  Value (*call)(Interpreter& interpreter, const Value& self, Arguments& arguments);
};

// nullptr: `object` has no such method.
const MethodEntry* FindMethod(const Value& object, std::string_view name);

// Undefined where there is nothing; throws where `object` is undefined itself.
Value GetAttribute(const Value& object, const Value& name);
Value GetItem(const Value& object, const Value& key);

// The parts of the list.
std::span<const MethodEntry> TextMethods();   // str, the half that gives strings and lists
std::span<const MethodEntry> QueryMethods();  // str, the other half
std::span<const MethodEntry> SequenceMethods();
std::span<const MethodEntry> DictMethods();
std::span<const MethodEntry> NumberMethods();

}  // namespace phalanx::jinja
