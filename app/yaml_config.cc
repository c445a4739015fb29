#include "app/yaml_config.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>
#include <istream>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace phalanx {
namespace {

// Programs that may have a section of their own in a shared file.
constexpr std::array<std::string_view, 2> kSections = {"worker", "coordinator"};

// Levenshtein's, with one row.
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i + 1;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

class YamlConfig final : public CLI::Config {
 public:
  explicit YamlConfig(const CLI::App& app) : app_(app) {}

  // CLI11 asks for the reverse only to print a configuration, which no flag does.
  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return {}; }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    YAML::Node root;
    try {
      root = YAML::Load(input);
    } catch (const YAML::Exception& error) {
      throw CLI::ConfigError(fmt::format("--config: {}", error.what()));
    }
    if (root.IsNull()) return {};
    if (!root.IsMap()) throw CLI::ConfigError("--config: is no YAML map of flags to values");
    std::vector<CLI::ConfigItem> items;
    AddItems(root, &items);
    return items;
  }

 private:
  void AddItems(const YAML::Node& map, std::vector<CLI::ConfigItem>* items) const {
    for (const auto& entry : map) {
      CLI::ConfigItem item;
      item.name = entry.first.as<std::string>("");
      if (entry.second.IsMap() && std::ranges::find(kSections, item.name) != kSections.end()) {
        if (item.name == app_.get_name()) AddItems(entry.second, items);
        continue;
      }
      CheckKnown(item.name);
      if (entry.second.IsScalar()) {
        item.inputs.push_back(entry.second.Scalar());
      } else if (entry.second.IsSequence()) {
        for (const auto& value : entry.second) item.inputs.push_back(value.as<std::string>(""));
      } else {
        throw CLI::ConfigError(
            fmt::format("--config: {}: allowed: a value or a list of values", item.name));
      }
      items->push_back(std::move(item));
    }
  }

  void CheckKnown(const std::string& key) const {
    std::string nearest;
    for (const CLI::Option* option : app_.get_options()) {
      for (const std::string& name : option->get_lnames()) {
        if (name == key && key != "config") return;
        if (nearest.empty() || EditDistance(name, key) < EditDistance(nearest, key)) nearest = name;
      }
    }
    throw CLI::ConfigError(
        fmt::format("--config: unknown key '{}'; the nearest is '{}'", key, nearest));
  }

  const CLI::App& app_;
};

}  // namespace

void AddYamlConfig(CLI::App* app) {
  app->config_formatter(std::make_shared<YamlConfig>(*app));
  app->set_config("--config", "", "YAML file of flags, without their dashes; the command line wins")
      ->type_name("FILE");
}

}  // namespace phalanx
