// A flag whose value is one of few names.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <utility>
#include <vector>

namespace phalanx {

// The first choice is the default, as the help has it; `value` is left alone without the flag.
template <typename T>
void AddChoice(CLI::App& app, const std::string& flag, T& value,
               const std::vector<std::pair<std::string, T>>& choices, const std::string& help) {
  std::vector<std::string> names;
  for (const auto& choice : choices) names.push_back(choice.first);
  app.add_option_function<std::string>(
         flag,
         [&value, choices](const std::string& text) {
           for (const auto& [name, choice] : choices) {
             if (name == text) value = choice;
           }
         },
         help)
      ->check(CLI::IsMember(names))
      ->default_str(names.front());
}

}  // namespace phalanx
