// What a macro statement defines, and what a call block hands over as `caller`.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "text/jinja/ast.h"
#include "text/jinja/objects.h"

namespace phalanx::jinja {

class Activation;

class Macro final : public Callable {
 public:
  // The function belongs to the program.
  Macro(const Function& function, std::shared_ptr<Activation> outer)
      : Callable(1), function_(function), outer_(std::move(outer)) {}

  std::string_view type_name() const override { return "Macro"; }
  std::string Description() override;
  Value Attribute(std::string_view name) const;  // missing where there is none
  Value Call(Interpreter& interpreter, Arguments arguments) override;

 private:
  const Function& function_;
  std::shared_ptr<Activation> outer_;
};

}  // namespace phalanx::jinja
