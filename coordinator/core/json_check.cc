#include "coordinator/core/json_check.h"

#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
#include <vector>

#include "coordinator/core/printable.h"

namespace phalanx {
namespace {

// nlohmann's SAX interface: each callback returns whether to go on.
class Checker : public nlohmann::json_sax<nlohmann::json> {
 public:
  Checker(std::string_view field, const Limits& limits) : field_(field), limits_(limits) {}

  const Status& status() const { return status_; }

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
    if (++num_keys_ > limits_.max_json_keys) {
      return Fail(InvalidArgumentError("{}: has more than {} keys, allowed: at most {}", field_,
                                       limits_.max_json_keys, limits_.max_json_keys));
    }
    if (!keys_.back().insert(key).second) {
      return Fail(InvalidArgumentError("{}: has the key {} twice in one object, allowed: once",
                                       field_, Printable(key)));
    }
    return true;
  }

  bool parse_error(std::size_t position, const std::string&,
                   const nlohmann::detail::exception&) override {
    return Fail(InvalidArgumentError("{}: is not JSON at byte {}, allowed: one JSON object", field_,
                                     position));
  }

 private:
  bool Fail(Status status) {
    status_ = std::move(status).WithField(field_);
    return false;
  }

  bool Value() {
    if (!keys_.empty()) return true;
    return Fail(InvalidField(field_, "no object", "one JSON object"));
  }

  bool Open() {
    if (keys_.size() >= static_cast<size_t>(limits_.max_json_depth)) {
      return Fail(InvalidArgumentError("{}: is nested deeper than {} levels, allowed: at most {}",
                                       field_, limits_.max_json_depth, limits_.max_json_depth));
    }
    keys_.emplace_back();
    return true;
  }

  bool Close() {
    keys_.pop_back();
    return true;
  }

  std::string_view field_;
  const Limits& limits_;
  Status status_;
  std::vector<std::unordered_set<std::string>> keys_;  // one set for each open object or array
  int32_t num_keys_ = 0;
};

}  // namespace

Status CheckJsonObject(std::string_view field, std::string_view text, const Limits& limits) {
  Checker checker(field, limits);
  nlohmann::json::sax_parse(text, &checker);
  return checker.status();
}

}  // namespace phalanx
