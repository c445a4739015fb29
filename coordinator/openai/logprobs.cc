#include "coordinator/openai/logprobs.h"

#include <algorithm>

#include "coordinator/openai/json_writer.h"
#include "text/utf8.h"

namespace phalanx::openai {
namespace {

std::string TextOf(const std::string& bytes) {
  std::string text;
  AppendLossyUtf8(bytes, &text);
  return text;
}

int64_t NumCharacters(std::string_view text) {
  return std::count_if(text.begin(), text.end(),
                       [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

template <typename Token>
void AppendChatToken(const Token& token, std::string* out) {
  *out += "{\"token\":";
  AppendJsonString(token.token(), out);
  *out += ",\"logprob\":";
  AppendLogprob(token.logprob(), out);
  *out += ",\"bytes\":";
  AppendByteList(token.token(), out);
}

void Separate(std::string* list) {
  if (!list->empty()) *list += ',';
}

}  // namespace

void AppendChatLogprobs(const TokenLogprobs& tokens, std::string* out) {
  *out += "{\"content\":[";
  for (int i = 0; i < tokens.size(); ++i) {
    if (i > 0) *out += ',';
    AppendChatToken(tokens[i], out);
    *out += ",\"top_logprobs\":[";
    for (int j = 0; j < tokens[i].top_size(); ++j) {
      if (j > 0) *out += ',';
      AppendChatToken(tokens[i].top(j), out);
      *out += '}';
    }
    *out += "]}";
  }
  *out += "]}";
}

void CompletionLogprobs::AddPrompt(const TokenLogprobs& tokens) {
  for (int i = 0; i < tokens.size(); ++i) {
    if (i > 0) {
      AddToken(tokens[i]);
      continue;
    }
    const std::string text = TextOf(tokens[i].token());
    AppendJsonString(text, &tokens_);
    token_logprobs_ += "null";
    top_logprobs_ += "null";
    AppendInt(offset_, &text_offset_);
    offset_ += NumCharacters(text);
  }
}

void CompletionLogprobs::Add(const TokenLogprobs& tokens) {
  for (const v1::TokenLogprob& token : tokens) AddToken(token);
}

void CompletionLogprobs::AddToken(const v1::TokenLogprob& token) {
  const std::string text = TextOf(token.token());
  Separate(&tokens_);
  AppendJsonString(text, &tokens_);
  Separate(&token_logprobs_);
  AppendLogprob(token.logprob(), &token_logprobs_);
  Separate(&text_offset_);
  AppendInt(offset_, &text_offset_);
  offset_ += NumCharacters(text);

  Separate(&top_logprobs_);
  std::vector<std::string> seen = {text};
  top_logprobs_ += '{';
  AppendJsonString(text, &top_logprobs_);
  top_logprobs_ += ':';
  AppendLogprob(token.logprob(), &top_logprobs_);
  for (const v1::TopLogprob& top : token.top()) {
    std::string other = TextOf(top.token());
    if (std::find(seen.begin(), seen.end(), other) != seen.end()) continue;
    top_logprobs_ += ',';
    AppendJsonString(other, &top_logprobs_);
    top_logprobs_ += ':';
    AppendLogprob(top.logprob(), &top_logprobs_);
    seen.push_back(std::move(other));
  }
  top_logprobs_ += '}';
}

void CompletionLogprobs::AppendTo(std::string* out) {
  *out += "{\"tokens\":[" + tokens_ + "],\"token_logprobs\":[" + token_logprobs_ +
          "],\"top_logprobs\":[" + top_logprobs_ + "],\"text_offset\":[" + text_offset_ + "]}";
  for (std::string* list : {&tokens_, &token_logprobs_, &top_logprobs_, &text_offset_}) {
    list->clear();
  }
}

void AppendPromptLogprobs(const TokenLogprobs& tokens, std::string* out) {
  const auto append = [out](int32_t id, float logprob, int64_t rank, const std::string& bytes) {
    *out += '"';
    AppendInt(id, out);
    *out += "\":{\"logprob\":";
    AppendLogprob(logprob, out);
    *out += ",\"rank\":";
    rank > 0 ? AppendInt(rank, out) : void(*out += "null");
    *out += ",\"decoded_token\":";
    AppendJsonString(bytes, out);
    *out += '}';
  };
  *out += '[';
  for (int i = 0; i < tokens.size(); ++i) {
    const v1::TokenLogprob& token = tokens[i];
    if (i == 0) {
      *out += "null";
      continue;
    }
    *out += ",{";
    append(token.token_id(), token.logprob(), token.rank(), token.token());
    for (int j = 0; j < token.top_size(); ++j) {
      const v1::TopLogprob& top = token.top(j);
      if (top.token_id() == token.token_id()) continue;
      *out += ',';
      append(top.token_id(), top.logprob(), j + 1, top.token());
    }
    *out += '}';
  }
  *out += ']';
}

}  // namespace phalanx::openai
