// transformers' tojson: json.dumps without ASCII escapes.
#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/filters.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/print.h"
#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

struct JsonStyle {
  bool is_ascii = false;
  bool sorts_keys = false;
  std::optional<std::string> indent;  // one level's; nullopt: all in one line
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

class Writer {
 public:
  explicit Writer(const JsonStyle& style) : style_(style) {}

  void Append(const Value& value) {
    if (out_.size() > kMaxStringBytes) Throw(ErrorKind::kLimit, "the JSON text is too large");
    switch (value.type()) {
      case Type::kNone:
        out_ += "null";
        break;
      case Type::kBool:
        out_ += value.boolean() ? "true" : "false";
        break;
      case Type::kInt:
        out_ += std::to_string(value.integer());
        break;
      case Type::kBigInt:
        out_ += value.big().ToString();
        break;
      case Type::kFloat:
        out_ += NumberText(value.real());
        break;
      case Type::kString:
        AppendText(value.str());
        break;
      case Type::kList:
      case Type::kTuple:
        AppendList(value.items());
        break;
      case Type::kDict:
        AppendDict(value.dict());
        break;
      default:
        Throw(ErrorKind::kType, "object of type {} is not JSON serializable", TypeName(value));
    }
  }

  std::string Take() && { return std::move(out_); }

 private:
  static std::string NumberText(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
    return FloatText(value);
  }

  void AppendEscape(uint32_t unit) { out_ += fmt::format("\\u{:04x}", unit); }

  void AppendText(std::string_view text) {
    out_.push_back('"');
    for (size_t at = 0; at < text.size();) {
      const CodePoint point = DecodeCodePoint(text.data() + at);
      AppendCharacter(point.value, text.substr(at, point.length_bytes));
      at += point.length_bytes;
    }
    out_.push_back('"');
  }

  void AppendCharacter(uint32_t point, std::string_view bytes) {
    static constexpr std::string_view kPlain = "\"\\\n\r\t\b\f";
    static constexpr std::string_view kLetters = "\"\\nrtbf";
    const size_t simple = bytes.size() == 1 ? kPlain.find(bytes[0]) : std::string_view::npos;
    if (simple != std::string_view::npos) {
      out_.push_back('\\');
      out_.push_back(kLetters[simple]);
    } else if (point < 0x20 || (style_.is_ascii && point > 0x7E && point < 0x10000)) {
      AppendEscape(point);
    } else if (style_.is_ascii && point >= 0x10000) {
      AppendEscape(0xD800 + ((point - 0x10000) >> 10));
      AppendEscape(0xDC00 + ((point - 0x10000) & 0x3FF));
    } else {
      out_ += bytes;
    }
  }

  void NewLine() {
    if (!style_.indent) return;
    out_.push_back('\n');
    for (int i = 0; i < level_; ++i) out_ += *style_.indent;
  }

  void AppendList(const Values& items) {
    if (items.empty()) {
      out_ += "[]";
      return;
    }
    out_.push_back('[');
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      NewLine();
      Append(items[i]);
    }
    --level_;
    NewLine();
    out_.push_back(']');
  }

  void AppendKey(const Value& key) {
    if (key.IsString()) {
      AppendText(key.str());
    } else if (key.IsNumber() || key.Is(Type::kNone)) {
      out_.push_back('"');
      Append(key);
      out_.push_back('"');
    } else {
      Throw(ErrorKind::kType, "keys must be str, int, float, bool or None, not {}", TypeName(key));
    }
  }

  void AppendDict(const Dict& dict) {
    if (dict.size() == 0) {
      out_ += "{}";
      return;
    }
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sorts_keys) {
      std::stable_sort(
          entries.begin(), entries.end(),
          [](const Dict::Entry* a, const Dict::Entry* b) { return Less(a->key, b->key); });
    }
    out_.push_back('{');
    ++level_;
    for (size_t i = 0; i < entries.size(); ++i) {
      if (i > 0) out_ += style_.item_separator;
      NewLine();
      AppendKey(entries[i]->key);
      out_ += style_.key_separator;
      Append(entries[i]->value);
    }
    --level_;
    NewLine();
    out_.push_back('}');
  }

  const JsonStyle& style_;
  std::string out_;
  int level_ = 0;
};

std::string IndentText(const Value& indent) {
  if (indent.IsString()) return indent.str();
  const int64_t width = ToIndex(indent, "indent");
  if (width > 1000) Throw(ErrorKind::kLimit, "the indent is too wide");
  return std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
}

}  // namespace

Value ToJson(Interpreter&, const Value& input, Arguments& arguments) {
  const Parameters parameters("tojson", arguments,
                              {"ensure_ascii", "indent", "separators", "sort_keys"});
  JsonStyle style;
  style.is_ascii = parameters.IsTrueAt(0);
  style.sorts_keys = parameters.IsTrueAt(3);
  if (parameters.HasAndIsNotNone(1)) {
    style.indent = IndentText(parameters[1]);
    style.item_separator = std::string(",");
  }
  if (parameters.HasAndIsNotNone(2)) {
    const Values separators = ToList(parameters[2]);
    if (separators.size() != 2 || !separators[0].IsString() || !separators[1].IsString()) {
      Throw(ErrorKind::kType, "separators must be two strings");
    }
    style.item_separator = separators[0].str();
    style.key_separator = separators[1].str();
  }
  Writer writer(style);
  writer.Append(input);
  return Value::String(std::move(writer).Take());
}

}  // namespace phalanx::jinja
