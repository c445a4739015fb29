#include "coordinator/http/request_target.h"

#include <algorithm>

#include "coordinator/core/printable.h"

namespace phalanx::http {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool PercentDecode(std::string_view encoded, std::string* out) {
  for (size_t i = 0; i < encoded.size(); ++i) {
    char c = encoded[i];
    if (c == '%') {
      if (i + 2 >= encoded.size()) return false;
      const int high = HexDigit(encoded[i + 1]);
      const int low = HexDigit(encoded[i + 2]);
      if (high < 0 || low < 0) return false;
      c = static_cast<char>(high * 16 + low);
      i += 2;
    }
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) return false;
    *out += c;
  }
  return true;
}

// Without scheme and authority, which say no more than Host does; at least "/".
std::string_view OriginForm(std::string_view target) {
  const auto same = [](char a, char b) { return a == b || a == b - 'a' + 'A'; };
  const auto begins_with = [&](std::string_view scheme) {
    return target.size() > scheme.size() &&
           std::equal(target.begin(), target.begin() + scheme.size(), scheme.begin(), same);
  };
  constexpr std::string_view kPlain = "http://";
  constexpr std::string_view kTls = "https://";
  if (!begins_with(kPlain) && !begins_with(kTls)) return target;
  target.remove_prefix(begins_with(kPlain) ? kPlain.size() : kTls.size());
  const size_t slash = target.find_first_of("/?");
  if (slash == 0) return {};
  if (slash == std::string_view::npos) return "/";
  return target.substr(slash);
}

}  // namespace

std::optional<Refusal> ParseTarget(std::string_view target, Request* request) {
  if (request->method == "CONNECT") {
    return Refusal{501, "method: is CONNECT, which only proxies serve"};
  }
  if (target == "*" && request->method == "OPTIONS") {
    request->path.push_back('*');
    return std::nullopt;
  }
  const auto bad = [target] {
    return Refusal{400, "request target: is " + Printable(target) +
                            ", allowed: a percent-encoded path with an optional query"};
  };
  std::string_view origin = OriginForm(target);
  if (origin.find('#') != std::string_view::npos) return bad();
  const size_t mark = origin.find('?');
  if (mark != std::string_view::npos) {
    request->query = origin.substr(mark + 1);
    origin = origin.substr(0, mark);
  }
  if (mark == 0 && !target.starts_with('?')) origin = "/";  // http://host?query
  if (!origin.starts_with('/')) return bad();
  if (!PercentDecode(origin, &request->path)) return bad();
  return std::nullopt;
}

}  // namespace phalanx::http
