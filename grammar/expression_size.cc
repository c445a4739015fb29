#include "grammar/expression_size.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "grammar/saturating.h"
#include "grammar/schema_keywords.h"

namespace phalanx {
namespace {

// Reads an expression once, left to right.
class ExpressionReader {
 public:
  ExpressionReader(std::string_view text, int max_depth, int64_t max_repetitions)
      : text_(text), max_depth_(max_depth), max_repetitions_(max_repetitions) {}

  StatusOr<int64_t> Read() {
    std::vector<int64_t> open = {0};  // states of each group around the place
    while (at_ < text_.size()) {
      int64_t atom = 1;
      switch (text_[at_]) {
        case '(':
          if (static_cast<int>(open.size()) > max_depth_) {
            return InvalidArgumentError("has groups deeper than {}, allowed: up to that",
                                        max_depth_);
          }
          open.push_back(0);
          ++at_;
          continue;
        case ')':
          if (open.size() == 1) {
            return InvalidArgumentError("has a ')' at byte {} without its '('", at_);
          }
          ++at_;
          atom = open.back();
          open.pop_back();
          break;
        case '[':
          PHALANX_RETURN_IF_ERROR(SkipClass());
          break;
        case '\\':
          PHALANX_RETURN_IF_ERROR(SkipEscape());
          break;
        case '*':
        case '+':
        case '?':
        case '|':
          atom = 0;
          ++at_;
          break;
        default:
          ++at_;
      }
      PHALANX_ASSIGN_OR_RETURN(const int64_t times, ReadRepetition());
      open.back() = SaturatingAdd(open.back(), SaturatingMultiply(atom, times));
    }
    if (open.size() > 1) return InvalidArgumentError("has a '(' without its ')'");
    return open.back();
  }

 private:
  Status SkipClass() {
    const size_t begin = at_++;
    if (at_ < text_.size() && text_[at_] == '^') ++at_;
    if (at_ < text_.size() && text_[at_] == ']') ++at_;  // a first ']' is a member
    while (at_ < text_.size() && text_[at_] != ']') {
      if (text_[at_] != '\\') {
        ++at_;
      } else {
        PHALANX_RETURN_IF_ERROR(SkipEscape());
      }
    }
    if (at_ == text_.size()) {
      return InvalidArgumentError("has a '[' at byte {} without its ']'", begin);
    }
    ++at_;
    return OkStatus();
  }

  Status SkipEscape() {
    if (at_ + 1 == text_.size()) return InvalidArgumentError("ends inside an escape");
    const char escaped = text_[at_ + 1];
    if (escaped == 'p' || escaped == 'P') {
      return InvalidArgumentError(
          "has \\{} at byte {}, a class of characters by their Unicode property, which is not "
          "supported",
          escaped, at_);
    }
    at_ += 2;
    return OkStatus();
  }

  // {m}, {m,} or {m,n}; anything else counts once.
  StatusOr<int64_t> ReadRepetition() {
    if (at_ == text_.size() || text_[at_] != '{') return int64_t{1};
    const size_t end = text_.find('}', at_);
    if (end == std::string_view::npos) {
      return InvalidArgumentError("has a '{{' at byte {} without its '}}'", at_);
    }
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    int64_t most = 1;
    for (size_t begin = 0; begin <= inside.size();) {
      const size_t comma = std::min(inside.find(',', begin), inside.size());
      const std::string_view number = inside.substr(begin, comma - begin);
      int64_t value = 0;
      const auto [stop, error] =
          std::from_chars(number.data(), number.data() + number.size(), value);
      if (!number.empty() && (error != std::errc() || stop != number.data() + number.size() ||
                              value < 0 || value > max_repetitions_)) {
        return InvalidArgumentError("has a repetition at byte {} that is not 0 to {}", at_,
                                    max_repetitions_);
      }
      most = std::max(most, value);
      begin = comma + 1;
    }
    at_ = end + 1;
    return most;
  }

  std::string_view text_;
  int max_depth_;
  int64_t max_repetitions_;
  size_t at_ = 0;
};

class SchemaReader {
 public:
  SchemaReader(int max_depth, int64_t max_repetitions)
      : max_depth_(max_depth), max_repetitions_(max_repetitions) {}

  StatusOr<int64_t> Read(const nlohmann::json& schema, int depth) {
    PHALANX_RETURN_IF_ERROR(CheckSchemaKeywords(schema));
    if (depth > max_depth_) {
      return InvalidArgumentError("has subschemas deeper than {}, allowed: up to that", max_depth_);
    }
    if (schema.is_boolean()) return int64_t{1};
    if (!schema.is_object()) {
      return InvalidArgumentError("has a subschema that is neither an object nor a boolean");
    }
    int64_t own = 1;
    int64_t items = 0;
    for (const auto& [key, value] : schema.items()) {
      if (key == "$ref") {
        if (!value.is_string() || !value.get_ref<const std::string&>().starts_with('#')) {
          return InvalidArgumentError("has a $ref to another document, allowed: #/...");
        }
      } else if (key == "properties" || key == "patternProperties" || key == "$defs" ||
                 key == "definitions") {
        PHALANX_ASSIGN_OR_RETURN(const int64_t states, ReadMap(value, depth));
        own = SaturatingAdd(own, states);
      } else if (key == "anyOf" || key == "allOf" || key == "oneOf" || key == "prefixItems") {
        PHALANX_ASSIGN_OR_RETURN(const int64_t states, ReadList(value, depth));
        own = SaturatingAdd(own, states);
      } else if (key == "items" && !value.is_array()) {
        PHALANX_ASSIGN_OR_RETURN(items, Read(value, depth + 1));
      } else if (key == "additionalProperties" || key == "propertyNames" ||
                 key == "unevaluatedItems" || key == "unevaluatedProperties") {
        PHALANX_ASSIGN_OR_RETURN(const int64_t states, Read(value, depth + 1));
        own = SaturatingAdd(own, states);
      } else if (key == "enum" || key == "const") {
        own = SaturatingAdd(own, static_cast<int64_t>(value.dump().size()));
      } else if (key == "pattern" && value.is_string()) {
        PHALANX_ASSIGN_OR_RETURN(
            const int64_t states,
            ExpressionStates(value.get_ref<const std::string&>(), max_depth_, max_repetitions_));
        own = SaturatingAdd(own, states);
      }
    }
    for (const char* bound : {"minLength", "maxLength", "minProperties", "maxProperties"}) {
      PHALANX_ASSIGN_OR_RETURN(const int64_t times, Bound(schema, bound));
      own = SaturatingAdd(own, times);
    }
    int64_t repeated = 1;
    for (const char* bound : {"minItems", "maxItems"}) {
      PHALANX_ASSIGN_OR_RETURN(const int64_t times, Bound(schema, bound));
      repeated = std::max(repeated, times);
    }
    return SaturatingAdd(own, SaturatingMultiply(items, repeated));
  }

 private:
  StatusOr<int64_t> ReadMap(const nlohmann::json& map, int depth) {
    if (!map.is_object()) return InvalidArgumentError("has properties that are no object");
    int64_t sum = 0;
    for (const auto& [name, schema] : map.items()) {
      PHALANX_ASSIGN_OR_RETURN(const int64_t states, Read(schema, depth + 1));
      sum = SaturatingAdd(sum, SaturatingAdd(states, static_cast<int64_t>(name.size())));
    }
    return sum;
  }

  StatusOr<int64_t> ReadList(const nlohmann::json& list, int depth) {
    if (!list.is_array()) return InvalidArgumentError("has alternatives that are no list");
    int64_t sum = 0;
    for (const nlohmann::json& schema : list) {
      PHALANX_ASSIGN_OR_RETURN(const int64_t states, Read(schema, depth + 1));
      sum = SaturatingAdd(sum, states);
    }
    return sum;
  }

  StatusOr<int64_t> Bound(const nlohmann::json& schema, const char* name) const {
    const auto found = schema.find(name);
    if (found == schema.end()) return int64_t{0};
    if (!found->is_number_integer() || found->get<int64_t>() < 0 ||
        found->get<int64_t>() > max_repetitions_) {
      return InvalidArgumentError("has {} {}, allowed: 0 to {}", name, found->dump(),
                                  max_repetitions_);
    }
    return found->get<int64_t>();
  }

  int max_depth_;
  int64_t max_repetitions_;
};

}  // namespace

StatusOr<int64_t> ExpressionStates(std::string_view expression, int max_depth,
                                   int64_t max_repetitions) {
  return ExpressionReader(expression, max_depth, max_repetitions).Read();
}

StatusOr<int64_t> SchemaStates(const nlohmann::json& schema, int max_depth,
                               int64_t max_repetitions) {
  return SchemaReader(max_depth, max_repetitions).Read(schema, 1);
}

}  // namespace phalanx
