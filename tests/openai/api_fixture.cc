#include "tests/openai/api_fixture.h"

#include <condition_variable>
#include <mutex>

#include "tests/coordinator/test_service.h"

namespace phalanx::testing {

struct FakeExchange::Impl {
  std::mutex mu;
  std::condition_variable changed;
  http::Response head;
  std::shared_ptr<http::BodySource> source;
  std::weak_ptr<Watcher> watcher;
  bool answered = false;
  bool woken = false;
  bool ended = false;
  bool gone = false;

  template <typename Predicate>
  void Wait(std::unique_lock<std::mutex>& lock, Predicate predicate) {
    constexpr std::chrono::seconds kPatience(10);
    PHALANX_CHECK(changed.wait_for(lock, kPatience, predicate));
  }
};

FakeExchange::FakeExchange(http::Request request)
    : request_(std::move(request)), impl_(std::make_unique<Impl>()) {}

FakeExchange::~FakeExchange() = default;

void FakeExchange::Send(http::Response response) {
  std::lock_guard lock(impl_->mu);
  if (impl_->gone) return;
  PHALANX_CHECK(!impl_->answered);
  impl_->answered = true;
  impl_->ended = true;
  impl_->head = std::move(response);
  impl_->changed.notify_all();
}

void FakeExchange::Stream(http::Response head, std::shared_ptr<http::BodySource> source) {
  {
    std::lock_guard lock(impl_->mu);
    PHALANX_CHECK(!impl_->answered);
    impl_->answered = true;
    impl_->head = std::move(head);
    if (!impl_->gone) impl_->source = std::move(source);
    impl_->changed.notify_all();
  }
  if (source != nullptr) source->Done(http::BodySource::Outcome::kGone);
}

void FakeExchange::Wake() {
  std::lock_guard lock(impl_->mu);
  impl_->woken = true;
  impl_->changed.notify_all();
}

void FakeExchange::Abort() { GoAway(); }

void FakeExchange::Watch(std::weak_ptr<Watcher> watcher) {
  std::lock_guard lock(impl_->mu);
  impl_->watcher = std::move(watcher);
}

const http::Response& FakeExchange::WaitHead() {
  std::unique_lock lock(impl_->mu);
  impl_->Wait(lock, [this] { return impl_->answered; });
  return impl_->head;
}

bool FakeExchange::is_stream() const {
  std::lock_guard lock(impl_->mu);
  return impl_->answered && impl_->source != nullptr;
}

bool FakeExchange::is_answered() const {
  std::lock_guard lock(impl_->mu);
  return impl_->answered;
}

std::string FakeExchange::HeaderOf(std::string_view name) {
  for (const http::Header& header : WaitHead().headers) {
    if (header.name == name) return header.value;
  }
  return {};
}

std::string FakeExchange::WaitPiece() {
  WaitHead();
  std::string piece;
  while (piece.empty()) {
    std::shared_ptr<http::BodySource> source;
    {
      std::unique_lock lock(impl_->mu);
      PHALANX_CHECK(!impl_->ended);
      impl_->Wait(lock, [this] { return impl_->woken; });
      impl_->woken = false;
      source = impl_->source;
    }
    const auto result = source->Pull(&piece);
    if (result != http::BodySource::PullResult::kEnd) continue;
    {
      std::lock_guard lock(impl_->mu);
      impl_->ended = true;
      impl_->source = nullptr;
    }
    source->Done(http::BodySource::Outcome::kDelivered);
    break;
  }
  return piece;
}

std::string FakeExchange::WaitBody() {
  const http::Response& head = WaitHead();
  if (!is_stream()) return head.body;
  std::string body;
  while (true) {
    {
      std::lock_guard lock(impl_->mu);
      if (impl_->ended) return body;
    }
    body += WaitPiece();
  }
}

void FakeExchange::FinishWriting() {
  std::shared_ptr<http::BodySource> source;
  {
    std::lock_guard lock(impl_->mu);
    source = impl_->source;
  }
  std::string piece;
  PHALANX_CHECK(source->Pull(&piece) == http::BodySource::PullResult::kNothing);
}

void FakeExchange::GoAway() {
  std::shared_ptr<Watcher> watcher;
  std::shared_ptr<http::BodySource> source;
  {
    std::lock_guard lock(impl_->mu);
    if (impl_->gone || impl_->ended) return;
    impl_->gone = true;
    watcher = impl_->watcher.lock();
    source = std::move(impl_->source);
  }
  if (watcher != nullptr) watcher->OnGone();
  if (source != nullptr) source->Done(http::BodySource::Outcome::kGone);
}

struct Api::Impl {
  TempDir dir;
  TestService service;
  TaskQueue queue{16};
  std::shared_ptr<http::Handler> handler;

  Impl() : service(Limits{}, {.model_dir = DemoModel(), .names = {"demo", "alias"}}) {}
  explicit Impl(const std::string& reasoning_parser)
      : service(
            Limits{},
            {.model_dir = Written(dir), .names = {"demo"}, .reasoning_parser = reasoning_parser}) {}

  static std::filesystem::path Written(const TempDir& dir) {
    WriteThinkingModel(dir.path());
    return dir.path();
  }
};

Api::Api(openai::OpenAiOptions options) : Api(std::make_unique<Impl>(), std::move(options)) {}

std::unique_ptr<Api> Api::OfThinkingModel() {
  return std::unique_ptr<Api>(new Api(std::make_unique<Impl>("deepseek_r1"), {}));
}

Api::Api(std::unique_ptr<Impl> impl, openai::OpenAiOptions options) : impl_(std::move(impl)) {
  constexpr int64_t kNow = 1700000000;
  options.unix_time = [] { return kNow; };
  impl_->handler = openai::MakeOpenAiHandler(impl_->service.frontend(), impl_->queue, options);
}

Api::~Api() = default;

std::shared_ptr<FakeExchange> Api::Request(std::string method, std::string path, std::string body,
                                           std::vector<http::Header> headers) {
  http::Request request;
  request.method = std::move(method);
  request.path = std::move(path);
  request.headers = std::move(headers);
  request.body = std::move(body);
  auto exchange = std::make_shared<FakeExchange>(std::move(request));
  impl_->handler->Handle(exchange);
  return exchange;
}

void Api::AttachEngine() { impl_->service.AttachEngine(); }
void Api::DropEngine() { impl_->service.DropEngine(); }
internal::Submit Api::PopSubmit() { return impl_->service.submits().Pop(); }
bool Api::has_submit() { return !impl_->service.submits().empty(); }
uint64_t Api::PopCancel() { return impl_->service.cancels().Pop(); }

void Api::Send(internal::RequestOutput output) { impl_->service.engine().Send(std::move(output)); }

void Api::Send(uint64_t request, int32_t first_index, const std::vector<int32_t>& tokens,
               internal::EngineFinish finish) {
  Send(FakeEngine::Output(request, first_index, tokens, finish));
}

std::vector<int32_t> Api::Encode(std::string_view text) const {
  return impl_->service.Encode(text);
}

void Api::Answer(const internal::Submit& submit, std::string_view text,
                 internal::EngineFinish finish) {
  const std::vector<int32_t> ids = Encode(text);
  for (size_t i = 0; i < ids.size(); ++i) {
    Send(submit.request(), static_cast<int32_t>(i), {ids[i]},
         i + 1 == ids.size() ? finish : internal::ENGINE_FINISH_NONE);
  }
}

Frontend& Api::frontend() { return impl_->service.frontend(); }

}  // namespace phalanx::testing
