// jinja_tool: for each line of standard input, an object with "template" and "context", prints the
// rendered text as a JSON string, or {"error": ...}. What jinja_compare.py feeds.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "text/jinja/json_value.h"
#include "text/jinja/template.h"

namespace {

phalanx::StatusOr<std::string> RenderLine(const std::string& line) {
  PHALANX_ASSIGN_OR_RETURN(const phalanx::jinja::Value input,
                           phalanx::jinja::ValueFromJson("line", line));
  const phalanx::jinja::Value* text = input.dict().Find("template");
  const phalanx::jinja::Value* context = input.dict().Find("context");
  PHALANX_ASSIGN_OR_RETURN(const auto parsed, phalanx::jinja::Template::Parse(text->str()));
  return parsed.Render(context->dict());
}

}  // namespace

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = RenderLine(line);
    if (text.ok()) {
      std::cout << nlohmann::json(*text).dump() << '\n';
    } else {
      std::cout << nlohmann::json{{"error", text.status().message()}}.dump() << '\n';
    }
  }
  return 0;
}
