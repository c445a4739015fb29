// The file of answers that a batch adds to, and takes up again where an earlier run ended.
#pragma once

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "client/streamed_answer.h"

namespace phalanx {

// One line: {"id", the fields of ToJson(answer)} or {"id", "error": {"code", "message", ...}}.
std::string BatchAnswerLine(const nlohmann::json& id, const StatusOr<StreamedAnswer>& answer);

class BatchOutput {
 public:
  // Opens `path` to append; "-" is standard output. The file is absent or regular, is not
  // `input_path` ("-": standard input), and holds lines of BatchAnswerLine alone. Lines with errors
  // are removed, so that they are asked again, and so is a last line that was cut off; nothing else
  // is ever changed. INVALID_ARGUMENT otherwise, with the file left as it was.
  static StatusOr<BatchOutput> Open(const std::string& path, const std::string& input_path);

  ~BatchOutput();
  BatchOutput(BatchOutput&& other) noexcept;
  BatchOutput& operator=(BatchOutput&&) = delete;

  // IdKey of each id that has an answer.
  const std::set<std::string>& answered() const { return answered_; }

  // `line` lacks the end of line. Not for two threads at once.
  Status Append(const std::string& line);

 private:
  BatchOutput(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}

  std::string path_;
  int descriptor_;  // owned unless it is standard output
  std::set<std::string> answered_;
};

}  // namespace phalanx
