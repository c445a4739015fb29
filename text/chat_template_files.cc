#include "text/chat_template_files.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "text/chat_template.h"
#include "text/json_file.h"

namespace phalanx {
namespace {

namespace fs = std::filesystem;

bool Exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

// {} where there is no such file.
StatusOr<nlohmann::json> ReadIfThere(const fs::path& path) {
  if (!Exists(path)) return nlohmann::json::object();
  return ReadJsonFile(path);
}

// A string, or a list of {"name": ..., "template": ...}.
Status AddFromField(const JsonField& field, TemplateTexts* texts) {
  if (field.IsNull()) return OkStatus();
  if (!field.value().is_array()) {
    PHALANX_ASSIGN_OR_RETURN((*texts)["default"], field.String());
    return OkStatus();
  }
  for (size_t i = 0; i < field.value().size(); ++i) {
    const JsonField entry = field.Element(i);
    PHALANX_RETURN_IF_ERROR(entry.CheckObject());
    PHALANX_ASSIGN_OR_RETURN(const std::string name, entry.Member("name").String());
    PHALANX_ASSIGN_OR_RETURN((*texts)[name], entry.Member("template").String());
  }
  return OkStatus();
}

Status AddFromFile(const fs::path& path, TemplateTexts* texts) {
  PHALANX_ASSIGN_OR_RETURN(const nlohmann::json json, ReadIfThere(path));
  const JsonField config(json, path.filename().string() + ": ");
  PHALANX_RETURN_IF_ERROR(config.CheckObject());
  return AddFromField(config.Member("chat_template"), texts);
}

// The text of a token: a string, or an object with "content"; empty for null.
StatusOr<std::string> TokenText(const JsonField& field) {
  if (field.IsNull()) return std::string();
  return field.value().is_object() ? field.Member("content").String() : field.String();
}

}  // namespace

StatusOr<TemplateTexts> ReadTemplateTexts(const fs::path& model_dir) {
  TemplateTexts texts;
  if (Exists(model_dir / "chat_template.jinja")) {
    PHALANX_ASSIGN_OR_RETURN(texts["default"], ReadTextFile(model_dir / "chat_template.jinja"));
  }
  std::error_code ignored;
  for (const fs::directory_entry& entry :
       fs::directory_iterator(model_dir / "additional_chat_templates", ignored)) {
    if (entry.path().extension() != ".jinja") continue;
    PHALANX_ASSIGN_OR_RETURN(texts[entry.path().stem().string()], ReadTextFile(entry.path()));
  }
  if (texts.empty()) {
    PHALANX_RETURN_IF_ERROR(AddFromFile(model_dir / "tokenizer_config.json", &texts));
  }
  if (texts.empty()) PHALANX_RETURN_IF_ERROR(AddFromFile(model_dir / "chat_template.json", &texts));
  return texts;
}

StatusOr<TemplateTokens> LoadTemplateTokens(const fs::path& model_dir) {
  TemplateTokens tokens;
  for (const char* file : {"tokenizer_config.json", "special_tokens_map.json"}) {
    PHALANX_ASSIGN_OR_RETURN(const nlohmann::json json, ReadIfThere(model_dir / file));
    const JsonField config(json, std::string(file) + ": ");
    PHALANX_RETURN_IF_ERROR(config.CheckObject());
    for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                             "cls_token", "mask_token"}) {
      if (tokens.contains(name)) continue;
      PHALANX_ASSIGN_OR_RETURN(std::string text, TokenText(config.Member(name)));
      if (!text.empty()) tokens[name] = std::move(text);
    }
  }
  return tokens;
}

}  // namespace phalanx
