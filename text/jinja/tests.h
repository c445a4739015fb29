// Jinja's tests: what stands behind `is`.
#pragma once

#include <string_view>

#include "text/jinja/objects.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

struct TestEntry {
  std::string_view name;
  bool (*apply)(const Value& input, Arguments& arguments);
};

const TestEntry* FindTest(std::string_view name);  // nullptr: there is none

}  // namespace phalanx::jinja
