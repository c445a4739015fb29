// What a client may ask its answer to fit, and the bounds that are checked before anything is
// built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/status.h"

namespace phalanx {

struct GrammarSpec {
  enum class Kind {
    kJsonObject,  // any JSON object; `source` is empty
    kJsonSchema,  // `source` is a JSON schema
    kRegex,       // `source` is a regular expression that the whole text matches
    kChoice,      // the text is one of `choices`
    kEbnf,        // `source` is a grammar in EBNF, see ebnf_size.h
    // `source` is a structural tag, see structural_tag_size.h. Its keys differ from each other.
    kStructuralTag,
  };
  Kind kind = Kind::kJsonObject;
  std::string source = {};
  std::vector<std::string> choices = {};
  auto operator<=>(const GrammarSpec&) const = default;
};

// What a worker calls a request's grammar in errors; the coordinator knows the client's name of it.
inline constexpr std::string_view kGrammarField = "sampling.grammar";

struct GrammarLimits {
  size_t max_source_bytes = size_t{64} << 10;
  int max_schema_depth = 16;
  // Bounds of repetition in a schema or expression (maxItems, maxLength, {m,n}): states grow with
  // them.
  int64_t max_repetitions = 4096;
  int64_t max_states = 100'000;
  int compile_ms = 200;
};

// What can be said of a spec without a vocabulary. INVALID_ARGUMENT naming `field`, what it was and
// what is allowed.
Status CheckGrammarSpec(const GrammarSpec& spec, const GrammarLimits& limits,
                        std::string_view field);

}  // namespace phalanx
