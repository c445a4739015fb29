// Macros, call blocks, and how arguments reach them.
#include "text/jinja/macro.h"

#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operators.h"
#include "text/jinja/print.h"

namespace phalanx::jinja {

Value Macro::Call(Interpreter& interpreter, Arguments arguments) {
  return Value::String(interpreter.RunFunction(function_, outer_, std::move(arguments)));
}

std::string Macro::Description() {
  return function_.name.empty() ? "Macro anonymous" : "Macro " + ReprText(function_.name);
}

Value Macro::Attribute(std::string_view name) const {
  if (name == "name") {
    return function_.name.empty() ? Value::None() : Value::String(function_.name);
  }
  if (name == "arguments") {
    Values names;
    for (const auto& parameter : function_.parameters) {
      names.push_back(Value::String(parameter->name));
    }
    return Value::Tuple(std::move(names));
  }
  if (name == "catch_kwargs") return Value::Bool(function_.keywords.has_value());
  if (name == "catch_varargs") return Value::Bool(function_.positional.has_value());
  if (name == "caller") return Value::Bool(function_.caller.has_value());
  return {};
}

Value Interpreter::MakeMacro(const Function& function, const Env& env) {
  Capture(env);
  return Value::FromObject(std::make_shared<Macro>(function, env.activation));
}

void Interpreter::RunMacro(const MacroStatement& macro, const Env& env) {
  env.activation->At(macro.target->slot) = MakeMacro(macro.function, env);
}

void Interpreter::RunCallBlock(const CallBlockStatement& block, const Env& env) {
  const Value caller = MakeMacro(block.function, env);
  WriteText(env, block.call == nullptr
                     ? Call(caller, {})
                     : EvalCall(static_cast<const CallExpr&>(*block.call), env, &caller));
}

std::string Interpreter::RunFunction(const Function& function,
                                     const std::shared_ptr<Activation>& outer,
                                     Arguments arguments) {
  if (++calls_ > limits_.depth) {
    Throw(ErrorKind::kLimit, "calls are nested deeper than {}", limits_.depth);
  }
  std::string out;
  const Env env{std::make_shared<Activation>(outer, function.variables), &out};
  Bind(function, arguments, env);
  Run(function.body, env);
  --calls_;
  return out;
}

void Interpreter::Bind(const Function& function, Arguments& arguments, const Env& env) {
  const size_t count = function.parameters.size();
  const size_t given = std::min(arguments.positional.size(), count);
  const auto slot = [&](size_t i) -> Value& {
    return env.activation->At(function.parameters[i]->slot);
  };
  const auto take = [&arguments](std::string_view name) {
    Value value;
    auto& keywords = arguments.keywords;
    for (size_t i = 0; i < keywords.size(); ++i) {
      if (keywords[i].name != name) continue;
      value = std::move(keywords[i].value);
      keywords.erase(keywords.begin() + static_cast<int64_t>(i));
      break;
    }
    return value;
  };
  for (size_t i = 0; i < given; ++i) slot(i) = arguments.positional[i];
  for (size_t i = given; i < count; ++i) slot(i) = take(function.parameters[i]->name);
  if (function.caller) {
    Value caller = take("caller");
    if (caller.Is(Type::kMissing) || caller.Is(Type::kNone)) {
      caller = Value::Undefined("No caller defined");
    }
    env.activation->At(*function.caller) = std::move(caller);
  }
  if (function.keywords) {
    Dict dict;
    for (Keyword& keyword : arguments.keywords) dict.Set(keyword.name, std::move(keyword.value));
    env.activation->At(*function.keywords) = Value::FromDict(std::move(dict));
  } else if (!arguments.keywords.empty()) {
    Throw(ErrorKind::kType, "macro '{}' takes no keyword argument '{}'", function.name,
          arguments.keywords[0].name);
  }
  if (function.positional) {
    env.activation->At(*function.positional) = Value::Tuple(
        {arguments.positional.begin() + static_cast<int64_t>(given), arguments.positional.end()});
  } else if (arguments.positional.size() > count) {
    Throw(ErrorKind::kType, "macro '{}' takes not more than {} argument(s)", function.name, count);
  }
  Enter(function.scope, env);
  const size_t without = count - function.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    if (!slot(i).Is(Type::kMissing)) continue;
    slot(i) = i < without ? Value::Undefined(fmt::format("parameter '{}' was not provided",
                                                         function.parameters[i]->name))
                          : Eval(*function.defaults[i - without], env);
  }
}

}  // namespace phalanx::jinja
