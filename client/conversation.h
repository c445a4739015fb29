// A chat with a history: what was asked and answered so far goes with each question.
#pragma once

#include <memory>
#include <string>

#include "client/connection.h"
#include "client/interrupt.h"

namespace phalanx {

struct ConversationOptions {
  ConnectionFlags connection;
  v1::SamplingParams sampling;
  std::string model, system;
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

  // What may help against a question's error; empty where nothing is known.
  std::string AdviceOn(const Status& status) const;

 private:
  void Add(const std::string& role, const std::string& content);

  const ConversationOptions& options_;
  InterruptWatcher& interrupt_;
  const std::unique_ptr<v1::Inference::StubInterface> stub_;
  v1::ChatRequest request_;
  std::string system_;
};

}  // namespace phalanx
