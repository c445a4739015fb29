// The exchange that the handler holds: it may be used from any thread, and for longer than its
// connection lives.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "coordinator/http/exchange.h"

namespace phalanx::http {

class Connection;

// The way from an exchange to its connection, cut by the connection when the exchange is over.
class ExchangeLink {
 public:
  explicit ExchangeLink(Connection* connection) : connection_(connection) {}

  void Cut();

  // Runs `action(Connection&, const std::shared_ptr<ExchangeLink>&)` on the connection's thread,
  // later. False: the exchange is over, and nothing was done.
  template <typename Action>
  static bool Post(const std::shared_ptr<ExchangeLink>& link, Action action);

  // True once for each Wake that must be posted: what is posted already serves later ones.
  bool ClaimWake() { return !wake_posted_.exchange(true); }
  void WakeArrived() { wake_posted_ = false; }

 private:
  std::mutex mu_;
  Connection* connection_;
  std::atomic<bool> wake_posted_ = false;
};

class ExchangeHandle final : public Exchange {
 public:
  ExchangeHandle(std::shared_ptr<ExchangeLink> link, Request request)
      : link_(std::move(link)), request_(std::move(request)) {}
  // A handler that lets go of an exchange unanswered gets its client a 500.
  ~ExchangeHandle() override;

  const Request& request() const override { return request_; }
  void Send(Response response) override;
  void Stream(Response head, std::shared_ptr<BodySource> source) override;
  void Wake() override;
  void Abort() override;
  void Watch(std::weak_ptr<Watcher> watcher) override;

 private:
  bool ClaimAnswer();

  const std::shared_ptr<ExchangeLink> link_;
  const Request request_;
  std::atomic<bool> answered_ = false;
};

}  // namespace phalanx::http
