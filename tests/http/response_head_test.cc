#include "coordinator/http/response_head.h"

#include <gtest/gtest.h>

#include "coordinator/http/refusal.h"

namespace phalanx::http {
namespace {

constexpr std::string_view kDate = "Sun, 06 Nov 1994 08:49:37 GMT";

TEST(ResponseHead, HasWhatTheServerAdds) {
  std::string out;
  AppendHead({.status = 429, .headers = {{"Retry-After", "3"}}, .body = "{}"},
             {.content_length = 2, .close = true}, kDate, &out);
  EXPECT_EQ(out,
            "HTTP/1.1 429 Too Many Requests\r\nServer: phalanx\r\nDate: Sun, 06 Nov 1994 08:49:37 "
            "GMT\r\nContent-Type: application/json\r\nRetry-After: 3\r\nContent-Length: 2\r\n"
            "Connection: close\r\n\r\n");
}

TEST(ResponseHead, OfNoContentHasNoLength) {
  std::string out;
  AppendHead({.status = 204, .headers = {}}, {.content_length = 0}, kDate, &out);
  EXPECT_EQ(out.find("Content-"), std::string::npos);
}

TEST(ResponseHead, LeavesControlCharactersOut) {
  std::string out;
  AppendHead({.headers = {{"X-Request-Id", "a\r\nSet-Cookie: b"}}}, {.content_length = 0}, kDate,
             &out);
  EXPECT_NE(out.find("X-Request-Id: aSet-Cookie: b\r\n"), std::string::npos);
}

TEST(ResponseHead, ChunksAreNeverEmpty) {
  std::string out;
  AppendChunk("", &out);
  EXPECT_EQ(out, "");
  AppendChunk(std::string(26, 'x'), &out);
  AppendLastChunk(&out);
  EXPECT_EQ(out, "1a\r\n" + std::string(26, 'x') + "\r\n0\r\n\r\n");
}

TEST(ResponseHead, FormatsDates) { EXPECT_EQ(FormatDate(784'111'777), kDate); }

TEST(Refusal, HasTheErrorBodyOfTheApi) {
  const Response response = ToResponse({413, R"(is "\xff")"});
  EXPECT_EQ(response.status, 413);
  EXPECT_EQ(response.body, R"({"error":{"message":"is \"\\xff\"","type":"PayloadTooLargeError",)"
                           R"("param":null,"code":413}})");
}

}  // namespace
}  // namespace phalanx::http
