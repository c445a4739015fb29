// Templates in the Jinja that Hugging Face's chat templates are written in: jinja2 3.1's language
// in an immutable sandbox, as transformers 5 sets it up (trim_blocks, lstrip_blocks, loop controls,
// the `generation` tag, its tojson). What renders here renders to the same bytes there, and what
// fails here fails there, with these exceptions: block, extends, include, import and autoescape are
// refused, so are the filters filesizeformat, pprint, random, urlize, wordwrap and xmlattr, lipsum,
// complex numbers and str.encode; the limits below are stricter than Python's.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kernels/base/status.h"
#include "text/jinja/globals.h"
#include "text/jinja/limits.h"
#include "text/jinja/value.h"

namespace phalanx::jinja {

struct Program;

struct RenderOptions {
  Limits limits;
  Clock clock = SystemClock;  // what strftime_now shows
};

// Immutable: Render may be called from any number of threads.
class Template {
 public:
  // Parses and checks. `source` is UTF-8. INVALID_ARGUMENT: "chat_template: line N: ...";
  // RESOURCE_EXHAUSTED: nested too deeply or a constant too large.
  static StatusOr<Template> Parse(std::string_view source);

  Template(Template&&) noexcept;
  Template& operator=(Template&&) noexcept;
  ~Template();

  // The text for these variables. INVALID_ARGUMENT, with the line, where the template fails or
  // raises an exception itself, RESOURCE_EXHAUSTED where it goes beyond a limit.
  StatusOr<std::string> Render(const Dict& variables, const RenderOptions& options = {}) const;

  // Whether it puts an attribute or item of this name together with text by +, which fails for
  // everything but a string.
  bool JoinsToText(std::string_view attribute) const;

 private:
  explicit Template(std::unique_ptr<Program> program);

  std::unique_ptr<Program> program_;
};

}  // namespace phalanx::jinja
