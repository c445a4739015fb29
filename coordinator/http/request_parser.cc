#include "coordinator/http/request_parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "coordinator/core/printable.h"
#include "coordinator/http/request_target.h"
#include "coordinator/http/token.h"

namespace phalanx::http {
namespace {

// Between two requests some clients send a line end more than they should.
constexpr size_t kMaxEmptyLines = 4;
constexpr std::string_view kLineEnd = "\r\n";

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

bool IsNoPartOfALine(char c) { return IsControl(c) && c != '\r' && c != '\n'; }

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::string_view TrimBlanks(std::string_view text) {
  constexpr std::string_view kBlank = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(kBlank), text.size()));
  return text.substr(0, text.find_last_not_of(kBlank) + 1);
}

}  // namespace

size_t RequestParser::Consume(std::string_view data) {
  size_t used = 0;
  while (used < data.size() && state_ == State::kHead) ConsumeLine(data, &used);
  if (state_ != State::kBody || used == data.size()) return used;
  std::string& body = request_.body;
  if (framing_.chunked) {
    used += chunks_.Consume(data.substr(used), &body);
    if (chunks_.refusal()) {
      Refuse(*chunks_.refusal());
    } else if (chunks_.done()) {
      state_ = State::kComplete;
    }
  } else {
    const size_t count =
        std::min(static_cast<size_t>(framing_.content_length) - body.size(), data.size() - used);
    body.append(data, used, count);
    used += count;
    if (body.size() == framing_.content_length) state_ = State::kComplete;
  }
  return used;
}

// Takes bytes one line at most. Refuses at the first byte that is wrong, whatever follows it.
void RequestParser::ConsumeLine(std::string_view data, size_t* used) {
  const size_t most = limits_.max_line_bytes + kLineEnd.size();
  const size_t room =
      has_request_line_ ? std::min(most, limits_.max_header_bytes - header_bytes_) : most;
  std::string_view rest = data.substr(*used).substr(0, room - line_.size());
  if (rest.empty()) return RefuseLength();
  const size_t line_feed = rest.find('\n');
  rest = rest.substr(0, line_feed == std::string_view::npos ? rest.size() : line_feed + 1);
  if (std::any_of(rest.begin(), rest.end(), IsNoPartOfALine)) {
    return Refuse({400, has_request_line_ ? "headers: hold a control character"
                                          : "request line: holds a control character"});
  }
  line_.append(rest);
  *used += rest.size();
  if (line_feed != std::string_view::npos) EndLine();
}

void RequestParser::RefuseLength() {
  if (!has_request_line_) {
    Refuse({414, fmt::format("request line: has more than {} bytes, which are allowed",
                             limits_.max_line_bytes)});
  } else if (line_.size() >= limits_.max_line_bytes + kLineEnd.size()) {
    Refuse({431, fmt::format("a header: has more than {} bytes, which are allowed",
                             limits_.max_line_bytes)});
  } else {
    Refuse({431, fmt::format("headers: have more than {} bytes, which are allowed",
                             limits_.max_header_bytes)});
  }
}

void RequestParser::EndLine() {
  std::string line;
  line.swap(line_);
  const bool ends_well = line.ends_with(kLineEnd);
  if (!ends_well || line.find('\r') != line.size() - kLineEnd.size()) {
    return Refuse({400, "request line and headers: are not ended by CR LF each"});
  }
  if (has_request_line_) header_bytes_ += line.size();
  line.resize(line.size() - kLineEnd.size());
  if (!has_request_line_) {
    if (!line.empty()) return ParseRequestLine(line);
    if (++empty_lines_ > kMaxEmptyLines) Refuse({400, "request line: is empty"});
  } else if (line.empty()) {
    EndHead();
  } else {
    ParseHeader(line);
  }
}

void RequestParser::ParseRequestLine(std::string_view line) {
  has_request_line_ = true;
  const size_t first = line.find(' ');
  const size_t second = line.find(' ', first == std::string_view::npos ? first : first + 1);
  if (second == std::string_view::npos || line.find('\t') != std::string_view::npos) {
    return Refuse(
        {400, "request line: is " + Printable(line) + ", allowed: METHOD TARGET HTTP/1.1"});
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, second - first - 1);
  const std::string_view version = line.substr(second + 1);
  if (!IsToken(method)) {
    return Refuse({400, "method: is " + Printable(method) + ", allowed: a token"});
  }
  const bool numbered = version.size() == 8 && version.starts_with("HTTP/") &&
                        IsDigit(version[5]) && version[6] == '.' && IsDigit(version[7]);
  if (!numbered) {
    return Refuse({400, "version: is " + Printable(version) + ", allowed: HTTP/1.1, HTTP/1.0"});
  }
  if (version[5] != '1' || version[7] > '1') {
    return Refuse({505, "version: is " + Printable(version) + ", allowed: HTTP/1.1, HTTP/1.0"});
  }
  version_ = version[7] == '1' ? HttpVersion::k11 : HttpVersion::k10;
  request_.method = method;
  if (std::optional<Refusal> refusal = ParseTarget(target, &request_)) Refuse(*std::move(refusal));
}

void RequestParser::ParseHeader(std::string_view line) {
  if (line.front() == ' ' || line.front() == '\t') {
    return Refuse({400, "headers: one is folded into two lines, allowed: one line each"});
  }
  const size_t colon = line.find(':');
  const std::string_view name = line.substr(0, colon);
  if (colon == std::string_view::npos || !IsToken(name)) {
    return Refuse({400, "header name: is " + Printable(name) + ", allowed: a token and a colon"});
  }
  if (request_.headers.size() == limits_.max_headers) {
    return Refuse(
        {431, fmt::format("headers: are more than {}, which are allowed", limits_.max_headers)});
  }
  Header& header = request_.headers.emplace_back();
  header.name = name;
  for (char& c : header.name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  header.value = TrimBlanks(line.substr(colon + 1));
}

void RequestParser::EndHead() {
  if (std::optional<Refusal> refusal = FrameRequest(request_, version_, limits_, &framing_)) {
    return Refuse(*std::move(refusal));
  }
  const bool has_body = framing_.chunked || framing_.content_length > 0;
  state_ = has_body ? State::kBody : State::kComplete;
}

void RequestParser::Refuse(Refusal refusal) {
  refusal_ = std::move(refusal);
  state_ = State::kRefused;
}

}  // namespace phalanx::http
