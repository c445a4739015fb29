#include "text/chat_template.h"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "text/chat_renderers.h"
#include "text/json_file.h"

namespace phalanx {
namespace {

// A template's text without the parts in which published versions of it differ.
struct Skeleton {
  std::string text;
  std::optional<std::string> default_system;
  std::string generation_prompt;
  PastThinking past_thinking = PastThinking::kKept;
};

// What a template is recognised by: length and FNV-1a hash of its skeleton.
struct Fingerprint {
  size_t bytes;
  uint64_t hash;

  bool operator==(const Fingerprint&) const = default;
};

// Of the text as it is for Qwen2.5, of the text in one line for the others.
constexpr Fingerprint kQwen25 = {2370, 0xC73EFC1FDA3307AD};
constexpr Fingerprint kChatMl = {199, 0xA41D6BAE9B9141BC};
constexpr Fingerprint kChatMlWithDefault = {305, 0xDBC23851EEA954B9};
constexpr Fingerprint kDeepSeekR1 = {2124, 0x4B79317A817474F1};

Fingerprint FingerprintOf(std::string_view text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return {text.size(), hash};
}

// The value of a Jinja string literal's inside; nullopt for escapes that are not expected in one.
std::optional<std::string> Unescape(std::string_view literal) {
  std::string out;
  for (size_t i = 0; i < literal.size(); ++i) {
    if (literal[i] != '\\') {
      out.push_back(literal[i]);
      continue;
    }
    if (++i == literal.size()) return std::nullopt;
    switch (literal[i]) {
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case '\\':
      case '\'':
      case '"':
        out.push_back(literal[i]);
        break;
      default:
        return std::nullopt;
    }
  }
  return out;
}

// Removes every `part` from `text`; how many there were.
size_t EraseAll(std::string_view part, std::string* text) {
  size_t count = 0;
  for (size_t at = 0; (at = text->find(part, at)) != std::string::npos; ++count) {
    text->erase(at, part.size());
  }
  return count;
}

// The default system message stands in a literal between these two, and may stand in one of its own
// as well.
void CutDefaultSystem(Skeleton* skeleton) {
  constexpr std::string_view kBefore = R"('<|im_start|>system\n)";
  constexpr std::string_view kBehind = R"(<|im_end|>\n')";
  std::string& text = skeleton->text;
  for (size_t at = 0; (at = text.find(kBefore, at)) != std::string::npos;) {
    at += kBefore.size();
    const size_t end = text.find(kBehind, at);
    if (end == std::string::npos) return;
    const std::string literal = text.substr(at, end - at);
    if (literal.find(kBefore) != std::string::npos || literal.starts_with('\'')) continue;
    std::optional<std::string> value = Unescape(literal);
    if (!value) return;
    text.erase(at, literal.size());
    const std::string quoted = "'" + literal + "'";
    for (size_t own = 0; (own = text.find(quoted, own)) != std::string::npos;) {
      text.erase(own + 1, literal.size());
    }
    skeleton->default_system = std::move(value);
    return;
  }
}

// DeepSeek-R1-Distill's template was published with and without an opened <think>, and with and
// without a statement that drops the thinking of earlier answers.
void CutDeepSeekVariants(Skeleton* skeleton) {
  constexpr std::string_view kDropsThinking =
      "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}";
  for (const auto& [literal, prompt] :
       {std::pair<std::string_view, std::string_view>{R"({{'<｜Assistant｜><think>\n'}})",
                                                      "<｜Assistant｜><think>\n"},
        {R"({{'<｜Assistant｜>'}})", "<｜Assistant｜>"}}) {
    if (EraseAll(literal, &skeleton->text) == 0) continue;
    skeleton->generation_prompt = prompt;
    if (EraseAll(kDropsThinking, &skeleton->text) > 0) {
      skeleton->past_thinking = PastThinking::kDropped;
    }
    return;
  }
}

Skeleton SkeletonOf(std::string text) {
  // Jinja drops a template's last newline.
  if (text.ends_with('\n')) text.pop_back();
  if (text.ends_with(R"(}\n)")) text.resize(text.size() - 2);
  Skeleton skeleton;
  skeleton.text = std::move(text);
  CutDeepSeekVariants(&skeleton);
  if (skeleton.generation_prompt.empty()) CutDefaultSystem(&skeleton);
  return skeleton;
}

class Qwen25Template final : public ChatTemplate {
 public:
  explicit Qwen25Template(std::string default_system)
      : default_system_(std::move(default_system)) {}
  StatusOr<std::string> Render(const ChatRequest& request) const override {
    return RenderQwen25(request, default_system_);
  }
  std::string_view name() const override { return "qwen2.5"; }

 private:
  std::string default_system_;
};

class ChatMlTemplate final : public ChatTemplate {
 public:
  explicit ChatMlTemplate(std::optional<std::string> default_system)
      : default_system_(std::move(default_system)) {}
  StatusOr<std::string> Render(const ChatRequest& request) const override {
    return RenderChatMl(request, default_system_);
  }
  std::string_view name() const override { return "chatml"; }

 private:
  std::optional<std::string> default_system_;
};

class DeepSeekR1Template final : public ChatTemplate {
 public:
  explicit DeepSeekR1Template(DeepSeekR1Options options) : options_(std::move(options)) {}
  StatusOr<std::string> Render(const ChatRequest& request) const override {
    return RenderDeepSeekR1(request, options_);
  }
  std::string_view name() const override { return "deepseek-r1"; }

 private:
  DeepSeekR1Options options_;
};

class NoTemplate final : public ChatTemplate {
 public:
  StatusOr<std::string> Render(const ChatRequest&) const override {
    return UnimplementedError(
        "chat_template: the model has none (no chat_template.jinja, and no chat_template in "
        "tokenizer_config.json), allowed: prompts as text or token ids");
  }
  std::string_view name() const override { return "none"; }
};

class UnknownTemplate final : public ChatTemplate {
 public:
  explicit UnknownTemplate(std::string text) : text_(std::move(text)) {}
  StatusOr<std::string> Render(const ChatRequest&) const override {
    return UnimplementedError(
        "chat_template: is an unknown template of {} bytes that begins with {}, allowed: the "
        "templates of Qwen2.5, Qwen2 (ChatML) and DeepSeek-R1-Distill-Qwen, or prompts as text or "
        "token ids",
        text_.size(), Shown(text_));
  }
  std::string_view name() const override { return "unknown"; }

 private:
  std::string text_;
};

// nullptr: not known.
std::unique_ptr<ChatTemplate> MakeKnownTemplate(Skeleton skeleton, const std::string& bos_token) {
  const Fingerprint fingerprint = FingerprintOf(skeleton.text);
  if (skeleton.default_system && fingerprint == kQwen25) {
    return std::make_unique<Qwen25Template>(*std::move(skeleton.default_system));
  }
  if (fingerprint == (skeleton.default_system ? kChatMlWithDefault : kChatMl)) {
    return std::make_unique<ChatMlTemplate>(std::move(skeleton.default_system));
  }
  if (fingerprint == kDeepSeekR1) {
    return std::make_unique<DeepSeekR1Template>(
        DeepSeekR1Options{.bos_token = bos_token,
                          .generation_prompt = std::move(skeleton.generation_prompt),
                          .past_thinking = skeleton.past_thinking});
  }
  return nullptr;
}

// The text of a token: a string, or an object with "content"; empty for null.
StatusOr<std::string> TokenText(const JsonField& field) {
  if (field.IsNull()) return std::string();
  return field.value().is_object() ? field.Member("content").String() : field.String();
}

// A list of {"name": ..., "template": ...}.
StatusOr<std::optional<std::string>> DefaultOf(const JsonField& list) {
  for (size_t i = 0; i < list.value().size(); ++i) {
    const JsonField entry = list.Element(i);
    PHALANX_ASSIGN_OR_RETURN(const std::string name, entry.Member("name").String());
    if (name != "default") continue;
    PHALANX_ASSIGN_OR_RETURN(std::string text, entry.Member("template").String());
    return std::optional<std::string>(std::move(text));
  }
  return list.Refuse("a list with a template that is named \"default\"");
}

}  // namespace

std::unique_ptr<ChatTemplate> MakeChatTemplate(std::string template_text,
                                               const std::string& bos_token) {
  std::string one_line;  // in a Jinja literal a newline and \n are the same
  for (const char c : template_text) {
    if (c == '\n') {
      one_line += R"(\n)";
    } else {
      one_line.push_back(c);
    }
  }
  for (const std::string& form : {template_text, one_line}) {
    if (auto known = MakeKnownTemplate(SkeletonOf(form), bos_token)) return known;
  }
  return std::make_unique<UnknownTemplate>(std::move(template_text));
}

StatusOr<std::unique_ptr<ChatTemplate>> LoadChatTemplate(const std::filesystem::path& model_dir) {
  std::optional<std::string> text;
  std::string bos_token;
  std::error_code ignored;
  const std::filesystem::path config_path = model_dir / "tokenizer_config.json";
  if (std::filesystem::exists(config_path, ignored)) {
    PHALANX_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJsonFile(config_path));
    const JsonField config(json, "tokenizer_config.json: ");
    PHALANX_RETURN_IF_ERROR(config.CheckObject());
    PHALANX_ASSIGN_OR_RETURN(bos_token, TokenText(config.Member("bos_token")));
    const JsonField field = config.Member("chat_template");
    if (field.value().is_array()) {
      PHALANX_ASSIGN_OR_RETURN(text, DefaultOf(field));
    } else if (!field.IsNull()) {
      PHALANX_ASSIGN_OR_RETURN(text, field.String());
    }
  }
  const std::filesystem::path template_path = model_dir / "chat_template.jinja";
  if (std::filesystem::exists(template_path, ignored)) {
    PHALANX_ASSIGN_OR_RETURN(text, ReadTextFile(template_path));
  }
  if (!text) return std::make_unique<NoTemplate>();
  return MakeChatTemplate(*std::move(text), bos_token);
}

}  // namespace phalanx
