// What transformers does around a chat template: names that older templates know thinking by, and
// continue_final_message.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "kernels/base/status.h"
#include "text/jinja/template.h"
#include "text/jinja/value.h"

namespace phalanx {

// Immutable, as jinja::Template is.
class ConversationTemplate {
 public:
  // INVALID_ARGUMENT: it cannot be parsed.
  static StatusOr<ConversationTemplate> Parse(std::string source);

  const jinja::Template& parsed() const { return parsed_; }

  // `variables` are what apply_chat_template takes: messages (a list of objects), tools,
  // add_generation_prompt, the tokens, and everything else that the template is to see. Of
  // continue_final_message the text ends with the final message's content, or with the field that
  // it names. INVALID_ARGUMENT names the field.
  StatusOr<std::string> Render(const jinja::Dict& variables,
                               const jinja::RenderOptions& options = {}) const;

 private:
  ConversationTemplate(std::string source, jinja::Template parsed)
      : source_(std::move(source)), parsed_(std::move(parsed)) {}

  std::string source_;
  jinja::Template parsed_;
};

}  // namespace phalanx
