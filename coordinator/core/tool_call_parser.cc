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

struct Call {
  std::string name;
  std::string_view arguments;
};

// Nothing: `body` is no call.
std::optional<Call> ReadCall(std::string_view body, const Limits& limits) {
  if (!CheckJsonObject("tool_call", body, limits).ok()) return std::nullopt;
  const auto name = FindValue(body, "name");
  const auto arguments = FindValue(body, "arguments");
  if (!name || name->front() != '"' || !arguments || arguments->front() != '{') return std::nullopt;
  Call call{.name = nlohmann::json::parse(*name).get<std::string>(), .arguments = *arguments};
  if (call.name.empty()) return std::nullopt;
  return call;
}

void Emit(ToolCallEvent::Kind kind, std::string_view text, std::vector<ToolCallEvent>* events) {
  if (!text.empty()) events->push_back({.kind = kind, .text = std::string(text)});
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
  bool has_more = true;
  while (has_more) {
    switch (place_) {
      case Place::kText:
        has_more = ScanText(events);
        break;
      case Place::kCall:
        has_more = ScanCall(events);
        break;
      case Place::kArguments:
        has_more = ScanArguments(events);
        break;
      case Place::kTail:
        has_more = ScanTail();
        break;
    }
  }
}

void ToolCallParser::Enter(Place place) {
  place_ = place;
  scanned_ = 0;
  depth_ = 0;
  in_string_ = false;
  escaped_ = false;
}

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
  Enter(Place::kCall);
  return true;
}

bool ToolCallParser::ScanCall(std::vector<ToolCallEvent>* events) {
  const Found found = FindNext();
  if (found == Found::kNothing) return false;
  if (found == Found::kArguments) {
    OpenCall(events);
    return true;
  }
  const std::string body = pending_.substr(0, scanned_);
  pending_.erase(0, scanned_ + kEnd.size());
  Enter(Place::kText);
  if (!TakeCall(body, events)) {
    EmitContent(std::string(kStart) + body + std::string(kEnd), events);
  }
  return true;
}

bool ToolCallParser::ScanArguments(std::vector<ToolCallEvent>* events) {
  size_t end = 0;
  bool is_complete = false;
  while (end < pending_.size() && !is_complete) {
    const char c = pending_[end++];
    if (StepString(c)) continue;
    if (c == '{') ++depth_;
    is_complete = c == '}' && --depth_ == 0;
  }
  Emit(ToolCallEvent::Kind::kArguments, std::string_view(pending_).substr(0, end), events);
  pending_.erase(0, end);
  if (is_complete) Enter(Place::kTail);
  return is_complete;
}

bool ToolCallParser::ScanTail() {
  if (FindNext() != Found::kEndTag) return false;
  pending_.erase(0, scanned_ + kEnd.size());
  Enter(Place::kText);
  return true;
}

// Whether the next character `c` belongs to a JSON string, its quotes included. A raw control
// character, which no JSON string has, says that the quote before it was a mistake.
bool ToolCallParser::StepString(char c) {
  if (!in_string_) {
    in_string_ = c == '"';
    return in_string_;
  }
  const bool is_control = static_cast<unsigned char>(c) < 0x20;
  if (escaped_) {
    escaped_ = false;
  } else if (c == '\\') {
    escaped_ = true;
  } else if (c == '"' || (is_control && place_ != Place::kArguments)) {
    in_string_ = false;
  }
  return true;
}

// Moves scanned_ to what is next. The end tag inside of a string is text.
ToolCallParser::Found ToolCallParser::FindNext() {
  for (; scanned_ < pending_.size(); ++scanned_) {
    const char c = pending_[scanned_];
    if (StepString(c)) continue;
    if (c == '{' && ++depth_ == 2 && is_trusted_ && place_ == Place::kCall) {
      return Found::kArguments;
    }
    if (c != kEnd.front()) continue;
    const std::string_view rest = std::string_view(pending_).substr(scanned_);
    if (rest.size() < kEnd.size() && kEnd.starts_with(rest)) return Found::kNothing;
    if (rest.starts_with(kEnd)) return Found::kEndTag;
  }
  return Found::kNothing;
}

// At the second brace of a call that is in the format if what follows is.
void ToolCallParser::OpenCall(std::vector<ToolCallEvent>* events) {
  const std::string head = pending_.substr(0, scanned_);
  const std::string with_no_arguments = head + "{}}";
  const auto call = ReadCall(with_no_arguments, limits_);
  if (!call) return;
  Emit(ToolCallEvent::Kind::kName, call->name, events);
  pending_.erase(0, head.size());
  after_call_ = true;
  space_.clear();
  Enter(Place::kArguments);
}

// False: it is no call.
bool ToolCallParser::TakeCall(std::string_view body, std::vector<ToolCallEvent>* events) {
  const auto call = ReadCall(body, limits_);
  if (!call) return false;
  Emit(ToolCallEvent::Kind::kName, call->name, events);
  Emit(ToolCallEvent::Kind::kArguments, call->arguments, events);
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
  space_ += text;
  Emit(ToolCallEvent::Kind::kContent, space_, events);
  space_.clear();
}

}  // namespace phalanx
