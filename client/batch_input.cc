#include "client/batch_input.h"

#include <map>
#include <sstream>

#include "client/input.h"

namespace phalanx {
namespace {

using Json = nlohmann::json;

StatusOr<Json> ParseLine(const std::string& text) {
  PHALANX_RETURN_IF_ERROR(CheckUtf8("line", text));
  try {
    return Json::parse(text);
  } catch (const Json::parse_error& error) {
    return InvalidArgumentError("line: is no JSON, wrong at byte {}, allowed: a JSON object",
                                error.byte)
        .WithField("line");
  }
}

Json IdOf(const StatusOr<Json>& line, int64_t number) {
  if (line.ok() && line->is_object() && line->contains("id") && !line->at("id").is_null())
    return line->at("id");
  return fmt::format("line-{}", number);
}

}  // namespace

std::string IdKey(const Json& id) { return id.dump(-1, ' ', true, Json::error_handler_t::replace); }

StatusOr<std::vector<BatchLine>> ParseBatchInput(const std::string& text,
                                                 const v1::SamplingParams& defaults) {
  std::vector<BatchLine> lines;
  std::map<std::string, int64_t> line_of_id;
  std::istringstream stream(text);
  int64_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    const StatusOr<Json> json = ParseLine(line);
    Json id = IdOf(json, number);
    const std::string key = IdKey(id);
    const auto [first, is_new] = line_of_id.emplace(key, number);
    if (!is_new)
      return InvalidArgumentError(
          "--input: lines {} and {} have the same id {}, allowed: an id of its own for each",
          first->second, number, key);
    lines.push_back(
        {std::move(id), json.ok() ? ParseBatchRequest(*json, defaults) : json.status()});
  }
  return lines;
}

}  // namespace phalanx
