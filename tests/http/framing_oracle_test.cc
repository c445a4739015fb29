// The parser against Boost.Beast's on requests made at random from parts that are good and parts
// that are not: what is accepted here, Beast must read as the same request. (It accepts more.)
#include <gtest/gtest.h>

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <random>
#include <string>
#include <vector>

#include "coordinator/http/request_parser.h"

namespace phalanx::http {
namespace {

namespace beast = boost::beast::http;

struct Seen {
  bool complete = false;
  std::string method;
  std::string body;
  size_t num_headers = 0;
  size_t used = 0;

  bool operator==(const Seen&) const = default;
};

Seen ReadByBeast(const std::string& bytes) {
  beast::request_parser<beast::string_body> parser;
  parser.eager(true);
  boost::system::error_code error;
  size_t used = 0;
  size_t headers_of_head = 0;
  // Leading empty lines are this parser's own leniency.
  while (bytes.compare(used, 2, "\r\n") == 0) used += 2;
  while (!parser.is_done() && used < bytes.size()) {
    const size_t count =
        parser.put(boost::asio::buffer(bytes.data() + used, bytes.size() - used), error);
    used += count;
    if (error || count == 0) break;
  }
  Seen seen;
  seen.complete = parser.is_done() && !error;
  if (!seen.complete) return seen;
  seen.method = std::string(parser.get().method_string());
  seen.body = parser.get().body();
  for (const auto& field : parser.get()) {
    headers_of_head += field.name_string() == "X-Trailer" ? 0 : 1;
  }
  seen.num_headers = headers_of_head;
  seen.used = used;
  return seen;
}

Seen ReadByOurs(const std::string& bytes) {
  RequestParser parser({});
  Seen seen;
  seen.used = parser.Consume(bytes);
  seen.complete = parser.state() == RequestParser::State::kComplete;
  if (!seen.complete) return {};
  seen.method = parser.request().method;
  seen.body = parser.request().body;
  seen.num_headers = parser.request().headers.size();
  return seen;
}

TEST(FramingOracle, AcceptsNothingThatBeastReadsOtherwise) {
  std::mt19937 random(20260101);
  const auto any = [&random](const std::vector<std::string>& of) {
    return of[random() % of.size()];
  };
  const std::vector<std::string> line_ends = {"\r\n", "\r\n", "\r\n", "\r\n", "\r\n",
                                              "\r\n", "\r\n", "\r\n", "\n",   "\r"};
  int num_accepted = 0;
  constexpr int kNumRequests = 100'000;
  for (int i = 0; i < kNumRequests; ++i) {
    std::string bytes = any({"", "", "", "\r\n"}) + any({"GET", "POST", "PUT", "G T", "brew"}) +
                        any({" ", " ", " ", "  ", "\t"}) +
                        any({"/", "/a?b", "http://a/", "*", ""}) + " " +
                        any({"HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0"}) + any(line_ends);
    bytes += any({"Host: a\r\n", "Host: a\r\n", "Host: a\r\n", ""});
    for (size_t header = random() % 3; header > 0; --header) {
      bytes += any({"A: b", "Content-Length: 3", "Content-Length: 3", "Content-Length:4 ",
                    "Content-Length: 3,3", "Transfer-Encoding: chunked",
                    "Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "A : b", " folded",
                    "Transfer-Encoding: x, chunked", "Connection: close"});
      bytes += any(line_ends);
    }
    bytes += any(line_ends);
    bytes += any({"", "abc", "abcd", "3\r\nabc\r\n0\r\n\r\n",
                  "3\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n", "3;x\r\nabc\r\n0\r\n\r\n",
                  "3;x=y;z\r\nabc\r\n0;x=\"\\\"\"\r\n\r\n", "3 ; x = \";\"\r\nabc\r\n0\r\n\r\n",
                  "3;x=\"\n\"\r\nabc\r\n0\r\n\r\n", "3;x\nabc\r\n0\r\n\r\n",
                  "3;\r\nabc\r\n0\r\n\r\n", "0\r\n\r\n", "3\nabc\r\n0\r\n\r\n", "-3\r\nabc\r\n"});
    bytes += any({"", "", "GET / HTTP/1.0\r\n\r\n"});
    const Seen ours = ReadByOurs(bytes);
    if (!ours.complete) continue;
    ++num_accepted;
    const Seen theirs = ReadByBeast(bytes);
    ASSERT_EQ(ours.complete, theirs.complete) << bytes;
    ASSERT_EQ(ours.method, theirs.method) << bytes;
    ASSERT_EQ(ours.body, theirs.body) << bytes;
    ASSERT_EQ(ours.num_headers, theirs.num_headers) << bytes;
    ASSERT_EQ(ours.used, theirs.used) << bytes;
  }
  EXPECT_GT(num_accepted, kNumRequests / 100);
}

}  // namespace
}  // namespace phalanx::http
