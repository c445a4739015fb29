#include "tests/http/test_handler.h"

#include <chrono>
#include <thread>
#include <utility>

namespace phalanx::http::testing {
namespace {

constexpr std::chrono::seconds kTimeout{10};

// Numbered lines, one a pull.
class CountingSource final : public BodySource {
 public:
  CountingSource(int count, std::shared_ptr<std::atomic<int>> num_delivered,
                 std::shared_ptr<std::atomic<int>> num_gone)
      : count_(count), num_delivered_(std::move(num_delivered)), num_gone_(std::move(num_gone)) {}

  PullResult Pull(std::string* out) override {
    if (next_ == count_) return PullResult::kEnd;
    *out += std::to_string(next_++) + "\n";
    return PullResult::kData;
  }
  void Done(Outcome outcome) override {
    ++*(outcome == Outcome::kDelivered ? num_delivered_ : num_gone_);
  }

 private:
  const int count_;
  const std::shared_ptr<std::atomic<int>> num_delivered_;
  const std::shared_ptr<std::atomic<int>> num_gone_;
  int next_ = 0;
};

}  // namespace

std::optional<Response> TestHandler::RefuseHead(const Request& head) const {
  if (head.FindHeader("refused").empty()) return std::nullopt;
  return Response{.status = 401, .headers = {}, .content_type = "text/plain", .body = head.peer};
}

void TestHandler::Handle(std::shared_ptr<Exchange> exchange) {
  ++num_requests_;
  const Request& request = exchange->request();
  Response response{.status = 200, .headers = {}, .content_type = "text/plain", .body = ""};
  if (request.path == "/hold") {
    std::lock_guard lock(mu_);
    held_.push_back(std::move(exchange));
    held_one_.notify_one();
  } else if (request.path == "/drop") {
    exchange.reset();
  } else if (request.path == "/stream" || request.path == "/flood") {
    const int count = request.path == "/flood" ? -1 : std::stoi(request.query);
    exchange->Stream(std::move(response),
                     std::make_shared<CountingSource>(count, num_delivered_, num_gone_));
  } else {
    if (request.path == "/echo") {
      response.body = request.body;
    } else if (request.path == "/query") {
      response.body = request.query;
    } else if (request.path == "/bytes") {
      response.body.assign(std::stoul(request.query), 'x');
    } else {
      response.status = 404;
      response.body = request.method + " " + request.path;
    }
    exchange->Send(std::move(response));
  }
}

std::shared_ptr<Exchange> TestHandler::TakeHeld() {
  std::unique_lock lock(mu_);
  if (!held_one_.wait_for(lock, kTimeout, [this] { return !held_.empty(); })) return nullptr;
  std::shared_ptr<Exchange> exchange = std::move(held_.front());
  held_.pop_front();
  return exchange;
}

BodySource::PullResult TestSource::Pull(std::string* out) {
  ++num_pulls_;
  std::lock_guard lock(mu_);
  out->append(std::exchange(data_, {}));
  if (ended_) return PullResult::kEnd;
  return out->empty() ? PullResult::kNothing : PullResult::kData;
}

void TestSource::Done(Outcome outcome) {
  std::lock_guard lock(mu_);
  outcome_ = std::make_unique<Outcome>(outcome);
  done_.notify_all();
}

void TestSource::Give(std::string piece) {
  std::lock_guard lock(mu_);
  data_ += piece;
}

void TestSource::End() {
  std::lock_guard lock(mu_);
  ended_ = true;
}

const BodySource::Outcome* TestSource::WaitUntilDone() {
  std::unique_lock lock(mu_);
  done_.wait_for(lock, kTimeout, [this] { return outcome_ != nullptr; });
  return outcome_.get();
}

void TestWatcher::OnGone() { ++num_calls_; }

bool TestWatcher::WaitUntilGone() {
  const auto deadline = std::chrono::steady_clock::now() + kTimeout;
  while (num_calls_ == 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return num_calls_ > 0;
}

}  // namespace phalanx::http::testing
