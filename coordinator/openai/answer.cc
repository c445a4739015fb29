#include "coordinator/openai/answer.h"

#include <algorithm>
#include <utility>

#include "coordinator/core/collect.h"

namespace phalanx::openai {

class Answer::PartSink final : public Sink {
 public:
  explicit PartSink(std::shared_ptr<Answer> answer) : answer_(std::move(answer)) {}
  void OnReady() override { answer_->Advance(); }
  void Abort() override { answer_->init_.exchange->Abort(); }

 private:
  const std::shared_ptr<Answer> answer_;
};

void Answer::Run(const std::vector<StartPart>& starts) {
  init_.exchange->Watch(weak_from_this());
  const auto sink = std::make_shared<PartSink>(shared_from_this());
  for (const StartPart& start : starts) {
    StatusOr<std::shared_ptr<Stream>> stream =
        start(Caller{.delivery = init_.delivery, .sink = sink, .key = init_.key});
    if (!stream.ok()) {
      {
        std::lock_guard lock(mu_);
        phase_ = Phase::kFinished;
      }
      SendError(stream.status());
      ReleaseParts();
      return;
    }
    std::lock_guard lock(mu_);
    parts_.push_back({.stream = *std::move(stream), .whole = {}});
  }
  Begin();
}

void Answer::Begin() {
  bool gone = false;
  {
    std::lock_guard lock(mu_);
    std::vector<std::vector<int32_t>> prompt_ids(parts_.size());
    for (size_t i = 0; init_.return_token_ids && i < parts_.size(); ++i) {
      prompt_ids[i] = parts_[i].stream->prompt_ids();
    }
    init_.head.id = parts_.front().stream->id();
    init_.format->Begin(init_.head, std::move(prompt_ids));
    phase_ = Phase::kWaiting;
    gone = gone_;
  }
  if (gone) CancelParts();
  Advance();
}

http::Response Answer::Head() const {
  http::Response head;
  const std::string& id = init_.request_id.empty() ? init_.head.id : init_.request_id;
  if (!id.empty()) head.headers.push_back({"X-Request-Id", id});
  return head;
}

// One of the streams has something.
void Answer::Advance() {
  if (phase_ == Phase::kStreaming) {
    init_.exchange->Wake();
    return;
  }
  Status error;
  {
    std::lock_guard lock(mu_);
    if (phase_ != Phase::kWaiting) return;  // the one that streams pulls after its head, too
    error = Collect(&buffer_);
    if (error.ok() && init_.delivery == Delivery::kIncremental) {
      if (buffer_.empty()) return;
      phase_ = Phase::kStreaming;
    } else {
      if (error.ok() && !AllEnded()) return;
      phase_ = Phase::kFinished;
    }
  }
  if (!error.ok()) {
    SendError(error);
    ReleaseParts();
  } else if (init_.delivery == Delivery::kIncremental) {
    http::Response head = Head();
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers.push_back({"Cache-Control", "no-cache"});
    init_.exchange->Stream(std::move(head), shared_from_this());
    init_.exchange->Wake();
  } else if (!IsLarge() || init_.queue.Post([self = shared_from_this()] { self->SendWhole(); }) ==
                               PostResult::kFull) {
    SendWhole();
  }
}

// Whether writing it takes longer than a few hundred microseconds.
bool Answer::IsLarge() const {
  constexpr int64_t kMaxEntries = 4096;  // tokens and alternatives
  int64_t entries = 0;
  // The last one stands for all: a prompt's first token has no alternatives.
  const auto count = [&entries](const auto& logprobs) {
    if (logprobs.empty()) return;
    entries += int64_t{logprobs.size()} * (1 + logprobs[logprobs.size() - 1].top_size());
  };
  for (const Part& part : parts_) {
    count(part.whole.prompt_logprobs());
    for (const v1::Choice& choice : part.whole.choices()) {
      entries += choice.token_ids_size();
      count(choice.logprobs());
    }
  }
  return entries > kMaxEntries;
}

void Answer::SendWhole() {
  std::vector<v1::GenerateResponse> answers;
  for (Part& part : parts_) answers.push_back(std::move(part.whole));
  http::Response response = Head();
  response.body = init_.format->Whole(answers);
  init_.exchange->Send(std::move(response));
  ReleaseParts();
}

void Answer::SendError(const Status& status) {
  http::Response response = ErrorResponse(InWordsOfApi(status, init_.format->words()));
  for (http::Header& header : Head().headers) response.headers.push_back(std::move(header));
  init_.exchange->Send(std::move(response));
}

bool Answer::AllEnded() const {
  return std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.ended; });
}

Status Answer::Collect(std::string* out) {
  v1::StreamResponse message;
  for (size_t i = 0; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    while (!part.ended) {
      Status status;
      const Stream::NextResult next = part.stream->Next(&message, &status);
      if (next == Stream::NextResult::kNothing) break;
      if (next == Stream::NextResult::kEnd) {
        PHALANX_RETURN_IF_ERROR(status);
        part.ended = true;
      } else if (init_.delivery == Delivery::kIncremental) {
        init_.format->AppendMessage(i, message, out);
      } else {
        AddMessage(&message, &part.whole);
      }
    }
  }
  if (init_.delivery == Delivery::kIncremental && AllEnded()) {
    init_.format->AppendEnd(out);
    ended_ = true;
  }
  return OkStatus();
}

Answer::PullResult Answer::Pull(std::string* out) {
  const size_t begin = out->size();
  Status error;
  bool ended = false;
  {
    std::lock_guard lock(mu_);
    if (buffer_.empty()) {
      for (const Part& part : parts_) part.stream->Written();  // a pull follows a write
    }
    out->append(buffer_);
    buffer_.clear();
    if (!ended_) error = Collect(out);
    if (!error.ok()) {
      *out += "data: " + ErrorBody(InWordsOfApi(error, init_.format->words())) + "\n\n";
      ended_ = true;
    }
    ended = ended_;
  }
  if (!error.ok()) CancelParts();
  if (ended) return PullResult::kEnd;
  return out->size() == begin ? PullResult::kNothing : PullResult::kData;
}

void Answer::Done(Outcome) { ReleaseParts(); }

void Answer::OnGone() {
  {
    std::lock_guard lock(mu_);
    gone_ = true;
  }
  CancelParts();
}

void Answer::CancelParts() {
  std::vector<std::shared_ptr<Stream>> streams;
  {
    std::lock_guard lock(mu_);
    for (const Part& part : parts_) streams.push_back(part.stream);
  }
  for (const std::shared_ptr<Stream>& stream : streams) init_.frontend.Cancel(*stream);
}

// Ends what still runs.
void Answer::ReleaseParts() {
  std::vector<Part> parts;
  {
    std::lock_guard lock(mu_);
    phase_ = Phase::kFinished;
    parts.swap(parts_);
  }
  for (const Part& part : parts) init_.frontend.Release(*part.stream);
}

}  // namespace phalanx::openai
