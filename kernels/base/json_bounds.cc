#include "kernels/base/json_bounds.h"

#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>
#include <vector>

namespace phalanx {
namespace {

// nlohmann's SAX interface: each callback returns whether to go on.
class BoundsChecker final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit BoundsChecker(const JsonBounds& bounds) : bounds_(bounds) {}

  std::optional<JsonFault> TakeFault() { return std::move(fault_); }

  bool null() override { return Value(); }
  bool boolean(bool) override { return Value(); }
  bool number_integer(number_integer_t) override { return Value(); }
  bool number_unsigned(number_unsigned_t) override { return Value(); }
  bool number_float(number_float_t, const string_t&) override { return Value(); }
  bool string(string_t&) override { return Value(); }
  bool binary(binary_t&) override { return Value(); }
  bool start_object(std::size_t) override { return Open(); }
  bool end_object() override { return Close(); }
  bool start_array(std::size_t) override { return Value() && Open(); }
  bool end_array() override { return Close(); }

  bool key(string_t& key) override {
    if (++num_keys_ > bounds_.max_keys) return Fail({.kind = JsonFault::Kind::kTooManyKeys});
    if (open_.size() == 1) top_key_ = key;
    if (bounds_.duplicates == DuplicateKeys::kAllowed) return true;
    if (open_.back().insert(key).second) return true;
    return Fail({.kind = JsonFault::Kind::kDuplicateKey, .key = key, .depth = open_.size()});
  }

  bool parse_error(std::size_t position, const std::string& token,
                   const nlohmann::detail::exception& error) override {
    constexpr int kNumberOverflow = 406;  // the library's number of that error
    if (error.id == kNumberOverflow) {
      return Fail(
          {.kind = JsonFault::Kind::kNumberTooLarge, .key = std::move(top_key_), .number = token});
    }
    return Fail({.kind = JsonFault::Kind::kNotJson, .position = position});
  }

 private:
  bool Fail(JsonFault fault) {
    fault_ = std::move(fault);
    return false;
  }

  bool Value() {
    if (!open_.empty() || bounds_.top == JsonTop::kAny) return true;
    return Fail({.kind = JsonFault::Kind::kNoObject});
  }

  bool Open() {
    if (open_.size() >= bounds_.max_depth) return Fail({.kind = JsonFault::Kind::kTooDeep});
    open_.emplace_back();
    return true;
  }

  bool Close() {
    open_.pop_back();
    return true;
  }

  const JsonBounds& bounds_;
  std::vector<std::unordered_set<std::string>> open_;  // the keys of each open object or array
  int32_t num_keys_ = 0;
  std::string top_key_;  // the last one of an object at the top
  std::optional<JsonFault> fault_;
};

}  // namespace

std::optional<JsonFault> FindJsonFault(std::string_view text, const JsonBounds& bounds) {
  BoundsChecker checker(bounds);
  nlohmann::json::sax_parse(text, &checker);
  return checker.TakeFault();
}

}  // namespace phalanx
