// RFC 9112, 7.1.1: what may stand between a chunk's size and the end of its line, byte by byte.
//
//   *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )
//
// None has a meaning here. They are checked to the letter all the same: readers that skip to the
// end of the line disagree on what ends it (a bare line feed, one inside of quotes), and what they
// disagree on can hide a second request.
#pragma once

namespace phalanx::http {

class ChunkExtensions {
 public:
  enum class Verdict { kGoesOn, kMalformed };

  // The next byte; the carriage return that ends the line is none.
  Verdict Take(char c);
  // The line may end here.
  bool may_end() const;

 private:
  enum class State {
    kDue,        // a semicolon is, after blanks
    kNameDue,    // after it
    kName,       // inside
    kAfterName,  // after blanks: a semicolon or an equals sign is due
    kValueDue,
    kValue,
    kQuoted,
    kQuotedPair,  // after a backslash
    kAfterQuoted,
    kMalformed,
  };

  State Next(char c) const;
  static State AfterValue(char c);

  State state_ = State::kDue;
};

}  // namespace phalanx::http
