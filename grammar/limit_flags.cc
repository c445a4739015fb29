#include "grammar/limit_flags.h"

#include <CLI/CLI.hpp>

namespace phalanx {
namespace {

template <typename T>
void AddLimit(CLI::App& app, const char* flag, T& value, int most, const char* help) {
  app.add_option(flag, value, help)
      ->check(CLI::Range(1, most))
      ->group("Limits")
      ->capture_default_str();
}

}  // namespace

void AddGrammarLimits(CLI::App& app, GrammarLimits& limits) {
  constexpr int kMost = 1 << 30;
  // What is deeper takes more stack than a thread has.
  constexpr int kMostDepth = 64;
  AddLimit(app, "--max-grammar-bytes", limits.max_source_bytes, kMost,
           "text of one schema, expression or grammar");
  AddLimit(app, "--max-grammar-depth", limits.max_schema_depth, kMostDepth,
           "nesting of its subschemas, groups or formats");
  AddLimit(app, "--max-grammar-repetitions", limits.max_repetitions, kMost,
           "one bound of repetition in it");
  AddLimit(app, "--max-grammar-states", limits.max_states, kMost,
           "its literals and classes with all repetitions written out");
  AddLimit(app, "--max-grammar-compile-ms", limits.compile_ms, kMost,
           "processor time for compiling it");
}

}  // namespace phalanx
