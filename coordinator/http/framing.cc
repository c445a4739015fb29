#include "coordinator/http/framing.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "coordinator/core/printable.h"

namespace phalanx::http {
namespace {

// All headers of that name.
std::vector<std::string_view> ValuesOf(const Request& request, std::string_view name) {
  std::vector<std::string_view> values;
  for (const Header& header : request.headers) {
    if (header.name == name) values.emplace_back(header.value);
  }
  return values;
}

std::optional<Refusal> ReadLength(std::string_view value, const MessageLimits& limits,
                                  uint64_t* length) {
  constexpr size_t kMaxDigits = 18;  // cannot overflow
  const bool digits = !value.empty() && std::all_of(value.begin(), value.end(),
                                                    [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) {
    return Refusal{400,
                   fmt::format("Content-Length: is {}, allowed: decimal digits", Printable(value))};
  }
  if (value.size() <= kMaxDigits) *length = std::stoull(std::string(value));
  if (value.size() > kMaxDigits || *length > limits.max_body_bytes) {
    return Refusal{413, fmt::format("body: has {} bytes, allowed: {}", value.substr(0, 32),
                                    limits.max_body_bytes)};
  }
  return std::nullopt;
}

std::optional<Refusal> ReadTransferEncoding(const std::vector<std::string_view>& values,
                                            HttpVersion version) {
  if (version == HttpVersion::k10) {
    return Refusal{400, "Transfer-Encoding: HTTP/1.0 has none"};
  }
  const std::vector<std::string> codings = ListOf(values.front());
  if (values.size() == 1 && codings.size() == 1 && codings.front() == "chunked") {
    return std::nullopt;
  }
  // What does not end with exactly one "chunked" has no end that everybody agrees on.
  const bool delimited = values.size() == 1 && !codings.empty() && codings.back() == "chunked" &&
                         std::count(codings.begin(), codings.end(), "chunked") == 1;
  const bool unknown =
      values.size() == 1 && std::find(codings.begin(), codings.end(), "chunked") == codings.end();
  return Refusal{
      delimited || unknown ? 501 : 400,
      fmt::format("Transfer-Encoding: is {}, allowed: chunked", Printable(values.front()))};
}

std::optional<Refusal> CheckHost(const Request& request, HttpVersion version) {
  const size_t hosts = ValuesOf(request, "host").size();
  if (hosts > 1 || (hosts == 0 && version == HttpVersion::k11)) {
    return Refusal{400, fmt::format("Host: is there {} times, allowed: once", hosts)};
  }
  return std::nullopt;
}

std::optional<Refusal> CheckContentEncoding(const Request& request) {
  for (const std::string_view value : ValuesOf(request, "content-encoding")) {
    for (const std::string& coding : ListOf(value)) {
      if (coding != "identity") {
        return Refusal{415,
                       fmt::format("Content-Encoding: is {}, allowed: none", Printable(coding))};
      }
    }
  }
  return std::nullopt;
}

bool WantsKeepAlive(const Request& request, HttpVersion version) {
  bool keep_alive = version == HttpVersion::k11;
  for (const std::string_view value : ValuesOf(request, "connection")) {
    for (const std::string& option : ListOf(value)) {
      if (option == "close") return false;
      if (option == "keep-alive") keep_alive = true;
    }
  }
  return keep_alive;
}

}  // namespace

std::vector<std::string> ListOf(std::string_view value) {
  constexpr std::string_view kBlank = " \t";
  std::vector<std::string> tokens;
  while (true) {
    const size_t comma = value.find(',');
    std::string_view token = value.substr(0, comma);
    token.remove_prefix(std::min(token.find_first_not_of(kBlank), token.size()));
    token = token.substr(0, token.find_last_not_of(kBlank) + 1);
    if (!token.empty()) {
      std::string& lower = tokens.emplace_back(token);
      for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
    if (comma == std::string_view::npos) return tokens;
    value.remove_prefix(comma + 1);
  }
}

std::optional<Refusal> FrameRequest(const Request& request, HttpVersion version,
                                    const MessageLimits& limits, Framing* framing) {
  const std::vector<std::string_view> lengths = ValuesOf(request, "content-length");
  const std::vector<std::string_view> encodings = ValuesOf(request, "transfer-encoding");
  if (!encodings.empty() && !lengths.empty()) {
    return Refusal{400, "Content-Length and Transfer-Encoding: both are there, allowed: one"};
  }
  if (lengths.size() > 1) {
    return Refusal{400,
                   fmt::format("Content-Length: is there {} times, allowed: once", lengths.size())};
  }
  if (std::optional<Refusal> refusal = CheckHost(request, version)) return refusal;
  if (!encodings.empty()) {
    if (std::optional<Refusal> refusal = ReadTransferEncoding(encodings, version)) return refusal;
    framing->chunked = true;
  } else if (!lengths.empty()) {
    std::optional<Refusal> refusal = ReadLength(lengths.front(), limits, &framing->content_length);
    if (refusal) return refusal;
  }
  if (std::optional<Refusal> refusal = CheckContentEncoding(request)) return refusal;
  for (const std::string_view value : ValuesOf(request, "expect")) {
    const std::vector<std::string> expectations = ListOf(value);
    if (expectations != std::vector<std::string>{"100-continue"}) {
      return Refusal{417, fmt::format("Expect: is {}, allowed: 100-continue", Printable(value))};
    }
    framing->expects_continue = version == HttpVersion::k11;
  }
  framing->keep_alive = WantsKeepAlive(request, version);
  return std::nullopt;
}

}  // namespace phalanx::http
