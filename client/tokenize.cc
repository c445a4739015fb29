#include "client/tokenize.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "client/answer_json.h"
#include "client/file.h"
#include "client/sampling_flags.h"
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

// Each line of standard input through `convert`; a bad line becomes {"error": ...} in its place.
template <typename Convert>
int ConvertLines(const Convert& convert) {
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json input = Json::parse(line, nullptr, false);
    StatusOr<Json> output = convert(input);
    if (!output.ok()) output = Json{{"error", output.status().message()}};
    fmt::print("{}\n", ToLine(*output));
  }
  return kExitOk;
}

StatusOr<Json> EncodeJson(const Tokenizer& tokenizer, EncodeOptions options, const Json& input) {
  if (!input.is_string()) return InvalidArgumentError("line: is no JSON string");
  PHALANX_ASSIGN_OR_RETURN(const auto ids,
                           tokenizer.Encode(input.get_ref<const std::string&>(), options));
  return Json(ids);
}

StatusOr<Json> DecodeJson(const Tokenizer& tokenizer, DecodeOptions options, const Json& input) {
  std::vector<int32_t> ids;
  const Status wrong = InvalidArgumentError("line: is no JSON list of token ids");
  if (!input.is_array()) return wrong;
  for (const Json& id : input) {
    if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() > INT32_MAX)
      return wrong;
    ids.push_back(id.get<int32_t>());
  }
  PHALANX_ASSIGN_OR_RETURN(std::string text, tokenizer.Decode(ids, options));
  return Json(std::move(text));
}

int RunTokenize(const TokenizeFlags& flags) {
  const auto tokenizer = Tokenizer::Load(flags.model);
  if (!tokenizer.ok()) return ReportError(tokenizer.status());
  const EncodeOptions options{flags.no_special ? SpecialTokens::kOmit : SpecialTokens::kAdd};
  if (flags.jsonl)
    return ConvertLines([&](const Json& line) { return EncodeJson(**tokenizer, options, line); });
  const auto ids = (*tokenizer)->Encode(ReadAll(std::cin), options);
  if (!ids.ok()) return ReportError(ids.status());
  if (flags.json) {
    fmt::print("{}\n", Json(*ids).dump());
  } else {
    fmt::print("{}\n", fmt::join(*ids, " "));
  }
  return kExitOk;
}

int RunDetokenize(const TokenizeFlags& flags) {
  const auto tokenizer = Tokenizer::Load(flags.model);
  if (!tokenizer.ok()) return ReportError(tokenizer.status());
  const DecodeOptions options{flags.skip_special ? SpecialTokenText::kSkip
                                                 : SpecialTokenText::kKeep};
  if (flags.jsonl)
    return ConvertLines([&](const Json& line) { return DecodeJson(**tokenizer, options, line); });
  // What `tokenize` prints, with or without --json.
  std::string input = ReadAll(std::cin);
  std::erase_if(input, [](char c) { return c == '[' || c == ']'; });
  const auto ids = ParseTokenIds(input, "token_ids");
  if (!ids.ok()) return ReportError(ids.status());
  const auto text = (*tokenizer)->Decode(*ids, options);
  if (!text.ok()) return ReportError(text.status());
  if (flags.json) {
    fmt::print("{}\n", ToLine(Json(*text)));
  } else {
    std::fwrite(text->data(), 1, text->size(), stdout);
  }
  return kExitOk;
}

CLI::App& AddOffline(CLI::App& app, const char* name, const char* help, TokenizeFlags& flags) {
  CLI::App& sub = *app.add_subcommand(name, help);
  sub.add_option("--model", flags.model, "a model's folder")->required();
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
