// A chat with a history: what was asked and answered so far goes with each question.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "client/connection.h"
#include "client/interrupt.h"

namespace phalanx {

struct ConversationOptions {
  ConnectionFlags connection;
  v1::SamplingParams sampling;
  std::string model, system;
  std::vector<std::string> tools_json;  // that the model may call
  bool json = false;
};

class Conversation {
 public:
  // All must outlive it.
  Conversation(const ConversationOptions& options, InterruptWatcher& interrupt);

  // Forgets all but the system message.
  void Clear();
  // Sets the system message ("": none) and forgets the rest.
  void SetSystem(const std::string& text);
  // A sampling parameter, by its flag's name or the field's, from JSON or plain text.
  Status SetParam(const std::string& name, const std::string& text);

  enum class Ending { kWhole, kStopped };
  // Asks and prints the answer. Where Ctrl-C stops it, the history keeps what came, or forgets the
  // question if nothing did. It forgets a question that failed, too.
  StatusOr<Ending> Ask(const std::string& question);
  // What the first call of the last answer that has no result yet has come to. With the result of
  // the last call the model goes on; until then nothing is printed. INVALID_ARGUMENT: no call
  // waits. After another error the next question sends the results again.
  StatusOr<Ending> GiveResult(const std::string& result);

  // What may help against a question's error; empty where nothing is known.
  std::string AdviceOn(const Status& status) const;

 private:
  StatusOr<Ending> Send();
  v1::ChatMessage& Add(const std::string& role, const std::string& content);

  const ConversationOptions& options_;
  InterruptWatcher& interrupt_;
  const std::unique_ptr<v1::Inference::StubInterface> stub_;
  v1::ChatRequest request_;
  std::string system_;
  std::deque<std::string> open_calls_;  // ids
};

}  // namespace phalanx
