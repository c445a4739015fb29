// The answering half of a connection.
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "coordinator/http/connection.h"
#include "coordinator/http/response_head.h"

namespace phalanx::http {
namespace {

// Before other connections of the loop get their turn.
constexpr int kMaxPiecesATurn = 16;

}  // namespace

void Connection::Send(const LinkPtr& link, Response response) {
  if (closed_ || link != link_) return;
  phase_ = Phase::kReply;
  status_ = response.status;
  close_after_ |= draining_;
  AppendHead(response,
             {.content_length = response.body.size(),
              .close = close_after_,
              .keep_alive = !chunked_ && !close_after_},
             loop_.Date(), &output_);
  if (!head_only_ && HasBody(response.status)) output_.append(response.body);
  Flush();
}

void Connection::Stream(const LinkPtr& link, Response head, std::shared_ptr<BodySource> source) {
  if (closed_ || link != link_) return source->Done(BodySource::Outcome::kGone);
  phase_ = Phase::kStream;
  status_ = head.status;
  source_ = std::move(source);
  source_ended_ = false;
  close_after_ |= draining_ || !chunked_;
  AppendHead(head, {.content_length = {}, .chunked = chunked_, .close = close_after_}, loop_.Date(),
             &head_);
  if (head_only_ || !HasBody(head.status)) {
    output_.append(std::exchange(head_, {}));
    source_ended_ = true;
  }
  Flush();
}

void Connection::Wake(const LinkPtr& link) {
  link->WakeArrived();
  if (closed_ || link != link_ || phase_ != Phase::kStream || write_armed_) return;
  Flush();
}

void Connection::Abort(const LinkPtr& link) {
  if (link == link_) Close();
}

void Connection::Watch(const LinkPtr& link, const std::weak_ptr<Exchange::Watcher>& watcher) {
  if (closed_) {
    if (const std::shared_ptr<Exchange::Watcher> alive = watcher.lock()) alive->OnGone();
  } else if (link == link_) {
    watcher_ = watcher;
  }
}

// Writes what there is and pulls more, until the socket takes nothing or the source has nothing.
void Connection::Flush() {
  for (int turn = 0;; ++turn) {
    if (WriteOut() != WriteResult::kWritten) return;
    if (phase_ != Phase::kStream || source_ended_) break;
    if (turn == kMaxPiecesATurn) {
      boost::asio::post(executor(),
                        [self = shared_from_this(), link = link_] { self->Wake(link); });
      return;
    }
    if (!PullPiece()) return;
  }
  OnAllWritten();
}

Connection::WriteResult Connection::WriteOut() {
  bool progress = deadline_ == Clock::time_point::max();  // a first attempt starts the clock
  while (output_begin_ < output_.size()) {
    const IoResult written = transport_->Write(std::string_view(output_).substr(output_begin_));
    if (written.state == IoState::kDone) {
      output_begin_ += written.count;
      sent_bytes_ += written.count;
      progress = true;
    } else if (written.state == IoState::kNeedsWrite || written.state == IoState::kNeedsRead) {
      if (progress && phase_ != Phase::kRequest) {
        SetDeadline(core_.options.timeouts.stalled_write);
      }
      if (written.state == IoState::kNeedsWrite) {
        ArmWrite();
      } else {
        write_needs_read_ = true;
        ArmRead();
      }
      return WriteResult::kBlocked;
    } else {
      Close();
      return WriteResult::kClosed;
    }
  }
  output_.clear();
  output_begin_ = 0;
  if (phase_ != Phase::kRequest) ClearDeadline();
  return WriteResult::kWritten;
}

void Connection::ArmWrite() {
  if (std::exchange(write_armed_, true)) return;
  socket_.async_wait(boost::asio::posix::stream_descriptor::wait_write,
                     [self = shared_from_this()](const ErrorCode& error) {
                       self->write_armed_ = false;
                       if (self->closed_) return;
                       error ? self->Close() : self->Flush();
                     });
}

// Appends the source's next piece to the output. False: it has none now.
bool Connection::PullPiece() {
  piece_.clear();
  const BodySource::PullResult result = source_->Pull(&piece_);
  source_ended_ = result == BodySource::PullResult::kEnd;
  if (!source_ended_ && (result == BodySource::PullResult::kNothing || piece_.empty())) {
    return result == BodySource::PullResult::kData;
  }
  if (!head_.empty()) output_.append(std::exchange(head_, {}));
  if (chunked_) {
    AppendChunk(piece_, &output_);
    if (source_ended_) AppendLastChunk(&output_);
  } else {
    output_.append(piece_);
  }
  return true;
}

void Connection::OnAllWritten() {
  if (phase_ == Phase::kRequest || phase_ == Phase::kAnswer) return;  // it was 100 Continue
  if (link_ == nullptr) return StartLinger();                         // it was a refusal
  EndExchange(BodySource::Outcome::kDelivered);
  if (close_after_) return input_.empty() ? Close() : StartLinger();
  phase_ = Phase::kRequest;
  ParseInput();
}

void Connection::EndExchange(BodySource::Outcome outcome) {
  const bool gone = outcome == BodySource::Outcome::kGone;
  spdlog::debug(
      "http: {} {} {} {} bytes in {} us{}", peer_, log_name_, status_, sent_bytes_,
      std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - begin_).count(),
      gone ? ", the client went away" : "");
  std::exchange(link_, nullptr)->Cut();
  const std::shared_ptr<Exchange::Watcher> watcher = std::exchange(watcher_, {}).lock();
  const std::shared_ptr<BodySource> source = std::exchange(source_, nullptr);
  core_.body_bytes -= std::exchange(body_bytes_, 0);
  status_ = 0;
  sent_bytes_ = 0;
  log_name_.clear();
  head_.clear();
  std::string().swap(piece_);
  std::string().swap(output_);
  output_begin_ = 0;
  if (gone && watcher != nullptr) watcher->OnGone();
  if (source != nullptr) source->Done(outcome);
}

// Closing at once with something unread would reset the connection, and the client would not see
// why it was refused.
void Connection::StartLinger() {
  if (end_of_input_) return Close();
  phase_ = Phase::kLinger;
  std::string().swap(input_);
  input_begin_ = 0;
  transport_->End();
  ::shutdown(socket_.native_handle(), SHUT_WR);
  SetDeadline(core_.options.timeouts.linger);
  ArmRead();
}

}  // namespace phalanx::http
