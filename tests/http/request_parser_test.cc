#include "coordinator/http/request_parser.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "coordinator/http/server_options.h"

namespace phalanx::http {
namespace {

constexpr MessageLimits kLimits;

// 0: complete; -1: more is due; else the refusal's status.
int Outcome(const RequestParser& parser) {
  switch (parser.state()) {
    case RequestParser::State::kComplete:
      return 0;
    case RequestParser::State::kRefused:
      return parser.refusal().status;
    default:
      return -1;
  }
}

// Whole, byte by byte, and cut at random: the outcome may not depend on it.
int Parse(std::string_view bytes, Request* request = nullptr,
          const MessageLimits& limits = kLimits) {
  RequestParser whole(limits);
  const size_t used = whole.Consume(bytes);
  std::mt19937 random(1);
  for (const size_t max_piece : {1U, 7U, 100U}) {
    RequestParser pieces(limits);
    size_t taken = 0;
    while (taken < bytes.size() && Outcome(pieces) == -1) {
      taken += pieces.Consume(bytes.substr(taken, 1 + random() % max_piece));
    }
    EXPECT_EQ(Outcome(pieces), Outcome(whole)) << bytes.substr(0, 200);
    if (Outcome(whole) == 0) {
      EXPECT_EQ(taken, used);
      EXPECT_EQ(pieces.request().body, whole.request().body);
    }
  }
  if (request != nullptr) *request = whole.request();
  return Outcome(whole);
}

struct Case {
  std::string name;
  std::string bytes;
  int outcome;
};

class Framing : public ::testing::TestWithParam<Case> {};

TEST_P(Framing, IsAcceptedOrRefused) { EXPECT_EQ(Parse(GetParam().bytes), GetParam().outcome); }

std::string WithHeaders(const std::string& headers, const std::string& body = "") {
  return "POST / HTTP/1.1\r\nHost: a\r\n" + headers + "\r\n" + body;
}

// Without its end, of so many bytes.
std::string RequestLineOf(size_t bytes) {
  const std::string begin = "GET /";
  const std::string end = " HTTP/1.0";
  return begin + std::string(bytes - begin.size() - end.size(), 'a') + end;
}

std::string Chunked(const std::string& chunks) {
  return WithHeaders("Transfer-Encoding: chunked\r\n", chunks);
}

std::vector<Case> Cases() {
  using namespace std::string_literals;
  return {
      // Request lines.
      {"Get", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"Http10NeedsNoHost", "GET / HTTP/1.0\r\n\r\n", 0},
      {"EmptyLinesBefore", "\r\n\r\nGET / HTTP/1.0\r\n\r\n", 0},
      {"ManyEmptyLinesBefore", "\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.0\r\n\r\n", 400},
      {"UnknownMethodIsTheRouters", "BREW / HTTP/1.0\r\n\r\n", 0},
      {"LowerCaseMethodIsTheRouters", "get / HTTP/1.0\r\n\r\n", 0},
      {"BadMethod", "G(T / HTTP/1.0\r\n\r\n", 400},
      {"EmptyMethod", " / HTTP/1.0\r\n\r\n", 400},
      {"NoVersion", "GET /\r\n\r\n", 400},
      {"TwoBlanks", "GET  / HTTP/1.0\r\n\r\n", 400},
      {"BlankInTarget", "GET /a b HTTP/1.0\r\n\r\n", 400},
      {"TabInLine", "GET\t/ HTTP/1.0\r\n\r\n", 400},
      {"BlankAfterVersion", "GET / HTTP/1.0 \r\n\r\n", 400},
      {"LowerCaseVersion", "GET / http/1.1\r\nHost: a\r\n\r\n", 400},
      {"Version12", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
      {"Version09", "GET / HTTP/0.9\r\n\r\n", 505},
      {"LongVersion", "GET / HTTP/1.10\r\nHost: a\r\n\r\n", 400},
      {"Http2Preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
      {"TlsHello", "\x16\x03\x01\x02\x00\x01\x00"s, 400},
      {"NulInLine", "GET /\0 HTTP/1.0\r\n\r\n"s, 400},
      {"BareLineFeedAfterLine", "GET / HTTP/1.1\nHost: a\n\n", 400},
      {"BareReturnInLine", "GET /\r HTTP/1.0\r\n\r\n", 400},
      {"Connect", "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", 501},
      // Targets.
      {"Asterisk", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"AsteriskOfGet", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"Absolute", "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n", 0},
      {"AbsoluteWithoutHost", "GET http:///b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"NoSlash", "GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"QueryAlone", "GET ?a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"Fragment", "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"CutEscape", "GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"BadEscape", "GET /%4g HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"EscapedNul", "GET /%00 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      {"EscapedLineEnd", "GET /%0d%0a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
      // Headers.
      {"NoHost", "GET / HTTP/1.1\r\n\r\n", 400},
      {"TwoHosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
      {"BlankBeforeColon", WithHeaders("A : b\r\n"), 400},
      {"TabBeforeColon", WithHeaders("A\t: b\r\n"), 400},
      {"NoColon", WithHeaders("Abc\r\n"), 400},
      {"EmptyName", WithHeaders(": b\r\n"), 400},
      {"EmptyValue", WithHeaders("A:\r\n"), 0},
      {"BytesBeyondAscii", WithHeaders("A: \xC3\xA4\r\n"), 0},
      {"Folded", WithHeaders("A: b\r\n c\r\n"), 400},
      {"FoldedFirst", "GET / HTTP/1.0\r\n A: b\r\n\r\n", 400},
      {"NulInValue", WithHeaders("A: b\0c\r\n"s), 400},
      {"ReturnInValue", WithHeaders("A: b\rc\r\n"), 400},
      {"BareLineFeed", WithHeaders("A: b\nC: d\r\n"), 400},
      {"EscapeInValue", WithHeaders("A: \x1B[2J\r\n"), 400},
      // Lengths.
      {"Length", WithHeaders("Content-Length: 3\r\n", "abc"), 0},
      {"LengthZero", WithHeaders("Content-Length: 0\r\n"), 0},
      {"LeadingZeros", WithHeaders("Content-Length: 003\r\n", "abc"), 0},
      {"ShortBody", WithHeaders("Content-Length: 3\r\n", "ab"), -1},
      {"TwoEqualLengths", WithHeaders("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"), 400},
      {"TwoLengths", WithHeaders("Content-Length: 3\r\nContent-Length: 4\r\n", "abc"), 400},
      {"ListOfLengths", WithHeaders("Content-Length: 3, 3\r\n", "abc"), 400},
      {"SignedLength", WithHeaders("Content-Length: +3\r\n", "abc"), 400},
      {"NegativeLength", WithHeaders("Content-Length: -1\r\n"), 400},
      {"HexLength", WithHeaders("Content-Length: 0x3\r\n", "abc"), 400},
      {"EmptyLength", WithHeaders("Content-Length:\r\n"), 400},
      {"BlankInLength", WithHeaders("Content-Length: 1 2\r\n"), 400},
      {"LargeLength", WithHeaders("Content-Length: 2097153\r\n"), 413},
      {"HugeLength", WithHeaders("Content-Length: 99999999999999999999999\r\n"), 413},
      // Transfer codings.
      {"Chunked", Chunked("3\r\nabc\r\n0\r\n\r\n"), 0},
      {"ChunkedUpperCase", WithHeaders("Transfer-Encoding: CHUNKED\r\n", "0\r\n\r\n"), 0},
      {"ChunkedTrailers", Chunked("3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n"), 0},
      {"ChunkedHexSizes", Chunked("A\r\n0123456789\r\nb\r\n0123456789a\r\n00\r\n\r\n"), 0},
      {"LengthAndChunked",
       WithHeaders("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"), 400},
      {"ChunkedAndLength",
       WithHeaders("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"), 400},
      {"ChunkedOfHttp10", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"TwoTransferEncodings",
       WithHeaders("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), 400},
      {"ChunkedTwice", WithHeaders("Transfer-Encoding: chunked, chunked\r\n"), 400},
      {"ChunkedNotLast", WithHeaders("Transfer-Encoding: chunked, gzip\r\n"), 400},
      {"EmptyTransferEncoding", WithHeaders("Transfer-Encoding:\r\n"), 501},
      {"Gzip", WithHeaders("Transfer-Encoding: gzip, chunked\r\n"), 501},
      {"Identity", WithHeaders("Transfer-Encoding: identity\r\n"), 501},
      {"QuotedChunked", WithHeaders("Transfer-Encoding: \"chunked\"\r\n"), 501},
      {"ChunkExtension", Chunked("3;a=b\r\nabc\r\n0\r\n\r\n"), 0},
      {"ChunkExtensionNameAlone", Chunked("3;a\r\nabc\r\n0;last\r\n\r\n"), 0},
      {"ChunkExtensions", Chunked("3;a;b=c;d=\"e\"\r\nabc\r\n0\r\n\r\n"), 0},
      {"ChunkExtensionBlanks", Chunked("3 ;\ta = b\t; c\r\nabc\r\n0\r\n\r\n"), 0},
      {"ChunkExtensionQuoted", Chunked("3;a=\";\\\"=\tx\xFF\"\r\nabc\r\n0\r\n\r\n"), 0},
      {"ChunkExtensionNoName", Chunked("3;\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionNoValue", Chunked("3;a=\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionNameOfTwoWords", Chunked("3;a b\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionBadName", Chunked("3;a/b\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionBadValue", Chunked("3;a=b\"c\"\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionAfterQuotes", Chunked("3;a=\"b\"c\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionBlankAtTheEnd", Chunked("3;a \r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionBareLineFeed", Chunked("3;a\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionBareReturn", Chunked("3;a\rb\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionQuotedLineFeed", Chunked("3;a=\"\nabc\"\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionQuotedLineEnd",
       Chunked("3;a=\"\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\nX: \"\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionQuotedEscapedLineEnd", Chunked("3;a=\"\\\r\n\"\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionOpenQuote", Chunked("3;a=\"b\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkExtensionZero", Chunked("3;a\0\r\nabc\r\n0\r\n\r\n"s), 400},
      {"ChunkExtensionTooLong", Chunked("3;a=" + std::string(20'000, 'x') + "\r\nabc\r\n0\r\n\r\n"),
       431},
      {"ChunkSizeBlank", Chunked("3 \r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkSizeEmpty", Chunked("\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkSizeSigned", Chunked("+3\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkSizePrefixed", Chunked("0x3\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkSizeHuge", Chunked("FFFFFFFFFFFFFFFF\r\n"), 413},
      {"ChunkSizeLong", Chunked("0000000000000000003\r\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkSizeBareLineFeed", Chunked("3\nabc\r\n0\r\n\r\n"), 400},
      {"ChunkTooLong", Chunked("3\r\nabcd\r\n0\r\n\r\n"), 400},
      {"ChunkTooShort", Chunked("3\r\nab\r\n0\r\n\r\n"), 400},
      {"ChunkBareLineFeed", Chunked("3\r\nabc\n0\r\n\r\n"), 400},
      {"ChunksTooMany", Chunked("1fffff\r\n" + std::string(0x1FFFFF, 'x') + "\r\n2\r\n"), 413},
      {"TrailerBareLineFeed", Chunked("0\r\nA: b\n\r\n"), 400},
      {"TrailersTooLong", Chunked("0\r\nA: " + std::string(20'000, 'x') + "\r\n\r\n"), 431},
      // Other headers with a say.
      {"ContentEncoding", WithHeaders("Content-Encoding: gzip\r\n"), 415},
      {"ContentEncodingIdentity", WithHeaders("Content-Encoding: identity\r\n"), 0},
      {"Expect", WithHeaders("Expect: 100-Continue\r\n"), 0},
      {"ExpectElse", WithHeaders("Expect: tea\r\n"), 417},
      {"UpgradeIsIgnored", WithHeaders("Upgrade: h2c\r\nConnection: Upgrade\r\n"), 0},
      // Sizes.
      {"LongTarget", RequestLineOf(8'192) + "\r\n\r\n", 0},
      {"TooLongTarget", RequestLineOf(8'193) + "\r\n\r\n", 414},
      {"TooLongWithoutEnd", std::string(9'000, 'a'), 414},
      {"LongHeader", WithHeaders("A: " + std::string(8'189, 'a') + "\r\n"), 0},
      {"TooLongHeader", WithHeaders("A: " + std::string(8'190, 'a') + "\r\n"), 431},
  };
}

INSTANTIATE_TEST_SUITE_P(Table, Framing, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

TEST(RequestParser, CountsHeadersAndTheirBytes) {
  std::string headers;
  for (int i = 0; i < 63; ++i) headers += "A: b\r\n";  // and Host
  EXPECT_EQ(Parse(WithHeaders(headers)), 0);
  EXPECT_EQ(Parse(WithHeaders(headers + "A: b\r\n")), 431);
  const std::string long_header = "A: " + std::string(4'000, 'a') + "\r\n";
  EXPECT_EQ(Parse(WithHeaders(long_header + long_header + long_header + long_header)), 0);
  EXPECT_EQ(Parse(WithHeaders(long_header + long_header + long_header + long_header + long_header)),
            431);
}

TEST(RequestParser, GivesWhatWasSent) {
  Request request;
  const std::string bytes =
      "POST /a%20b/%C3%A4?x=%20&y HTTP/1.1\r\nHost: h\r\nX-Two:  \t b c \t\r\nx-two: d\r\n"
      "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Two: trailer\r\n\r\n";
  ASSERT_EQ(Parse(bytes, &request), 0);
  EXPECT_EQ(request.method, "POST");
  EXPECT_EQ(request.path, "/a b/\xC3\xA4");
  EXPECT_EQ(request.query, "x=%20&y");
  EXPECT_EQ(request.body, "abcde");
  EXPECT_EQ(request.FindHeader("x-two"), "b c");
  EXPECT_EQ(request.FindHeader("x-three"), "");
  EXPECT_EQ(request.headers.size(), 4);
}

TEST(RequestParser, ReadsAbsoluteTargets) {
  Request request;
  ASSERT_EQ(Parse("GET HTTP://host:1/a?b HTTP/1.0\r\n\r\n", &request), 0);
  EXPECT_EQ(request.path, "/a");
  EXPECT_EQ(request.query, "b");
  ASSERT_EQ(Parse("GET http://host HTTP/1.0\r\n\r\n", &request), 0);
  EXPECT_EQ(request.path, "/");
  ASSERT_EQ(Parse("GET http://host?q HTTP/1.0\r\n\r\n", &request), 0);
  EXPECT_EQ(request.path, "/");
  EXPECT_EQ(request.query, "q");
}

TEST(RequestParser, LeavesTheNextRequest) {
  const std::string one = WithHeaders("Content-Length: 3\r\n", "abc");
  RequestParser parser(kLimits);
  EXPECT_EQ(parser.Consume(one + one), one.size());
  const std::string chunked = Chunked("3;a=\"b\"\r\nabc\r\n0;c\r\n\r\n");
  RequestParser second(kLimits);
  EXPECT_EQ(second.Consume(chunked + one), chunked.size());
}

// Many short extensions are as long as one.
TEST(RequestParser, BoundsTheExtensionsOfAllChunks) {
  const auto chunks = [](int count) {
    std::string body;
    for (int i = 0; i < count; ++i) body += "1;a=" + std::string(1'000, 'x') + "\r\ny\r\n";
    return Chunked(body + "0\r\n\r\n");
  };
  EXPECT_EQ(Parse(chunks(16)), 0);
  EXPECT_EQ(Parse(chunks(17)), 431);
}

TEST(RequestParser, SaysWhatIsWrong) {
  RequestParser parser(kLimits);
  parser.Consume("GET /\x1B HTTP/1.0\r\n\r\n");
  EXPECT_EQ(parser.refusal().message, "request line: holds a control character");
  RequestParser second(kLimits);
  second.Consume(WithHeaders("Content-Length: \xFF\"3\r\n"));
  EXPECT_EQ(second.refusal().message, R"(Content-Length: is "\xff\x223", allowed: decimal digits)");
}

TEST(RequestParser, KeepsAliveAsTheVersionSays) {
  const auto keep_alive = [](const std::string& bytes) {
    RequestParser parser(kLimits);
    parser.Consume(bytes);
    EXPECT_EQ(parser.state(), RequestParser::State::kComplete);
    return parser.framing().keep_alive;
  };
  EXPECT_TRUE(keep_alive(WithHeaders("")));
  EXPECT_TRUE(keep_alive(WithHeaders("Connection: keep-alive\r\n")));
  EXPECT_FALSE(keep_alive(WithHeaders("Connection: TE, Close\r\n")));
  EXPECT_FALSE(keep_alive("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(keep_alive("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"));
  EXPECT_FALSE(keep_alive("GET / HTTP/1.0\r\nConnection: keep-alive, close\r\n\r\n"));
}

}  // namespace
}  // namespace phalanx::http
