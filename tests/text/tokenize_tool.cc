// tokenize_tool MODEL_DIR [--no-special]: for each line of standard input, a JSON string, prints
// the JSON list of its ids, or {"error": ...}. What live_compare.py feeds.
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "text/tokenizer.h"

int main(int argc, char** argv) {
  using phalanx::SpecialTokens;
  if (argc < 2) {
    std::fprintf(stderr, "usage: tokenize_tool MODEL_DIR [--no-special]\n");
    return 2;
  }
  const auto tokenizer = phalanx::Tokenizer::Load(argv[1]);
  if (!tokenizer.ok()) {
    std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
    return 1;
  }
  const bool omits_special = argc > 2 && std::string_view(argv[2]) == "--no-special";
  const phalanx::EncodeOptions options{omits_special ? SpecialTokens::kOmit : SpecialTokens::kAdd};
  std::ios::sync_with_stdio(false);
  for (std::string line; std::getline(std::cin, line);) {
    const auto text = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!text.is_string()) {
      std::cout << R"({"error":"line: is no JSON string, allowed: a JSON string"})" << '\n';
      continue;
    }
    const auto ids = (*tokenizer)->Encode(text.get_ref<const std::string&>(), options);
    if (ids.ok()) {
      std::cout << nlohmann::json(*ids).dump() << '\n';
    } else {
      std::cout << nlohmann::json{{"error", ids.status().message()}}.dump() << '\n';
    }
  }
  return 0;
}
