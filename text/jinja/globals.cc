#include "text/jinja/globals.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "text/jinja/error.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/objects.h"
#include "text/jinja/operators.h"
#include "text/jinja/parameters.h"
#include "text/jinja/print.h"
#include "text/jinja/python_text.h"

namespace phalanx::jinja {
namespace {

// What joiner() makes: nothing on its first call, the separator on the others.
class Joiner final : public Callable {
 public:
  explicit Joiner(Value separator)
      : Callable(DepthAbove(separator.Depth())), separator_(std::move(separator)) {}
  std::string_view type_name() const override { return "Joiner"; }
  Value Call(Interpreter&, Arguments arguments) override {
    const Parameters none("a joiner", arguments, {});
    return std::exchange(is_used_, true) ? separator_ : Value::String("");
  }

 private:
  Value separator_;
  bool is_used_ = false;
};

// dict(mapping or pairs, name=value, ...).
Dict BuildDict(Arguments& arguments) {
  if (arguments.positional.size() > 1) {
    Throw(ErrorKind::kType, "dict expected at most 1 argument, got {}",
          arguments.positional.size());
  }
  Dict dict;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (source.IsUndefined()) ThrowUndefined(source);
    if (source.Is(Type::kDict)) {
      dict = source.dict();
    } else {
      for (const Value& pair : ToList(source)) {
        const Values parts = ToList(pair);
        if (parts.size() != 2) {
          Throw(ErrorKind::kValue, "dict takes pairs, found {} values", parts.size());
        }
        dict.Set(parts[0], parts[1]);
      }
    }
  }
  for (Keyword& keyword : arguments.keywords) dict.Set(keyword.name, std::move(keyword.value));
  return dict;
}

Value MakeDict(Interpreter&, Arguments& arguments) { return Value::FromDict(BuildDict(arguments)); }

Value MakeNamespace(Interpreter& interpreter, Arguments& arguments) {
  const auto names = std::make_shared<Namespace>(Dict());
  const Dict attributes = BuildDict(arguments);
  for (const Dict::Entry& entry : attributes.entries()) names->Set(entry.key, entry.value);
  interpreter.Retain(names);
  return Value::FromObject(names);
}

Value MakeRange(Interpreter&, Arguments& arguments) {
  const Parameters parameters("range", arguments, {"", "", ""}, 1);
  const bool has_start = parameters.Has(1);
  const int64_t start = has_start ? ToIndex(parameters[0], "range's start") : 0;
  const int64_t stop = ToIndex(parameters[has_start ? 1 : 0], "range's stop");
  const int64_t step = parameters.IntOr(2, 1);
  if (step == 0) Throw(ErrorKind::kValue, "range's step must not be zero");
  return Value::FromObject(std::make_shared<Range>(start, stop, step));
}

Value MakeCycler(Interpreter&, Arguments& arguments) {
  if (!arguments.keywords.empty()) Throw(ErrorKind::kType, "cycler takes no keyword arguments");
  if (arguments.positional.empty()) {
    Throw(ErrorKind::kRuntime, "at least one item has to be provided");
  }
  return Value::FromObject(std::make_shared<Cycler>(std::move(arguments.positional)));
}

Value MakeJoiner(Interpreter&, Arguments& arguments) {
  const Parameters parameters("joiner", arguments, {"sep"});
  return Value::FromObject(std::make_shared<Joiner>(parameters.ValueOr(0, Value::String(", "))));
}

Value RaiseException(Interpreter&, Arguments& arguments) {
  const Parameters parameters("raise_exception", arguments, {"message"}, 1);
  throw TemplateError(ErrorKind::kRaised, ToText(parameters[0]));
}

// A naive datetime's strftime: no time zone, and %f for microseconds.
std::string FormatTime(const Now& now, std::string_view format) {
  std::string pattern;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      pattern.push_back(format[i]);
      continue;
    }
    const char directive = format[++i];
    if (directive == 'f') {
      pattern += fmt::format("{:06}", now.microseconds);
    } else if (directive != 'z' && directive != 'Z') {
      pattern.push_back('%');
      pattern.push_back(directive);
    }
  }
  if (pattern.empty()) return "";
  std::string text(pattern.size() * 8 + 256, '\0');
  text.resize(std::strftime(text.data(), text.size(), pattern.c_str(), &now.time));
  return text;
}

Value FromFunction(std::string_view name, Builtin::Function function) {
  return Value::FromObject(std::make_shared<Builtin>(std::string(name), 1, std::move(function)));
}

}  // namespace

Now SystemClock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  const auto microseconds = std::chrono::duration_cast<std::chrono::microseconds>(now).count();
  Now result{{}, static_cast<int>(microseconds % 1'000'000)};
  localtime_r(&seconds, &result.time);
  return result;
}

Dict MakeGlobals(Clock clock) {
  Dict globals;
  globals.Set("range", FromFunction("range", MakeRange));
  globals.Set("dict", FromFunction("dict", MakeDict));
  globals.Set("namespace", FromFunction("namespace", MakeNamespace));
  globals.Set("cycler", FromFunction("cycler", MakeCycler));
  globals.Set("joiner", FromFunction("joiner", MakeJoiner));
  globals.Set("raise_exception", FromFunction("raise_exception", RaiseException));
  globals.Set("strftime_now", FromFunction("strftime_now", [clock = std::move(clock)](
                                                               Interpreter&, Arguments& arguments) {
                const Parameters parameters("strftime_now", arguments, {"format"}, 1);
                return Value::String(FormatTime(clock(), parameters.Text(0)));
              }));
  return globals;
}

}  // namespace phalanx::jinja
