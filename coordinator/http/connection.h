// One client's connection: requests in, answers out, strictly in turns.
//
//   kRequest --complete--> kAnswer --Send--> kReply ---written--+
//      ^  \                    \--Stream-> kStream --written--+ |
//      |   \--refused--> kLinger                              | |
//      +----------------------- keep-alive -------------------+-+
//
// While a request is answered, the socket is still read, up to max_read_ahead_bytes, so that the
// client's end is noticed at once. An end of the client's writing side counts as its end for an
// answer that is awaited or streamed, as for other servers of streams: nothing in HTTP needs a half
// open connection, and a killed client looks just like it.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

#include "coordinator/core/refusal_log.h"
#include "coordinator/http/event_loop.h"
#include "coordinator/http/exchange_handle.h"
#include "coordinator/http/listen_socket.h"
#include "coordinator/http/refusal.h"
#include "coordinator/http/request_parser.h"
#include "coordinator/http/server_core.h"
#include "coordinator/http/tls.h"
#include "coordinator/http/transport.h"

namespace phalanx::http {

// Belongs to its loop's thread; only executor and shared_from_this may be used from others.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using LinkPtr = std::shared_ptr<ExchangeLink>;

  // Takes over the connected, non-blocking socket, and its places in core.connections and
  // core.addresses. `tls`: its
  // side of the connection; null: plain.
  Connection(ServerCore& core, EventLoop& loop, int socket, Peer peer, const TlsContext* tls);

  // One of these, once.
  void Serve();
  void TurnAway(Refusal refusal);

  // Ends after the request that is under way, if one is.
  void Drain();
  void Cut() { Close(); }

  // Of the exchange; a link that is not the present one's is ignored.
  void Send(const LinkPtr& link, Response response);
  void Stream(const LinkPtr& link, Response head, std::shared_ptr<BodySource> source);
  void Wake(const LinkPtr& link);
  void Abort(const LinkPtr& link);
  void Watch(const LinkPtr& link, const std::weak_ptr<Exchange::Watcher>& watcher);

  boost::asio::io_context::executor_type executor() { return loop_.context.get_executor(); }

 private:
  enum class Phase {
    kRequest,  // waiting for one, or receiving it
    kAnswer,   // the handler has it
    kReply,    // a whole answer is being written
    kStream,   // a body is being pulled and written
    kLinger,   // the last answer is written; what comes is thrown away
  };
  using Clock = std::chrono::steady_clock;
  using ErrorCode = boost::system::error_code;

  // Receiving.
  void ArmRead();
  void ArmError();
  void ReadWhenWritable();
  void OnReadable();
  void OnInput(std::string_view data);
  void OnEndOfInput();
  void CloseUnlessAnswered();
  size_t ReadRoom() const;
  void ParseInput();
  void OnBodyProgress();
  void Dispatch();
  bool IsRefusedByHead();
  void Refuse(Refusal refusal);
  void EndWith(Response response);
  void LogRefusal(RefusalKind kind, std::string_view detail) const;

  // Answering.
  enum class WriteResult { kWritten, kBlocked, kClosed };
  WriteResult WriteOut();
  void ArmWrite();
  void Flush();
  bool PullPiece();
  void OnAllWritten();
  void EndExchange(BodySource::Outcome outcome);
  void StartLinger();
  void Close();
  bool IsUsable() const;

  // Time.
  void SetDeadline(std::chrono::milliseconds from_now);
  void ClearDeadline() { deadline_ = Clock::time_point::max(); }
  void ArmTimer();
  void OnDeadline();

  ServerCore& core_;
  EventLoop& loop_;
  boost::asio::posix::stream_descriptor socket_;
  const std::unique_ptr<Transport> transport_;  // null: out of memory
  const std::string peer_;
  const std::string address_;  // in core_.addresses
  Phase phase_ = Phase::kRequest;
  bool closed_ = false;
  bool draining_ = false;
  bool is_greeting_ = false;  // TLS has not agreed on its keys

  // Timers are cheap to leave alone and dear to move: this one runs out at or before the deadline.
  boost::asio::steady_timer timer_;
  Clock::time_point deadline_ = Clock::time_point::max();
  Clock::time_point timer_expiry_ = Clock::time_point::max();  // max: it does not run

  bool read_armed_ = false;
  bool write_needs_read_ = false;  // TLS cannot go on writing before it has read
  bool error_armed_ = false;
  bool end_of_input_ = false;
  std::string input_;  // received and not yet parsed, from input_begin_ on
  size_t input_begin_ = 0;
  size_t linger_bytes_ = 0;
  std::unique_ptr<RequestParser> parser_;  // of the request that is being received
  size_t body_bytes_ = 0;  // of it, or of what is being answered, in core_.body_bytes

  // Of the exchange under way.
  LinkPtr link_;
  std::weak_ptr<Exchange::Watcher> watcher_;
  std::shared_ptr<BodySource> source_;
  bool close_after_ = false;
  bool head_only_ = false;  // of a HEAD request
  bool chunked_ = false;    // the streamed body; else the connection's end ends it
  std::string head_;        // of a stream, until its first piece

  bool write_armed_ = false;  // the socket is full
  bool source_ended_ = false;
  std::string piece_;
  std::string output_;  // being written, from output_begin_ on
  size_t output_begin_ = 0;

  // For the log.
  std::string log_name_;  // method and path
  int status_ = 0;
  size_t sent_bytes_ = 0;
  Clock::time_point begin_;
};

}  // namespace phalanx::http
