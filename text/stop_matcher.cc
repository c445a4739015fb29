#include "text/stop_matcher.h"

#include <algorithm>

#include "text/utf8.h"

namespace phalanx {

StatusOr<StopMatcher> StopMatcher::Create(std::vector<std::string> stop_strings,
                                          StopOptions options) {
  for (size_t i = 0; i < stop_strings.size(); ++i) {
    const std::string field = fmt::format("stop[{}]", i);
    if (stop_strings[i].empty()) return InvalidField(field, "empty", "at least one character");
    if (const auto offset = FindInvalidUtf8(stop_strings[i])) {
      return InvalidField(field, fmt::format("no UTF-8 at byte {}", *offset), "UTF-8");
    }
  }
  return StopMatcher(std::move(stop_strings), options);
}

StopMatcher::StopMatcher(std::vector<std::string> stop_strings, StopOptions options)
    : stop_strings_(std::move(stop_strings)), options_(options), nodes_(1) {
  for (size_t i = 0; i < stop_strings_.size(); ++i) {
    int32_t at = 0;
    for (const char byte : stop_strings_[i]) {
      auto& children = nodes_[static_cast<size_t>(at)].children;
      const auto it = std::find_if(children.begin(), children.end(),
                                   [&](const auto& child) { return child.first == byte; });
      if (it != children.end()) {
        at = it->second;
        continue;
      }
      const auto added = static_cast<int32_t>(nodes_.size());
      const int32_t depth = nodes_[static_cast<size_t>(at)].depth + 1;
      children.emplace_back(byte, added);
      nodes_.emplace_back().depth = depth;
      at = added;
    }
    Node& end = nodes_[static_cast<size_t>(at)];
    if (end.longest_match < 0) end.longest_match = static_cast<int32_t>(i);
  }
  // Breadth first, so that a node's suffix link is ready before those of its children need it.
  std::vector<int32_t> order = {0};
  for (size_t i = 0; i < order.size(); ++i) {
    const auto parent = static_cast<size_t>(order[i]);
    for (const auto& [byte, child] : nodes_[parent].children) {
      Node& node = nodes_[static_cast<size_t>(child)];
      if (parent != 0) node.fail = Next(nodes_[parent].fail, byte);
      if (node.longest_match < 0) {
        node.longest_match = nodes_[static_cast<size_t>(node.fail)].longest_match;
      }
      order.push_back(child);
    }
  }
}

int32_t StopMatcher::Next(int32_t node, char byte) const {
  while (true) {
    const Node& at = nodes_[static_cast<size_t>(node)];
    for (const auto& [child_byte, child] : at.children) {
      if (child_byte == byte) return child;
    }
    if (node == 0) return 0;
    node = at.fail;
  }
}

StopMatcher::Output StopMatcher::Append(std::string_view delta) {
  Output output;
  if (stopped_) return output;
  if (stop_strings_.empty()) {
    output.text = delta;
    return output;
  }
  for (size_t i = 0; i < delta.size(); ++i) {
    state_ = Next(state_, delta[i]);
    const int32_t match = nodes_[static_cast<size_t>(state_)].longest_match;
    if (match < 0) continue;
    const std::string& stop = stop_strings_[static_cast<size_t>(match)];
    withheld_.append(delta.substr(0, i + 1));
    if (options_.stop_text == StopText::kDrop) withheld_.resize(withheld_.size() - stop.size());
    output.stop_index = static_cast<size_t>(match);
    output.text = Flush();
    return output;
  }
  withheld_.append(delta);
  output.text = Release();
  return output;
}

std::string StopMatcher::Pass(std::string_view delta) {
  if (stopped_) return {};
  for (const char byte : delta) state_ = Next(state_, byte);
  // A whole stop string that nothing longer begins with is not the beginning of a match.
  while (state_ != 0 && nodes_[static_cast<size_t>(state_)].children.empty()) {
    state_ = nodes_[static_cast<size_t>(state_)].fail;
  }
  withheld_.append(delta);
  return Release();
}

// All but what the present state says may be part of a match.
std::string StopMatcher::Release() {
  const auto keep = static_cast<size_t>(nodes_[static_cast<size_t>(state_)].depth);
  std::string text = withheld_.substr(0, withheld_.size() - keep);
  withheld_.erase(0, text.size());
  return text;
}

std::string StopMatcher::Flush() {
  stopped_ = true;
  return std::exchange(withheld_, {});
}

}  // namespace phalanx
