// One admitted request with all its choices: everything that must survive a dead worker group, and
// what the client has still to read.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "coordinator/core/api_keys.h"
#include "coordinator/core/choice_output.h"
#include "coordinator/core/clock.h"
#include "coordinator/core/prompt.h"
#include "coordinator/core/sampling.h"
#include "coordinator/core/sink.h"
#include "kernels/base/status.h"
#include "phalanx/internal/engine.pb.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx {

enum class Delivery {
  kIncremental,  // Next() gives messages as they come
  kWhole,        // Next() gives nothing before the end, then one message for each choice
};

struct StreamInit {
  std::string id;
  std::string label;  // the client's request_id
  std::string cache_salt;
  ApiKeyPtr key = {};  // whose request it is; null: nobody's
  int32_t priority = 0;
  uint64_t first_request = 0;  // the engine's id of choice 0; choice i has first_request + i
  Prompt prompt;
  RequestParams params;
  Delivery delivery = Delivery::kIncremental;
  Clock::time_point start;
  Clock::time_point deadline;
  std::shared_ptr<Sink> sink;
};

// Thread-safe. Never calls the sink with its lock held.
class Stream {
 public:
  static StatusOr<std::shared_ptr<Stream>> Create(StreamInit init, const Tokenizer* tokenizer);

  const std::string& id() const { return init_.id; }
  uint64_t first_request() const { return init_.first_request; }
  int32_t num_choices() const { return init_.params.num_choices; }
  int32_t num_prompt_tokens() const { return static_cast<int32_t>(init_.prompt.ids.size()); }
  const std::vector<int32_t>& prompt_ids() const { return init_.prompt.ids; }
  Clock::time_point deadline() const { return init_.deadline; }
  Clock::time_point start() const { return init_.start; }
  const ApiKeyPtr& key() const { return init_.key; }
  Sink& sink() const { return *init_.sink; }

  // What the worker is to do for a choice; also after some of it was emitted.
  internal::Submit BuildSubmit(int32_t choice) const;
  // max_tokens is 0 and nothing of the prompt was asked for: no worker is needed.
  bool NeedsNoEngine() const;
  void FinishWithoutEngine();

  struct Accepted {
    bool notify = false;        // the sink has something to read
    bool choice_done = false;   // the worker's next outputs for this choice are to be dropped
    bool cancel = false;        // the worker does not know that the choice is done
    bool first_output = false;  // of the request
    double since_last_s = -1;   // since the choice's last tokens; negative: it had none
    size_t unread_bytes = 0;    // what waits or is being written; 0 for Delivery::kWhole
    Status failure;             // the request as a whole has to fail
  };
  // `engine_time` is StepOutput.time_ns.
  Accepted Accept(int32_t choice, const internal::RequestOutput& output,
                  std::chrono::nanoseconds engine_time);

  // Ends the stream with an error; what was not read yet is dropped where `status` is the client's
  // own doing, otherwise it goes first. False: it had ended before.
  bool Fail(Status status);

  enum class NextResult { kNothing, kMessage, kEnd };
  // The next message to write, or the end with its status. A call says that the message of the call
  // before has been written.
  NextResult Next(v1::StreamResponse* message, Status* status);
  // The answer as a whole begins to be written, after its end: the reader owes taking it.
  void BeginWrite();
  // Nothing that Next() gave so far is still being written, so that it no longer counts as unread.
  void Written();
  // Of the finished answer, beside its messages.
  v1::Usage usage() const;

  // Since when the reader has owed a call of Next() or taking the whole; max(): it does not.
  Clock::time_point write_pending_since() const;

  struct Summary {  // for the log
    Status status;
    int64_t num_completion_tokens = 0;
    int32_t cached_tokens = 0;
    v1::Timings timings;
    v1::FinishReason finish_reason = v1::FINISH_REASON_UNSPECIFIED;  // of choice 0
  };
  Summary summary() const;

 private:
  explicit Stream(StreamInit init) : init_(std::move(init)) {}
  void MarkReadable(int32_t choice);
  void TakeFirstOutput(const internal::RequestOutput& output, std::chrono::nanoseconds engine_time);
  v1::Timings TimingsLocked() const;
  v1::Usage UsageLocked() const;
  void FillHeader(v1::StreamResponse* message);

  const StreamInit init_;
  const Tokenizer* tokenizer_ = nullptr;
  mutable std::mutex mu_;
  std::vector<ChoiceOutput> choices_;
  std::vector<std::chrono::nanoseconds> token_times_;  // engine_time of each choice's last tokens
  std::vector<int32_t> readable_;  // choices with something pending, the longest waiting first
  size_t taken_bytes_ = 0;         // of messages that are being written
  int32_t num_running_ = 0;
  bool header_sent_ = false;
  bool has_first_output_ = false;
  bool ended_ = false;
  Status status_;
  int32_t cached_tokens_ = 0;
  int64_t queue_ns_ = 0;
  int64_t prefill_ns_ = 0;
  std::chrono::nanoseconds first_token_{0};  // engine_time of the first tokens of any choice
  std::chrono::nanoseconds last_token_{0};   // and of the last
  Clock::time_point write_since_ = Clock::time_point::max();
  google::protobuf::RepeatedPtrField<v1::TokenLogprob> prompt_logprobs_;
};

}  // namespace phalanx
