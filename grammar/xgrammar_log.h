// Where the grammar library's warnings go. They may quote what a client sent, so they never reach
// standard error; and they say which part of a schema would be ignored, which is a reason to refuse
// it.
#pragma once

#include <string>

namespace phalanx {

// Collects the warnings of the calling thread while it lives. Does not nest.
class XGrammarWarnings {
 public:
  XGrammarWarnings();
  ~XGrammarWarnings();
  XGrammarWarnings(const XGrammarWarnings&) = delete;
  XGrammarWarnings& operator=(const XGrammarWarnings&) = delete;

  const std::string& first() const { return first_; }  // empty: none
  void Add(const std::string& message);

 private:
  std::string first_;
};

}  // namespace phalanx
