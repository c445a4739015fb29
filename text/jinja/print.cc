#include "text/jinja/print.h"

#include <cmath>

#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"
#include "text/jinja/python_text.h"
#include "text/python_float.h"
#include "text/utf8.h"

namespace phalanx::jinja {
namespace {

// A namespace may hold itself, so values' own limit is not enough.
constexpr int kMaxPrintDepth = 2 * kMaxValueDepth;

class Printer {
 public:
  void Append(const Value& value) {
    if (++depth_ > kMaxPrintDepth || out_.size() > kMaxStringBytes) {
      Throw(ErrorKind::kLimit, "a value is too large to be printed");
    }
    Visit(value);
    --depth_;
  }

  std::string Take() && { return std::move(out_); }

 private:
  void Visit(const Value& value) {
    switch (value.type()) {
      case Type::kMissing:
      case Type::kUndefined:
        out_ += "Undefined";
        break;
      case Type::kNone:
        out_ += "None";
        break;
      case Type::kBool:
        out_ += value.boolean() ? "True" : "False";
        break;
      case Type::kInt:
        out_ += std::to_string(value.integer());
        break;
      case Type::kBigInt:
        out_ += value.big().ToString();
        break;
      case Type::kFloat:
        out_ += FloatText(value.real());
        break;
      case Type::kString:
        out_ += value.is_markup() ? "Markup(" + ReprText(value.str()) + ")" : ReprText(value.str());
        break;
      case Type::kList:
        AppendItems('[', value.items(), ']');
        break;
      case Type::kTuple:
        AppendItems('(', value.items(), ')');
        break;
      case Type::kDict:
        AppendDict(value.dict());
        break;
      case Type::kObject:
        AppendObject(value);
        break;
    }
  }

  void AppendItems(char open, const Values& items, char close) {
    out_.push_back(open);
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_ += ", ";
      Append(items[i]);
    }
    if (close == ')' && items.size() == 1) out_.push_back(',');
    out_.push_back(close);
  }

  void AppendDict(const Dict& dict) {
    out_.push_back('{');
    for (size_t i = 0; i < dict.size(); ++i) {
      if (i > 0) out_ += ", ";
      Append(dict.entries()[i].key);
      out_ += ": ";
      Append(dict.entries()[i].value);
    }
    out_.push_back('}');
  }

  void AppendObject(const Value& value) {
    if (const auto* range = value.As<Range>()) {
      out_ += fmt::format("range({}, {}", range->start(), range->stop());
      if (range->step() != 1) out_ += fmt::format(", {}", range->step());
      out_ += ")";
    } else if (const auto* view = value.As<DictView>()) {
      Values items;
      for (size_t i = 0; i < view->length(); ++i) items.push_back(view->At(i));
      out_ += view->type_name();
      out_.push_back('(');
      AppendItems('[', items, ']');
      out_.push_back(')');
    } else if (const auto* names = value.As<Namespace>()) {
      out_ += "<Namespace ";
      AppendDict(names->attributes());
      out_ += ">";
    } else {
      out_ += fmt::format("<{}>", value.object().Description());
    }
  }

  std::string out_;
  int depth_ = 0;
};

}  // namespace

std::string FloatText(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  return PythonFloat(value);
}

std::string ReprText(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = DecodeCodePoint(text.data() + at);
    const uint32_t c = point.value;
    if (c == static_cast<uint32_t>(quote) || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (IsPrintable(c)) {
      out += text.substr(at, point.length_bytes);
    } else if (c < 0x100) {
      out += fmt::format("\\x{:02x}", c);
    } else if (c < 0x10000) {
      out += fmt::format("\\u{:04x}", c);
    } else {
      out += fmt::format("\\U{:08x}", c);
    }
    at += point.length_bytes;
  }
  out.push_back(quote);
  return out;
}

std::string Repr(const Value& value) {
  Printer printer;
  printer.Append(value);
  return std::move(printer).Take();
}

std::string ToText(const Value& value) {
  if (value.IsUndefined()) return "";
  if (value.IsString()) return value.str();
  return Repr(value);
}

std::string_view TextOf(const Value& value, std::string* buffer) {
  if (value.IsString()) return value.str();
  *buffer = ToText(value);
  return *buffer;
}

}  // namespace phalanx::jinja
