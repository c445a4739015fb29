// One thread with what its connections share. A connection lives on one loop, so that nothing of it
// needs a lock: the loop is its strand.
#pragma once

#include <array>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>

#include "coordinator/http/response_head.h"

namespace phalanx::http {

class Connection;

struct EventLoop {
  boost::asio::io_context context{1};
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work =
      boost::asio::make_work_guard(context);
  // Asio opens a context's descriptors when the first timer or socket is made, and throws where it
  // cannot: now and not with the first connection.
  boost::asio::steady_timer first_timer{context};
  std::thread thread;

  // All below belongs to the loop's thread.
  std::unordered_set<std::shared_ptr<Connection>> connections;
  std::array<char, 64 << 10> scratch;  // what was just received, of whichever connection

  // The Date header's value.
  const std::string& Date() {
    const std::time_t now = std::time(nullptr);
    if (now != date_time_) {
      date_time_ = now;
      date_ = FormatDate(now);
    }
    return date_;
  }

 private:
  std::time_t date_time_ = 0;
  std::string date_;
};

}  // namespace phalanx::http
