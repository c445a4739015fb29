// A client that says what a test wants, byte by byte, and reads what comes.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace phalanx::http::testing {

struct ParsedResponse {
  int status = 0;                              // 0: none came
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // without chunk framing
  bool complete = false;                       // its end came, not only the connection's
};

enum class ExpectBody { kYes, kNo };  // kNo: of a HEAD request

// Blocking, and a failed test instead of waiting for more than ten seconds.
class RawClient {
 public:
  explicit RawClient(int port);
  explicit RawClient(const std::string& unix_path);
  ~RawClient();
  RawClient(RawClient&& other) noexcept;
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  bool connected() const { return fd_ >= 0; }
  int fd() const { return fd_; }

  // False: the server does not take it any more.
  bool Write(std::string_view bytes);
  bool WriteBytewise(std::string_view bytes);

  // What comes next, at most `max` bytes; empty at the end of the connection or after the timeout.
  std::string ReadSome(size_t max = 4096);
  ParsedResponse ReadResponse(ExpectBody expect = ExpectBody::kYes);
  std::string ReadToEnd();
  // Whether the server ends the connection within that time; what comes before is thrown away.
  bool EndsWithin(std::chrono::milliseconds time);

  void ShutdownWrite();
  void Close();
  void Reset();  // with RST
  void SetReceiveBuffer(int bytes);

 private:
  bool Fill();  // more into buffer_
  std::optional<std::string> ReadLine();
  bool ReadExactly(size_t bytes, std::string* out);

  int fd_ = -1;
  std::string buffer_;
};

std::string Get(std::string_view target, std::string_view more_headers = "");
std::string Post(std::string_view target, std::string_view body,
                 std::string_view more_headers = "");

}  // namespace phalanx::http::testing
