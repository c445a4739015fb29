// The life of a connection, its clock and its receiving half; connection_answer.cc has the rest.
#include "coordinator/http/connection.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <utility>

#include "coordinator/core/printable.h"
#include "coordinator/http/request_id.h"

namespace phalanx::http {
namespace {

constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
// Of a client that goes on sending after its refusal.
constexpr size_t kMaxLingerBytes = 8 << 20;

RefusalKind KindOf(int status) {
  switch (status) {
    case 408:
      return RefusalKind::kLate;
    case 429:
    case 503:
      return RefusalKind::kTooMany;
    default:
      return RefusalKind::kMalformed;
  }
}

}  // namespace

Connection::Connection(ServerCore& core, EventLoop& loop, int socket, Peer peer,
                       const TlsContext* tls)
    : core_(core),
      loop_(loop),
      socket_(loop.context),
      transport_(tls == nullptr ? MakePlainTransport(socket) : tls->Accept(socket)),
      peer_(std::move(peer.name)),
      address_(std::move(peer.address)),
      timer_(loop.context) {
  ErrorCode error;
  socket_.assign(socket, error);
  if (error) ::close(socket);
}

void Connection::Serve() {
  loop_.connections.insert(shared_from_this());
  if (!IsUsable()) return Close();
  ParseInput();
  // A client that says nothing in TLS has not even asked for an idle connection.
  is_greeting_ = !transport_->IsEstablished();
  if (is_greeting_) SetDeadline(core_.options.timeouts.header);
}

void Connection::TurnAway(Refusal refusal) {
  loop_.connections.insert(shared_from_this());
  if (!IsUsable()) return Close();
  Refuse(std::move(refusal));
}

// False: the kernel would not watch it, or memory is short.
bool Connection::IsUsable() const { return socket_.is_open() && transport_ != nullptr; }

void Connection::Drain() {
  draining_ = true;
  if (phase_ == Phase::kRequest && parser_ == nullptr) Close();
}

// The socket goes before its owners hear of it, and they hear of it once.
void Connection::Close() {
  if (closed_) return;
  closed_ = true;
  const std::shared_ptr<Connection> self = shared_from_this();
  ErrorCode ignored;
  timer_.cancel(ignored);
  if (IsUsable()) transport_->End();
  socket_.close(ignored);
  if (link_ != nullptr) EndExchange(BodySource::Outcome::kGone);
  core_.body_bytes -= std::exchange(body_bytes_, 0);
  loop_.connections.erase(self);
  core_.addresses.Remove(address_);
  core_.connections.Remove();
}

// ------------------------------------------------------------------------------------------ time

void Connection::SetDeadline(std::chrono::milliseconds from_now) {
  deadline_ = Clock::now() + from_now;
  if (deadline_ < timer_expiry_) ArmTimer();
}

void Connection::ArmTimer() {
  timer_expiry_ = deadline_;
  timer_.expires_at(deadline_);  // cancels what waited
  timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (error || self->closed_) return;
    self->timer_expiry_ = Clock::time_point::max();
    if (self->deadline_ == Clock::time_point::max()) return;
    if (self->deadline_ <= Clock::now()) {
      self->ClearDeadline();
      self->OnDeadline();
    } else {
      self->ArmTimer();
    }
  });
}

void Connection::OnDeadline() {
  switch (phase_) {
    case Phase::kRequest:
      if (is_greeting_ && !transport_->IsEstablished()) {
        LogRefusal(RefusalKind::kHandshakeTimeout, "");
      }
      if (parser_ == nullptr || write_armed_) return Close();
      return Refuse({408, parser_->state() == RequestParser::State::kBody
                              ? "body: did not come in time"
                              : "headers: did not come in time"});
    case Phase::kReply:
    case Phase::kStream:
      LogRefusal(RefusalKind::kUnread, "");
      {
        // What it did not take is thrown away with the connection instead of being kept for it.
        const linger none{.l_onoff = 1, .l_linger = 0};
        ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_LINGER, &none, sizeof(none));
      }
      return Close();
    case Phase::kAnswer:
    case Phase::kLinger:
      return Close();
  }
}

// ------------------------------------------------------------------------------------- receiving

size_t Connection::ReadRoom() const {
  if (phase_ == Phase::kRequest || phase_ == Phase::kLinger) return loop_.scratch.size();
  const size_t held = input_.size() - input_begin_;
  return core_.options.max_read_ahead_bytes - std::min(held, core_.options.max_read_ahead_bytes);
}

// Waiting instead of receiving: thousands of idle connections need no buffer each.
void Connection::ArmRead() {
  if (closed_ || end_of_input_) return;
  if (ReadRoom() == 0) return ArmError();
  if (std::exchange(read_armed_, true)) return;
  const auto then_read = [self = shared_from_this()](const ErrorCode& error) {
    self->read_armed_ = false;
    if (self->closed_) return;
    error ? self->Close() : self->OnReadable();
  };
  if (transport_->HasPending()) {
    boost::asio::post(executor(), [then_read] { then_read(ErrorCode()); });
  } else {
    socket_.async_wait(boost::asio::posix::stream_descriptor::wait_read, then_read);
  }
}

// Where TLS cannot go on reading before it has written.
void Connection::ReadWhenWritable() {
  if (std::exchange(read_armed_, true)) return;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](const ErrorCode& error) {
                       self->read_armed_ = false;
                       if (self->closed_) return;
                       error ? self->Close() : self->OnReadable();
                     });
}

// With no room for more input, a reset is still noticed; an end is not, since it comes after what
// was not received.
void Connection::ArmError() {
  if (std::exchange(error_armed_, true)) return;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_error,
                     [self = shared_from_this()](const ErrorCode&) { self->Close(); });
}

void Connection::OnReadable() {
  const size_t room = std::min(ReadRoom(), loop_.scratch.size());
  if (room == 0) return ArmRead();
  const IoResult read = transport_->Read({loop_.scratch.data(), room});
  if (std::exchange(write_needs_read_, false)) {
    boost::asio::post(executor(), [self = shared_from_this()] {
      if (!self->closed_) self->Flush();
    });
  }
  switch (read.state) {
    case IoState::kDone:
      OnInput({loop_.scratch.data(), read.count});
      return ArmRead();
    case IoState::kNeedsRead:
      if (is_greeting_ && transport_->IsEstablished()) {
        is_greeting_ = false;
        const bool is_idle = phase_ == Phase::kRequest && parser_ == nullptr;
        if (is_idle) SetDeadline(core_.options.timeouts.idle);
      }
      return ArmRead();
    case IoState::kNeedsWrite:
      return ReadWhenWritable();
    case IoState::kEnd:
      end_of_input_ = true;
      return OnEndOfInput();
    case IoState::kFailed:
      if (const std::string why = transport_->HandshakeError(); !why.empty()) {
        LogRefusal(RefusalKind::kHandshake, why);
      }
      return Close();
  }
}

void Connection::OnEndOfInput() {
  switch (phase_) {
    case Phase::kAnswer:
      return CloseUnlessAnswered();
    case Phase::kReply:  // may still be read by whoever closed its own side
      return;
    case Phase::kRequest:
    case Phase::kStream:
    case Phase::kLinger:
      return Close();
  }
}

// Nobody waits for what does not come at once: an answer that is already posted goes first.
void Connection::CloseUnlessAnswered() {
  boost::asio::post(executor(), [self = shared_from_this(), link = link_] {
    if (self->link_ == link && self->phase_ != Phase::kReply) self->Close();
  });
}

void Connection::OnInput(std::string_view data) {
  if (phase_ == Phase::kLinger) {
    linger_bytes_ += data.size();
    if (linger_bytes_ > kMaxLingerBytes) Close();
    return;
  }
  input_.append(data);
  if (phase_ == Phase::kRequest) ParseInput();
}

void Connection::ParseInput() {
  const std::string_view data = std::string_view(input_).substr(input_begin_);
  if (parser_ == nullptr) {
    if (data.empty()) {
      std::string().swap(input_);
      input_begin_ = 0;
      if (draining_ || end_of_input_) return Close();
      SetDeadline(core_.options.timeouts.idle);
      return ArmRead();
    }
    parser_ = std::make_unique<RequestParser>(core_.options.message);
    SetDeadline(core_.options.timeouts.header);
    begin_ = Clock::now();
  }
  const RequestParser::State before = parser_->state();
  input_begin_ += parser_->Consume(data);
  if (input_begin_ == input_.size()) {
    input_.clear();
    input_begin_ = 0;
  }
  if (before == RequestParser::State::kHead && IsRefusedByHead()) return;
  if (before == RequestParser::State::kHead && parser_->state() == RequestParser::State::kBody) {
    SetDeadline(core_.options.timeouts.body);
    if (parser_->framing().expects_continue && parser_->request().body.empty()) {
      output_.append(kContinue);
      Flush();
      if (closed_) return;
    }
  }
  OnBodyProgress();
}

// Whether the head that has just come was refused, before the body that follows it is read.
bool Connection::IsRefusedByHead() {
  const RequestParser::State state = parser_->state();
  if (state != RequestParser::State::kBody && state != RequestParser::State::kComplete) {
    return false;
  }
  const Framing& framing = parser_->framing();
  if (!framing.chunked && framing.content_length == 0) return false;
  Request& head = parser_->request();
  head.peer = peer_;
  std::optional<Response> response = core_.handler->RefuseHead(head);
  if (!response) return false;
  EndWith(*std::move(response));
  return true;
}

void Connection::OnBodyProgress() {
  const size_t held = parser_->request().body.size();
  core_.body_bytes += held - body_bytes_;
  body_bytes_ = held;
  switch (parser_->state()) {
    case RequestParser::State::kHead:
    case RequestParser::State::kBody:
      if (core_.body_bytes > core_.options.max_body_memory_bytes) {
        return Refuse({503, "the server holds as many request bodies as it may"});
      }
      return end_of_input_ ? Close() : ArmRead();
    case RequestParser::State::kComplete:
      return Dispatch();
    case RequestParser::State::kRefused:
      return Refuse(parser_->refusal());
  }
}

void Connection::Dispatch() {
  phase_ = Phase::kAnswer;
  ClearDeadline();
  Request request = std::move(parser_->request());
  request.peer = peer_;
  head_only_ = request.method == "HEAD";
  chunked_ = parser_->version() == HttpVersion::k11;
  close_after_ = !parser_->framing().keep_alive;
  parser_.reset();
  if (spdlog::should_log(spdlog::level::debug)) {
    log_name_ = Printable(request.method) + " " + Printable(request.path);
  }
  link_ = std::make_shared<ExchangeLink>(this);
  core_.handler->Handle(std::make_shared<ExchangeHandle>(link_, std::move(request)));
  end_of_input_ ? CloseUnlessAnswered() : ArmRead();
}

void Connection::LogRefusal(RefusalKind kind, std::string_view detail) const {
  core_.options.refusals->Add(
      {.protocol = FrontProtocol::kHttp, .kind = kind, .peer = peer_, .detail = detail});
}

// The connection ends with it: what follows on it cannot be told apart from the refused request.
void Connection::Refuse(Refusal refusal) {
  LogRefusal(KindOf(refusal.status), fmt::format("{} {}", refusal.status, refusal.message));
  Response response = ToResponse(refusal);
  if (parser_ != nullptr) AddRequestId(parser_->request(), &response);
  EndWith(std::move(response));
}

void Connection::EndWith(Response response) {
  const bool head_only = parser_ != nullptr && parser_->request().method == "HEAD";
  parser_.reset();
  core_.body_bytes -= std::exchange(body_bytes_, 0);
  ClearDeadline();
  phase_ = Phase::kReply;
  close_after_ = true;
  AppendHead(response, {.content_length = response.body.size(), .close = true}, loop_.Date(),
             &output_);
  if (!head_only) output_.append(response.body);
  ArmRead();
  Flush();
}

}  // namespace phalanx::http
