#include "coordinator/core/tool_call_parser.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "coordinator/core/json_check.h"
#include "coordinator/core/partial_tag.h"

namespace phalanx {
namespace {

constexpr std::string_view kStart = "<tool_call>";
constexpr std::string_view kEnd = "</tool_call>";
constexpr std::string_view kSpace = " \t\r\n";

// The offset behind the JSON value that begins at `at` of well-formed JSON text.
size_t SkipValue(std::string_view text, size_t at) {
  int depth = 0;
  bool in_string = false;
  for (; at < text.size(); ++at) {
    const char c = text[at];
    if (in_string) {
      if (c == '\\') ++at;
      in_string = c != '"';
      if (!in_string && depth == 0) return at + 1;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if (c == '}' || c == ']') {
      if (depth == 0) return at;  // of what surrounds it
      if (--depth == 0) return at + 1;
    } else if (depth == 0 && (c == ',' || kSpace.find(c) != std::string_view::npos)) {
      return at;
    }
  }
  return at;
}

// The text of `key`'s value in `text`, a well-formed JSON object whose keys are all different.
std::optional<std::string_view> FindValue(std::string_view text, std::string_view key) {
  size_t at = text.find('{') + 1;
  while (true) {
    at = text.find_first_not_of(" \t\r\n,", at);
    if (at == std::string_view::npos || text[at] != '"') return std::nullopt;
    const size_t key_end = SkipValue(text, at);
    const auto found = nlohmann::json::parse(text.substr(at, key_end - at)).get<std::string>();
    at = text.find_first_not_of(kSpace, text.find(':', key_end) + 1);
    const size_t end = SkipValue(text, at);
    if (found == key) return text.substr(at, end - at);
    at = end;
  }
}

}  // namespace

void ToolCallParser::Append(std::string_view delta, std::vector<ToolCallEvent>* events) {
  pending_ += delta;
  Scan(events);
}

void ToolCallParser::Finish(std::vector<ToolCallEvent>* events) {
  if (place_ == Place::kCall && !TakeCall(pending_, events)) {
    pending_.insert(0, kStart);
    place_ = Place::kText;
  }
  if (place_ == Place::kText) EmitContent(pending_, events);
  pending_.clear();
}

void ToolCallParser::Scan(std::vector<ToolCallEvent>* events) {
  while (place_ == Place::kText ? ScanText(events) : ScanCall(events)) {
  }
}

// True: there is more to look at.
bool ToolCallParser::ScanText(std::vector<ToolCallEvent>* events) {
  const size_t start = pending_.find(kStart);
  if (start == std::string::npos) {
    const size_t decided = pending_.size() - PartialTag(pending_, kStart);
    EmitContent(std::string_view(pending_).substr(0, decided), events);
    pending_.erase(0, decided);
    return false;
  }
  EmitContent(std::string_view(pending_).substr(0, start), events);
  pending_.erase(0, start + kStart.size());
  place_ = Place::kCall;
  scanned_ = 0;
  in_string_ = false;
  escaped_ = false;
  return true;
}

// The end tag inside of a JSON string is text. A raw control character, which no JSON string has,
// says that the quote before it was a mistake.
bool ToolCallParser::ScanCall(std::vector<ToolCallEvent>* events) {
  for (; scanned_ < pending_.size(); ++scanned_) {
    const char c = pending_[scanned_];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"' || static_cast<unsigned char>(c) < 0x20) {
        in_string_ = false;
      }
      continue;
    }
    if (c == '"') in_string_ = true;
    if (c != kEnd.front()) continue;
    const std::string_view rest = std::string_view(pending_).substr(scanned_);
    if (rest.size() < kEnd.size() && kEnd.substr(0, rest.size()) == rest) return false;
    if (rest.substr(0, kEnd.size()) != kEnd) continue;
    const std::string body = pending_.substr(0, scanned_);
    pending_.erase(0, scanned_ + kEnd.size());
    place_ = Place::kText;
    if (!TakeCall(body, events)) {
      EmitContent(std::string(kStart) + body + std::string(kEnd), events);
    }
    return true;
  }
  return false;
}

// False: it is no call.
bool ToolCallParser::TakeCall(std::string_view body, std::vector<ToolCallEvent>* events) {
  if (!CheckJsonObject("tool_call", body, limits_).ok()) return false;
  const auto name = FindValue(body, "name");
  const auto arguments = FindValue(body, "arguments");
  if (!name || name->front() != '"' || !arguments || arguments->front() != '{') return false;
  ToolCallEvent event;
  event.kind = ToolCallEvent::Kind::kCall;
  event.name = nlohmann::json::parse(*name).get<std::string>();
  event.arguments = *arguments;
  if (event.name.empty()) return false;
  events->push_back(std::move(event));
  ++num_calls_;
  after_call_ = true;
  space_.clear();
  return true;
}

void ToolCallParser::EmitContent(std::string_view text, std::vector<ToolCallEvent>* events) {
  if (text.empty()) return;
  if (after_call_ && text.find_first_not_of(kSpace) == std::string_view::npos) {
    space_ += text;
    return;
  }
  after_call_ = false;
  ToolCallEvent event;
  event.text = std::move(space_);
  event.text += text;
  space_.clear();
  events->push_back(std::move(event));
}

}  // namespace phalanx
