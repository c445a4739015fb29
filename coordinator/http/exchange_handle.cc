#include "coordinator/http/exchange_handle.h"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <utility>

#include "coordinator/http/connection.h"
#include "coordinator/http/refusal.h"

namespace phalanx::http {

void ExchangeLink::Cut() {
  std::lock_guard lock(mu_);
  connection_ = nullptr;
}

template <typename Action>
bool ExchangeLink::Post(const std::shared_ptr<ExchangeLink>& link, Action action) {
  // Under the lock: the connection, and with it the loop, outlives what is posted to it.
  std::lock_guard lock(link->mu_);
  if (link->connection_ == nullptr) return false;
  auto connection = link->connection_->shared_from_this();
  boost::asio::post(link->connection_->executor(),
                    [connection = std::move(connection), link,
                     action = std::move(action)]() mutable { action(*connection, link); });
  return true;
}

ExchangeHandle::~ExchangeHandle() {
  if (answered_) return;
  ExchangeLink::Post(link_, [](Connection& connection, const auto& link) {
    connection.Send(link, ToResponse({500, "the request was dropped unanswered"}));
  });
}

bool ExchangeHandle::ClaimAnswer() {
  if (!answered_.exchange(true)) return true;
  spdlog::error("http: an exchange was answered twice, the second answer is dropped");
  return false;
}

void ExchangeHandle::Send(Response response) {
  if (!ClaimAnswer()) return;
  ExchangeLink::Post(
      link_, [response = std::move(response)](Connection& connection, const auto& link) mutable {
        connection.Send(link, std::move(response));
      });
}

void ExchangeHandle::Stream(Response head, std::shared_ptr<BodySource> source) {
  if (!ClaimAnswer()) return;
  const bool posted = ExchangeLink::Post(
      link_, [head = std::move(head), source](Connection& connection, const auto& link) mutable {
        connection.Stream(link, std::move(head), std::move(source));
      });
  if (!posted) source->Done(BodySource::Outcome::kGone);
}

void ExchangeHandle::Wake() {
  if (!link_->ClaimWake()) return;
  ExchangeLink::Post(link_,
                     [](Connection& connection, const auto& link) { connection.Wake(link); });
}

void ExchangeHandle::Abort() {
  ExchangeLink::Post(link_,
                     [](Connection& connection, const auto& link) { connection.Abort(link); });
}

void ExchangeHandle::Watch(std::weak_ptr<Watcher> watcher) {
  const bool posted = ExchangeLink::Post(
      link_,
      [watcher](Connection& connection, const auto& link) { connection.Watch(link, watcher); });
  if (posted) return;
  if (const std::shared_ptr<Watcher> alive = watcher.lock()) alive->OnGone();
}

}  // namespace phalanx::http
