#include "client/tokenize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/answer_json.h"
#include "client/input.h"
#include "client/sampling_flags.h"
#include "client/terminal.h"
#include "hub/locate.h"
#include "text/tokenizer.h"

namespace phalanx {
namespace {

using Json = nlohmann::ordered_json;

struct TokenizeFlags {
  std::string model;
  bool no_special = false;
  bool skip_special = false;
  bool json = false;
  bool jsonl = false;
};

StatusOr<std::unique_ptr<Tokenizer>> LoadTokenizer(const std::string& model) {
  const auto folder = LocateModel(model);
  if (!folder.ok()) return folder.status();
  auto tokenizer = Tokenizer::Load(*folder);
  if (!tokenizer.ok()) return tokenizer.status().WithContext("--model");
  return tokenizer;
}

StatusOr<Json> ParseLine(const std::string& line, std::string_view wanted) {
  PHALANX_RETURN_IF_ERROR(CheckUtf8("line", line));
  try {
    return Json::parse(line);
  } catch (const Json::parse_error& error) {
    return InvalidArgumentError("line: is no JSON, wrong at byte {}, allowed: {}", error.byte,
                                wanted);
  }
}

// Each line of standard input, which is to be a `wanted`, through `convert`; a bad line becomes
// {"error": ...} in its place.
template <typename Convert>
int ConvertLines(std::string_view wanted, const Convert& convert) {
  const auto convert_line = [&](const std::string& line) -> StatusOr<Json> {
    PHALANX_ASSIGN_OR_RETURN(const Json input, ParseLine(line, wanted));
    return convert(input);
  };
  for (std::string line; std::getline(std::cin, line);) {
    StatusOr<Json> output = convert_line(line);
    if (!output.ok()) output = Json{{"error", output.status().message()}};
    Print(ToLine(*output) + '\n');
  }
  return kExitOk;
}

constexpr std::string_view kJsonText = "a JSON string";
constexpr std::string_view kJsonIds = "a JSON list of token ids from 0 to 2147483647";

Status WrongLine(const Json& input, std::string_view wanted) {
  constexpr size_t kMaxShownBytes = 60;
  std::string shown = input.dump(-1, ' ', true);
  if (shown.size() > kMaxShownBytes) shown = shown.substr(0, kMaxShownBytes) + "...";
  return InvalidField("line", shown, wanted);
}

StatusOr<Json> EncodeJson(const Tokenizer& tokenizer, EncodeOptions options, const Json& input) {
  if (!input.is_string()) return WrongLine(input, kJsonText);
  PHALANX_ASSIGN_OR_RETURN(const auto ids,
                           tokenizer.Encode(input.get_ref<const std::string&>(), options));
  return Json(ids);
}

StatusOr<Json> DecodeJson(const Tokenizer& tokenizer, DecodeOptions options, const Json& input) {
  if (!input.is_array()) return WrongLine(input, kJsonIds);
  std::vector<int32_t> ids;
  for (const Json& id : input) {
    if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) return WrongLine(id, kJsonIds);
    ids.push_back(id.get<int32_t>());
  }
  PHALANX_ASSIGN_OR_RETURN(std::string text, tokenizer.Decode(ids, options));
  return Json(std::move(text));
}

int RunTokenize(const TokenizeFlags& flags) {
  const auto tokenizer = LoadTokenizer(flags.model);
  if (!tokenizer.ok()) return ReportError(tokenizer.status());
  const EncodeOptions options{flags.no_special ? SpecialTokens::kOmit : SpecialTokens::kAdd};
  if (flags.jsonl) {
    return ConvertLines(kJsonText,
                        [&](const Json& line) { return EncodeJson(**tokenizer, options, line); });
  }
  const auto text = ReadInput("text", "-");
  if (!text.ok()) return ReportError(text.status());
  const auto ids = (*tokenizer)->Encode(*text, options);
  if (!ids.ok()) return ReportError(ids.status());
  if (flags.json) {
    Print(Json(*ids).dump() + '\n');
  } else {
    Print(fmt::format("{}\n", fmt::join(*ids, " ")));
  }
  return kExitOk;
}

int RunDetokenize(const TokenizeFlags& flags) {
  const auto tokenizer = LoadTokenizer(flags.model);
  if (!tokenizer.ok()) return ReportError(tokenizer.status());
  const DecodeOptions options{flags.skip_special ? SpecialTokenText::kSkip
                                                 : SpecialTokenText::kKeep};
  if (flags.jsonl) {
    return ConvertLines(kJsonIds,
                        [&](const Json& line) { return DecodeJson(**tokenizer, options, line); });
  }
  // What `tokenize` prints, with or without --json.
  auto input = ReadInput("token_ids", "-");
  if (!input.ok()) return ReportError(input.status());
  std::erase_if(*input, [](char c) { return c == '[' || c == ']'; });
  const auto ids = ParseTokenIds(*input, "token_ids");
  if (!ids.ok()) return ReportError(ids.status());
  const auto text = (*tokenizer)->Decode(*ids, options);
  if (!text.ok()) return ReportError(text.status());
  if (flags.json) {
    Print(ToLine(Json(*text)) + '\n');
  } else {
    Print(*text);
  }
  return kExitOk;
}

CLI::App& AddOffline(CLI::App& app, const char* name, const char* help, TokenizeFlags& flags) {
  CLI::App& sub = *app.add_subcommand(name, help);
  sub.add_option("--model", flags.model, "a model's folder or hub id")->required();
  auto* json = sub.add_flag("--json", flags.json, "print JSON");
  sub.add_flag("--jsonl", flags.jsonl, "a JSON value a line in, one a line out")->excludes(json);
  return sub;
}

}  // namespace

void AddTokenize(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<TokenizeFlags>();
  CLI::App& sub =
      AddOffline(app, "tokenize", "Token ids of the text on standard input, offline", *flags);
  sub.add_flag("--no-special", flags->no_special, "do not add special tokens such as a BOS");
  sub.callback([flags, &command] { command = [flags] { return RunTokenize(*flags); }; });
}

void AddDetokenize(CLI::App& app, Command& command) {
  const auto flags = std::make_shared<TokenizeFlags>();
  CLI::App& sub =
      AddOffline(app, "detokenize", "Text of the token ids on standard input, offline", *flags);
  sub.add_flag("--skip-special-tokens", flags->skip_special, "leave special tokens out");
  sub.callback([flags, &command] { command = [flags] { return RunDetokenize(*flags); }; });
}

}  // namespace phalanx
