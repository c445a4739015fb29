#include "text/jinja/json_value.h"

#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/big_int.h"
#include "text/jinja/error.h"
#include "text/jinja/print.h"

namespace phalanx::jinja {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxDepth = 64;

class Builder final : public nlohmann::json_sax<Json> {
 public:
  const Value& value() const { return value_; }
  const std::string& error() const { return error_; }

  bool null() override { return Add(Value::None()); }
  bool boolean(bool value) override { return Add(Value::Bool(value)); }
  bool number_integer(number_integer_t value) override { return Add(Value::Int(value)); }

  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<number_unsigned_t>(INT64_MAX)) {
      return Add(Value::Int(static_cast<int64_t>(value)));
    }
    return Add(Value::Int(*BigInt::FromDigits(std::to_string(value), 10)));
  }

  bool number_float(number_float_t value, const string_t& literal) override {
    // An integer beyond 64 bits arrives here, too.
    if (literal.find_first_of(".eE") != std::string::npos) return Add(Value::Float(value));
    auto whole = BigInt::FromDigits(literal, 10);
    if (!whole)
      return Fail(fmt::format("has an integer of more than {} digits", BigInt::kMaxDigits));
    return Add(Value::Int(*std::move(whole)));
  }

  bool string(string_t& value) override { return Add(Value::String(std::move(value))); }
  bool binary(binary_t&) override { return false; }  // not in JSON text
  bool start_object(size_t) override { return Open(Type::kDict); }
  bool start_array(size_t) override { return Open(Type::kList); }

  bool end_object() override {
    Dict dict = std::move(levels_.back().dict);
    levels_.pop_back();
    return Add(Value::FromDict(std::move(dict)));
  }

  bool end_array() override {
    Values items = std::move(levels_.back().items);
    levels_.pop_back();
    return Add(Value::List(std::move(items)));
  }

  bool key(string_t& value) override {
    if (levels_.back().dict.Find(value) != nullptr) {
      return Fail(fmt::format("has the key {} twice", ReprText(value)));
    }
    levels_.back().key = std::move(value);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Json::exception&) override {
    if (error_.empty()) error_ = fmt::format("no JSON at byte {}", position);
    return false;
  }

 private:
  struct Level {
    Type type;
    Dict dict;
    Values items;
    std::string key;
  };

  bool Fail(std::string error) {
    error_ = std::move(error);
    return false;
  }

  bool Open(Type type) {
    if (levels_.size() == kMaxDepth) return Fail(fmt::format("nested deeper than {}", kMaxDepth));
    levels_.push_back({type, {}, {}, {}});
    return true;
  }

  bool Add(Value value) {
    if (levels_.empty()) {
      value_ = std::move(value);
    } else if (levels_.back().type == Type::kDict) {
      levels_.back().dict.Set(levels_.back().key, std::move(value));
    } else {
      levels_.back().items.push_back(std::move(value));
    }
    return true;
  }

  Value value_;
  std::string error_;
  std::vector<Level> levels_;
};

}  // namespace

StatusOr<Value> ValueFromJson(std::string_view field, std::string_view text) {
  Builder builder;
  if (!Json::sax_parse(text, &builder)) {
    return InvalidField(field, builder.error().empty() ? "no JSON" : builder.error(),
                        fmt::format("JSON, keys not repeated, nested at most {} deep", kMaxDepth));
  }
  return builder.value();
}

}  // namespace phalanx::jinja
