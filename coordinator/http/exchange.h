// The seam between the HTTP/1.1 server (framing, connections, timeouts, limits) and what answers:
// one exchange is a request with its response. The server knows nothing of inference, a handler
// nothing of sockets.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace phalanx::http {

struct Header {
  std::string name;
  std::string value;
};

// A complete request: its limits are checked, its chunks are joined.
struct Request {
  std::string method;           // upper case, as sent
  std::string path;             // percent-decoded, without the query
  std::string query;            // after '?', undecoded
  std::vector<Header> headers;  // names in lower case, in the order of arrival
  std::string body;
  std::string peer;  // for the log: address:port, or "unix"

  // The first header of that (lower-case) name, or an empty view.
  std::string_view FindHeader(std::string_view name) const;
};

struct Response {
  int status = 200;
  std::vector<Header> headers =
      {};  // beside Content-Length, Date and Connection, which the server adds
  std::string content_type = "application/json";
  std::string body = {};
};

// A body that is pulled piece by piece. All calls come from one thread at a time.
class BodySource {
 public:
  virtual ~BodySource() = default;

  enum class PullResult {
    kNothing,  // nothing yet: BodyStream::Wake says when
    kData,     // *out has the next piece; the one before has been written
    kEnd,      // *out has the last piece, which may be empty
  };
  // Appends to *out, of which a source with much to give hands out at most 256 KiB at once. What
  // piles up while a write is under way should come as one piece.
  virtual PullResult Pull(std::string* out) = 0;

  // The last call: the body is written (`delivered`) or the connection is gone.
  enum class Outcome { kDelivered, kGone };
  virtual void Done(Outcome outcome) = 0;
};

// How an exchange is answered: exactly one of Send and Stream, once, from any thread. Held past the
// connection's end it does nothing. Let go of unanswered, it is answered with 500.
class Exchange {
 public:
  virtual ~Exchange() = default;

  virtual const Request& request() const = 0;
  virtual void Send(Response response) = 0;
  // Status line and headers go out with the first piece of the body, chunked (or until the
  // connection closes, for HTTP/1.0). Calls source->Done before it returns if the client is gone.
  virtual void Stream(Response head, std::shared_ptr<BodySource> source) = 0;
  // source->Pull has something to give. From any thread, also before Stream; must not be called
  // with a lock held that Pull takes.
  virtual void Wake() = 0;
  // Drops the connection without an end of the body, so that the client sees that it is cut.
  virtual void Abort() = 0;

  // Called once if the client goes away before the answer is complete: from the connection's
  // thread, or by Watch itself if it is gone already. Not called after a complete answer. (A
  // stream's source hears the same from Done, after it.)
  class Watcher {
   public:
    virtual ~Watcher() = default;
    virtual void OnGone() = 0;
  };
  virtual void Watch(std::weak_ptr<Watcher> watcher) = 0;
};

class Handler {
 public:
  virtual ~Handler() = default;
  // Of a request with a body, once its head is complete: an answer for which the body is not read
  // and after which the connection closes. Nothing: go on. As quick as Handle.
  virtual std::optional<Response> RefuseHead(const Request& /*head*/) const { return {}; }
  // Must not block for longer than a few hundred microseconds: it runs on a connection's thread.
  virtual void Handle(std::shared_ptr<Exchange> exchange) = 0;
};

}  // namespace phalanx::http
