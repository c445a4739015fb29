#include "coordinator/http/chunk_extensions.h"

#include "coordinator/http/token.h"

namespace phalanx::http {
namespace {

bool IsBlank(char c) { return c == ' ' || c == '\t'; }

}  // namespace

ChunkExtensions::Verdict ChunkExtensions::Take(char c) {
  state_ = Next(c);
  return state_ == State::kMalformed ? Verdict::kMalformed : Verdict::kGoesOn;
}

bool ChunkExtensions::may_end() const {
  return state_ == State::kName || state_ == State::kValue || state_ == State::kAfterQuoted;
}

ChunkExtensions::State ChunkExtensions::AfterValue(char c) {
  if (c == ';') return State::kNameDue;
  return IsBlank(c) ? State::kDue : State::kMalformed;
}

ChunkExtensions::State ChunkExtensions::Next(char c) const {
  switch (state_) {
    case State::kDue:
    case State::kAfterQuoted:
      return AfterValue(c);
    case State::kNameDue:
      if (IsBlank(c)) return state_;
      return IsTokenChar(c) ? State::kName : State::kMalformed;
    case State::kName:
      if (IsTokenChar(c)) return state_;
      [[fallthrough]];
    case State::kAfterName:
      if (c == '=') return State::kValueDue;
      if (c == ';') return State::kNameDue;
      return IsBlank(c) ? State::kAfterName : State::kMalformed;
    case State::kValueDue:
      if (IsBlank(c)) return state_;
      if (c == '"') return State::kQuoted;
      return IsTokenChar(c) ? State::kValue : State::kMalformed;
    case State::kValue:
      return IsTokenChar(c) ? state_ : AfterValue(c);
    case State::kQuoted:
      if (c == '"') return State::kAfterQuoted;
      if (c == '\\') return State::kQuotedPair;
      [[fallthrough]];
    case State::kQuotedPair:
      return IsControl(c) ? State::kMalformed : State::kQuoted;
    case State::kMalformed:
      break;
  }
  return State::kMalformed;
}

}  // namespace phalanx::http
