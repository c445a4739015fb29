// A model folder's tokenizer files: they load or are refused with a reason; what loads encodes any
// text into ids that it can decode.
//
// An input is files, divided by NUL bytes: tokenizer_config.json and tokenizer.json, or
// tokenizer_config.json, vocab.json and merges.txt. An empty one is not there.
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "fuzz/scratch_folder.h"
#include "kernels/base/check.h"
#include "text/tokenizer.h"

namespace {

using phalanx::Tokenizer;

constexpr std::string_view kText =
    "<|im_start|>user\nHello, world! 123 don't  caf\u00e9 e\u0301 \u4e16\u754c \t\r\n <s>ab</s> x";

std::vector<std::string_view> Divide(std::string_view input) {
  std::vector<std::string_view> parts;
  while (parts.size() < 2) {
    const size_t end = input.find('\0');
    parts.push_back(input.substr(0, end));
    if (end == std::string_view::npos) return parts;
    input.remove_prefix(end + 1);
  }
  parts.push_back(input);
  return parts;
}

void WriteFiles(const phalanx::fuzz::ScratchFolder& folder, std::string_view input) {
  const auto parts = Divide(input);
  const auto write = [&](const char* name, std::string_view bytes) {
    bytes.empty() ? folder.Remove(name) : folder.Write(name, bytes);
  };
  const bool is_one = parts.size() == 2;
  write("tokenizer_config.json", parts[0]);
  write("tokenizer.json", is_one ? parts[1] : std::string_view());
  write("vocab.json", parts.size() == 3 ? parts[1] : std::string_view());
  write("merges.txt", parts.size() == 3 ? parts[2] : std::string_view());
}

void CheckTokenizer(const Tokenizer& tokenizer) {
  const auto ids = tokenizer.Encode(kText);
  PHALANX_CHECK(ids.ok());
  for (const int32_t id : *ids) {
    PHALANX_CHECK(id >= 0 && id < tokenizer.vocab_size() && tokenizer.IsKnown(id));
    PHALANX_CHECK(tokenizer.IdToToken(id).has_value());
  }
  PHALANX_CHECK(tokenizer.Decode(*ids).ok());
  PHALANX_CHECK(*tokenizer.Encode(kText) == *ids);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const phalanx::fuzz::ScratchFolder folder;
  WriteFiles(folder, {reinterpret_cast<const char*>(data), size});
  const auto tokenizer = Tokenizer::Load(folder.path());
  if (tokenizer.ok()) {
    CheckTokenizer(**tokenizer);
  } else {
    PHALANX_CHECK(!tokenizer.status().message().empty());
  }
  return 0;
}
