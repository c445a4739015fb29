// What the tests' servers answer.
//
//   /echo    the body
//   /query   the query
//   /bytes   as many bytes as the query says
//   /stream  as many pieces as the query says, streamed: "0\n", "1\n", ...
//   /flood   pieces without end, as fast as they are taken
//   /hold    nothing: the test takes the exchange and answers
//   /drop    nothing, and the exchange is let go of
//   else     404
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "coordinator/http/exchange.h"

namespace phalanx::http::testing {

class TestHandler final : public Handler {
 public:
  // Of requests with a header "refused".
  std::optional<Response> RefuseHead(const Request& head) const override;
  void Handle(std::shared_ptr<Exchange> exchange) override;

  // The next exchange of /hold; null after ten seconds.
  std::shared_ptr<Exchange> TakeHeld();

  int num_requests() const { return num_requests_; }
  // How the streams ended.
  int num_delivered() const { return *num_delivered_; }
  int num_gone() const { return *num_gone_; }

 private:
  std::atomic<int> num_requests_ = 0;
  std::shared_ptr<std::atomic<int>> num_delivered_ = std::make_shared<std::atomic<int>>(0);
  std::shared_ptr<std::atomic<int>> num_gone_ = std::make_shared<std::atomic<int>>(0);
  std::mutex mu_;
  std::condition_variable held_one_;
  std::deque<std::shared_ptr<Exchange>> held_;
};

// A body that a test fills.
class TestSource final : public BodySource {
 public:
  PullResult Pull(std::string* out) override;
  void Done(Outcome outcome) override;

  void Give(std::string piece);
  void End();
  int num_pulls() const { return num_pulls_; }
  // How it ended, waited for; null after ten seconds.
  const Outcome* WaitUntilDone();

 private:
  std::atomic<int> num_pulls_ = 0;
  std::mutex mu_;
  std::condition_variable done_;
  std::string data_;
  bool ended_ = false;
  std::unique_ptr<Outcome> outcome_;
};

class TestWatcher final : public Exchange::Watcher {
 public:
  void OnGone() override;
  int num_calls() const { return num_calls_; }
  bool WaitUntilGone();  // false after ten seconds

 private:
  std::atomic<int> num_calls_ = 0;
};

}  // namespace phalanx::http::testing
