// render_tool: for each line of standard input, an object with "template", "bos_token", "messages",
// "tools" (texts of JSON) and "add_generation_prompt", prints the rendered chat as a JSON string,
// or {"error": ...}. What compare_templates.py feeds.
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/text/chat_request_json.h"
#include "text/chat_template.h"

int main() {
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const auto json = nlohmann::json::parse(line);
    const auto chat_template =
        phalanx::MakeChatTemplate(json.at("template"), json.at("bos_token").get<std::string>());
    const auto text = chat_template->Render(phalanx::testing::ChatRequestFromJson(json));
    if (text.ok()) {
      std::cout << nlohmann::json(*text).dump() << '\n';
    } else {
      std::cout << nlohmann::json{{"error", text.status().ToString()}}.dump() << '\n';
    }
  }
  return 0;
}
