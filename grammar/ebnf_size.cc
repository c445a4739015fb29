#include "grammar/ebnf_size.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "grammar/saturating.h"

namespace phalanx {
namespace {

constexpr std::array<std::string_view, 6> kMacros = {"TagDispatch",      "Token", "ExcludeToken",
                                                     "TokenTagDispatch", "Regex", "Substring"};

bool IsNameChar(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.';
}

// Reads a grammar once, left to right.
class EbnfReader {
 public:
  EbnfReader(std::string_view text, int max_depth, int64_t max_repetitions)
      : text_(text), max_depth_(max_depth), max_repetitions_(max_repetitions) {}

  StatusOr<int64_t> Read() {
    while (at_ < text_.size()) PHALANX_RETURN_IF_ERROR(ReadNext());
    if (open_.size() > 1) return InvalidArgumentError("has a '(' without its ')'");
    return open_.back().states;
  }

 private:
  struct Group {
    int64_t states = 0;
    int64_t last = 0;  // of the element that a repetition would apply to
  };

  Status ReadNext() {
    const char c = text_[at_];
    switch (c) {
      case '#':
        at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
        return OkStatus();
      case '"':
        return ReadLiteral();
      case '[':
        return ReadClass();
      case '{':
        return ReadRepetition();
      case '(':
        if (static_cast<int>(open_.size()) > max_depth_) {
          return InvalidArgumentError("has groups deeper than {}, allowed: up to that", max_depth_);
        }
        open_.emplace_back();
        ++at_;
        return OkStatus();
      case ')': {
        if (open_.size() == 1) {
          return InvalidArgumentError("has a ')' at byte {} without its '('", at_);
        }
        const int64_t states = open_.back().states;
        open_.pop_back();
        ++at_;
        Add(states);
        return OkStatus();
      }
      default:
        if (IsNameChar(c)) return ReadName();
        ++at_;
        return OkStatus();
    }
  }

  void Add(int64_t states) {
    open_.back().states = SaturatingAdd(open_.back().states, states);
    open_.back().last = states;
  }

  // The offset of `end` from at_ + 1 on, past escapes; npos: it does not come on this line.
  size_t FindEnd(char end) const {
    for (size_t i = at_ + 1; i < text_.size() && text_[i] != '\n' && text_[i] != '\r'; ++i) {
      if (text_[i] == end) return i;
      if (text_[i] == '\\') ++i;
    }
    return std::string_view::npos;
  }

  Status ReadLiteral() {
    const size_t end = FindEnd('"');
    if (end == std::string_view::npos) {
      return InvalidArgumentError("has a '\"' at byte {} without its end", at_);
    }
    Add(static_cast<int64_t>(end - at_));
    at_ = end + 1;
    return OkStatus();
  }

  Status ReadClass() {
    const size_t end = FindEnd(']');
    if (end == std::string_view::npos) {
      return InvalidArgumentError("has a '[' at byte {} without its ']'", at_);
    }
    const bool follows_name = at_ > 0 && IsNameChar(text_[at_ - 1]);
    if (follows_name && text_.substr(at_, end - at_).find('=') != std::string_view::npos) {
      return InvalidArgumentError(
          "has attributes at byte {}, which are not supported; a class stands apart from the name "
          "before it",
          at_);
    }
    Add(1);
    at_ = end + 1;
    return OkStatus();
  }

  Status ReadName() {
    const size_t begin = at_;
    while (at_ < text_.size() && IsNameChar(text_[at_])) ++at_;
    const std::string_view name = text_.substr(begin, at_ - begin);
    if (std::find(kMacros.begin(), kMacros.end(), name) != kMacros.end()) {
      return InvalidArgumentError("has the macro {}, which is not supported", name);
    }
    Add(1);
    return OkStatus();
  }

  // {m}, {m,} or {m,n}.
  Status ReadRepetition() {
    const size_t end = text_.find('}', at_);
    if (end == std::string_view::npos) {
      return InvalidArgumentError("has a '{{' at byte {} without its '}}'", at_);
    }
    std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    int64_t most = 1;
    while (!inside.empty()) {
      const size_t digit = inside.find_first_not_of(" \t\r\n,");
      if (digit == std::string_view::npos) break;
      inside.remove_prefix(digit);
      int64_t value = 0;
      const auto [stop, error] =
          std::from_chars(inside.data(), inside.data() + inside.size(), value);
      if (error != std::errc() || value < 0 || value > max_repetitions_) {
        return InvalidArgumentError("has a repetition at byte {} that is not 0 to {}", at_,
                                    max_repetitions_);
      }
      most = std::max(most, value);
      inside.remove_prefix(static_cast<size_t>(stop - inside.data()));
    }
    Group& group = open_.back();
    group.states = SaturatingAdd(group.states, SaturatingMultiply(group.last, most - 1));
    group.last = SaturatingMultiply(group.last, most);
    at_ = end + 1;
    return OkStatus();
  }

  std::string_view text_;
  int max_depth_;
  int64_t max_repetitions_;
  size_t at_ = 0;
  std::vector<Group> open_ = {{}};
};

}  // namespace

StatusOr<int64_t> EbnfStates(std::string_view grammar, int max_depth, int64_t max_repetitions) {
  return EbnfReader(grammar, max_depth, max_repetitions).Read();
}

}  // namespace phalanx
