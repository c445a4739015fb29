#include "text/python_json.h"

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 64;

void AppendString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    switch (c) {
      case '"':
        *out += "\\\"";
        break;
      case '\\':
        *out += "\\\\";
        break;
      case '\n':
        *out += "\\n";
        break;
      case '\r':
        *out += "\\r";
        break;
      case '\t':
        *out += "\\t";
        break;
      case '\b':
        *out += "\\b";
        break;
      case '\f':
        *out += "\\f";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20) {
          *out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          out->push_back(c);
        }
    }
  }
  out->push_back('"');
}

// Writes while the parser reads, so that nothing of a number is lost in between.
class Writer final : public nlohmann::json_sax<Json> {
 public:
  const std::string& text() const { return out_; }
  const std::string& error() const { return error_; }

  bool null() override { return Scalar("null"); }
  bool boolean(bool value) override { return Scalar(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override { return Scalar(std::to_string(value)); }
  bool number_unsigned(number_unsigned_t value) override { return Scalar(std::to_string(value)); }

  bool number_float(number_float_t value, const string_t& literal) override {
    // An integer beyond 64 bits arrives here, too.
    const bool is_integer = literal.find_first_of(".eE") == std::string::npos;
    return Scalar(is_integer ? literal : PythonFloat(value));
  }

  bool string(string_t& value) override {
    Separate();
    AppendString(value, &out_);
    return true;
  }

  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(size_t) override { return Open('{'); }
  bool end_object() override { return Close('}'); }
  bool start_array(size_t) override { return Open('['); }
  bool end_array() override { return Close(']'); }

  bool key(string_t& value) override {
    Separate();
    if (!levels_.back().keys.insert(value).second) {
      error_ = "has the key ";
      AppendString(value, &error_);
      error_ += " twice";
      return false;
    }
    AppendString(value, &out_);
    out_ += ": ";
    levels_.back().has_elements = false;  // the value needs no comma
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    if (error_.empty()) error_ = fmt::format("no JSON at byte {}", position);
    return false;
  }

 private:
  struct Level {
    bool has_elements = false;
    std::unordered_set<std::string> keys;
  };

  bool Scalar(std::string_view text) {
    Separate();
    out_ += text;
    return true;
  }

  void Separate() {
    if (levels_.empty()) return;
    if (levels_.back().has_elements) out_ += ", ";
    levels_.back().has_elements = true;
  }

  bool Open(char bracket) {
    Separate();
    if (levels_.size() == kMaxDepth) {
      error_ = fmt::format("nested deeper than {}", kMaxDepth);
      return false;
    }
    out_.push_back(bracket);
    levels_.emplace_back();
    return true;
  }

  bool Close(char bracket) {
    out_.push_back(bracket);
    levels_.pop_back();
    return true;
  }

  std::string out_;
  std::string error_;
  std::vector<Level> levels_;
};

}  // namespace

std::string PythonFloat(double value) {
  PHALANX_CHECK(std::isfinite(value));
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), std::fabs(value),
                                 std::chars_format::scientific);
  const std::string_view text(buffer, static_cast<size_t>(end.ptr - buffer));  // d[.ddd]e[+-]dd
  const size_t e = text.find('e');
  std::string digits(text.substr(0, e));
  std::erase(digits, '.');
  const int point = std::atoi(std::string(text.substr(e + 1)).c_str()) + 1;  // digits before it
  const auto count = static_cast<int>(digits.size());

  std::string out = std::signbit(value) ? "-" : "";
  if (point > 16 || point < -3) {
    out += digits.substr(0, 1);
    if (count > 1) out += "." + digits.substr(1);
    return out + fmt::format("e{}{:02}", point > 0 ? '+' : '-', std::abs(point - 1));
  }
  if (point <= 0) return out + "0." + std::string(static_cast<size_t>(-point), '0') + digits;
  if (point >= count) {
    return out + digits + std::string(static_cast<size_t>(point - count), '0') + ".0";
  }
  const auto whole = static_cast<size_t>(point);
  return out + digits.substr(0, whole) + "." + digits.substr(whole);
}

StatusOr<std::string> ToPythonJson(std::string_view field, std::string_view text) {
  Writer writer;
  if (!Json::sax_parse(text, &writer)) {
    return InvalidField(field, writer.error().empty() ? "no JSON" : writer.error(),
                        fmt::format("JSON, keys not repeated, nested at most {} deep", kMaxDepth));
  }
  return writer.text();
}

}  // namespace phalanx
