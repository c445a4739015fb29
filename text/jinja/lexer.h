// Template text to tokens, with white space control as transformers sets it: trim_blocks and
// lstrip_blocks on, a template's last newline dropped.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/value.h"

namespace phalanx::jinja {

enum class TokenKind {
  kData,
  kVariableBegin,  // {{
  kVariableEnd,
  kBlockBegin,  // {%
  kBlockEnd,
  kName,
  kString,
  kInteger,
  kFloat,
  kOperator,
  kEnd,
};

struct Token {
  TokenKind kind;
  int line;
  std::string text;  // data, a name, an operator, or a string's value
  Value number;      // of kInteger and kFloat
};

// The last token is kEnd. Throws kSyntax.
std::vector<Token> Tokenize(std::string_view source);

// As error messages name it.
std::string Describe(const Token& token);

}  // namespace phalanx::jinja
