#include "coordinator/http/response_head.h"

#include <fmt/format.h>

#include <array>
#include <iterator>

namespace phalanx::http {
namespace {

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 499:
      return "Client Closed Request";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    default:
      return "Unnamed";
  }
}

void AppendClean(std::string_view text, std::string* out) {
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte != 0x7F) *out += c;
  }
}

void AppendHeader(std::string_view name, std::string_view value, std::string* out) {
  AppendClean(name, out);
  *out += ": ";
  AppendClean(value, out);
  *out += "\r\n";
}

}  // namespace

bool HasBody(int status) { return status != 204 && status != 304; }

void AppendHead(const Response& response, const ResponseFraming& framing, std::string_view date,
                std::string* out) {
  fmt::format_to(std::back_inserter(*out), "HTTP/1.1 {} {}\r\nServer: phalanx\r\nDate: {}\r\n",
                 response.status, ReasonOf(response.status), date);
  const bool has_body = HasBody(response.status);
  if (has_body && !response.content_type.empty()) {
    AppendHeader("Content-Type", response.content_type, out);
  }
  for (const Header& header : response.headers) AppendHeader(header.name, header.value, out);
  if (has_body && framing.content_length) {
    fmt::format_to(std::back_inserter(*out), "Content-Length: {}\r\n", *framing.content_length);
  }
  if (has_body && framing.chunked) *out += "Transfer-Encoding: chunked\r\n";
  if (framing.close) *out += "Connection: close\r\n";
  if (framing.keep_alive) *out += "Connection: keep-alive\r\n";
  *out += "\r\n";
}

void AppendChunk(std::string_view data, std::string* out) {
  if (data.empty()) return;  // an empty chunk would be the last
  fmt::format_to(std::back_inserter(*out), "{:x}\r\n", data.size());
  out->append(data);
  out->append("\r\n");
}

void AppendLastChunk(std::string* out) { out->append("0\r\n\r\n"); }

std::string FormatDate(std::time_t time) {
  constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                  "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  gmtime_r(&time, &utc);
  return fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT",
                     kDays.at(static_cast<size_t>(utc.tm_wday)), utc.tm_mday,
                     kMonths.at(static_cast<size_t>(utc.tm_mon)), utc.tm_year + 1900, utc.tm_hour,
                     utc.tm_min, utc.tm_sec);
}

}  // namespace phalanx::http
