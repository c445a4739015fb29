#include "grammar/structural_tag_size.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>

#include "grammar/ebnf_size.h"
#include "grammar/expression_size.h"
#include "grammar/saturating.h"

namespace phalanx {
namespace {

using nlohmann::json;

class TagReader {
 public:
  TagReader(int max_depth, int64_t max_repetitions)
      : max_depth_(max_depth), max_repetitions_(max_repetitions) {}

  StatusOr<int64_t> Read(const json& format, int depth) const {
    PHALANX_ASSIGN_OR_RETURN(const std::string type, Text(format, "type"));
    return ReadAs(type, format, depth);
  }

 private:
  static Status Lacks(const char* key, const char* allowed) {
    return InvalidArgumentError("has a format without {}, allowed: {}", key, allowed);
  }

  static StatusOr<std::string> Text(const json& format, const char* key) {
    const auto found = format.is_object() ? format.find(key) : format.end();
    if (!format.is_object() || found == format.end() || !found->is_string()) {
      return Lacks(key, "a string there");
    }
    return found->get<std::string>();
  }

  static StatusOr<int64_t> TextBytes(const json& format, const char* key) {
    PHALANX_ASSIGN_OR_RETURN(const std::string text, Text(format, key));
    return static_cast<int64_t>(text.size()) + 1;
  }

  // Of a list of strings, or of none where there may be none.
  static StatusOr<int64_t> ListBytes(const json& list) {
    if (!list.is_array()) return InvalidArgumentError("has a format with no list of strings");
    int64_t sum = 0;
    for (const json& item : list) {
      if (!item.is_string()) return InvalidArgumentError("has a list that is not all strings");
      sum += static_cast<int64_t>(item.get_ref<const std::string&>().size()) + 1;
    }
    return sum;
  }

  static StatusOr<int64_t> ExcludedBytes(const json& format) {
    return ListBytes(format.value("excludes", json::array()));
  }

  StatusOr<int64_t> ReadMember(const json& format, const char* key, int depth) const {
    if (!format.contains(key)) return Lacks(key, "a format there");
    return Read(format[key], depth + 1);
  }

  StatusOr<int64_t> ReadList(const json& format, const char* key, int depth) const {
    if (!format.contains(key) || !format[key].is_array() || format[key].empty()) {
      return Lacks(key, "a list that is not empty there");
    }
    int64_t sum = 0;
    for (const json& element : format[key]) {
      // The tags of a list need not say that they are tags.
      const bool is_tag = std::string_view(key) == "tags";
      PHALANX_ASSIGN_OR_RETURN(const int64_t states, is_tag ? ReadAs("tag", element, depth + 1)
                                                            : Read(element, depth + 1));
      sum = SaturatingAdd(sum, states);
    }
    return sum;
  }

  StatusOr<int64_t> ReadTag(const json& tag, int depth) const {
    PHALANX_ASSIGN_OR_RETURN(const int64_t begin, TextBytes(tag, "begin"));
    const json end = tag.value("end", json());
    PHALANX_ASSIGN_OR_RETURN(const int64_t ends,
                             end.is_string() ? TextBytes(tag, "end") : ListBytes(end));
    PHALANX_ASSIGN_OR_RETURN(const int64_t content, ReadMember(tag, "content", depth));
    return SaturatingAdd(content, begin + ends);
  }

  StatusOr<int64_t> ReadTriggered(const json& format, int depth) const {
    PHALANX_ASSIGN_OR_RETURN(const int64_t triggers, ListBytes(format.value("triggers", json())));
    PHALANX_ASSIGN_OR_RETURN(const int64_t excluded, ExcludedBytes(format));
    PHALANX_ASSIGN_OR_RETURN(const int64_t tags, ReadList(format, "tags", depth));
    return SaturatingAdd(tags, triggers + excluded);
  }

  // max -1: as often as one likes.
  StatusOr<int64_t> ReadRepeat(const json& format, int depth) const {
    PHALANX_ASSIGN_OR_RETURN(const int64_t content, ReadMember(format, "content", depth));
    int64_t times = 1;
    for (const char* key : {"min", "max"}) {
      const json bound = format.value(key, json());
      const bool unbounded = std::string_view(key) == "max" && bound == -1;
      if (!unbounded && (!bound.is_number_integer() || bound < 0 || bound > max_repetitions_)) {
        return InvalidArgumentError("has a repeat with {} {}, allowed: 0 to {}", key, bound.dump(),
                                    max_repetitions_);
      }
      times = std::max(times, bound.get<int64_t>());
    }
    return SaturatingMultiply(content, times);
  }

  // Options beyond these may need many more states.
  static Status CheckKeys(const json& format, std::initializer_list<std::string_view> known) {
    for (const auto& [key, value] : format.items()) {
      if (std::find(known.begin(), known.end(), key) != known.end()) continue;
      return InvalidArgumentError("has a format with an option beside {}, which is not supported",
                                  fmt::join(known, ", "));
    }
    return OkStatus();
  }

  StatusOr<int64_t> ReadSchema(const json& format) const {
    PHALANX_RETURN_IF_ERROR(
        CheckKeys(format, {"type", "json_schema", "style", "max_whitespace_cnt"}));
    const json space = format.value("max_whitespace_cnt", json(0));
    if (!space.is_number_integer() || space < 0 || space > max_repetitions_) {
      return InvalidArgumentError("has max_whitespace_cnt {}, allowed: 0 to {}", space.dump(),
                                  max_repetitions_);
    }
    if (!format.contains("json_schema")) return Lacks("json_schema", "a JSON schema there");
    return SchemaStates(format["json_schema"], max_depth_, max_repetitions_);
  }

  StatusOr<int64_t> ReadAs(std::string_view type, const json& format, int depth) const {
    if (depth > max_depth_) {
      return InvalidArgumentError("has formats deeper than {}, allowed: up to that", max_depth_);
    }
    if (type == "const_string") return TextBytes(format, "value");
    if (type == "any_text") {
      PHALANX_RETURN_IF_ERROR(CheckKeys(format, {"type", "excludes"}));
      return ExcludedBytes(format);
    }
    if (type == "json_schema" || type == "qwen_xml_parameter") return ReadSchema(format);
    if (type == "regex") {
      PHALANX_ASSIGN_OR_RETURN(const std::string pattern, Text(format, "pattern"));
      return ExpressionStates(pattern, max_depth_, max_repetitions_);
    }
    if (type == "grammar") {
      PHALANX_ASSIGN_OR_RETURN(const std::string grammar, Text(format, "grammar"));
      return EbnfStates(grammar, max_depth_, max_repetitions_);
    }
    if (type == "sequence" || type == "or") return ReadList(format, "elements", depth);
    if (type == "optional" || type == "plus" || type == "star") {
      return ReadMember(format, "content", depth);
    }
    if (type == "repeat") return ReadRepeat(format, depth);
    if (type == "tag") return ReadTag(format, depth);
    if (type == "triggered_tags") return ReadTriggered(format, depth);
    if (type == "tags_with_separator") {
      PHALANX_ASSIGN_OR_RETURN(const int64_t separator, TextBytes(format, "separator"));
      PHALANX_ASSIGN_OR_RETURN(const int64_t tags, ReadList(format, "tags", depth));
      return SaturatingAdd(tags, separator);
    }
    return InvalidArgumentError(
        "has a format of a type that is not supported, allowed: const_string, any_text, "
        "json_schema, qwen_xml_parameter, regex, grammar, sequence, or, optional, plus, star, "
        "repeat, tag, triggered_tags, tags_with_separator");
  }

  int max_depth_;
  int64_t max_repetitions_;
};

}  // namespace

StatusOr<int64_t> StructuralTagStates(const json& tag, int max_depth, int64_t max_repetitions) {
  if (!tag.is_object() || tag.value("type", json("structural_tag")) != "structural_tag") {
    return InvalidArgumentError("is no object of the type structural_tag");
  }
  if (!tag.contains("format")) return InvalidArgumentError("has no format");
  return TagReader(max_depth, max_repetitions).Read(tag["format"], 1);
}

}  // namespace phalanx
