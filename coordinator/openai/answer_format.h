// The seam between the delivery of an answer and the shape of its JSON.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "coordinator/openai/errors.h"
#include "phalanx/v1/inference.pb.h"

namespace phalanx::openai {

struct AnswerHead {
  std::string id;       // of the request path; each endpoint has its own prefix
  int64_t created = 0;  // Unix time, seconds
  std::string model;
  std::string system_fingerprint;
};

// A part is one prompt's answer with all its choices. Not thread-safe.
class AnswerFormat {
 public:
  virtual ~AnswerFormat() = default;

  // Before all others. `prompt_ids` of each part, empty unless they were asked for.
  virtual void Begin(AnswerHead head, std::vector<std::vector<int32_t>> prompt_ids) = 0;
  // The server-sent events of one message.
  virtual void AppendMessage(size_t part, const v1::StreamResponse& message, std::string* out) = 0;
  // What follows the last message of the last part.
  virtual void AppendEnd(std::string* out) = 0;
  // The whole body, out of the parts.
  virtual std::string Whole(std::span<const v1::GenerateResponse> parts) = 0;
  // Names of fields in this endpoint's words.
  virtual std::span<const Renaming> words() const = 0;
};

// ------------------------------------------------------------------------- what formats share

struct UsageCount {
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  int64_t cached_tokens = 0;
};

void AppendUsage(const UsageCount& usage, std::string* out);
// "id":...,"object":...,"created":...,"model":...,"system_fingerprint":...
void AppendHead(std::string_view id_prefix, std::string_view object, const AnswerHead& head,
                std::string* out);
// The name in quotes, or null where the choice goes on.
void AppendFinishReason(v1::FinishReason reason, std::string* out);
// The stop string, the stop token's id as a number, or null. `stop` are the request's strings.
void AppendStopReason(const std::string& reason,
                      const google::protobuf::RepeatedPtrField<std::string>& stop,
                      std::string* out);

}  // namespace phalanx::openai
