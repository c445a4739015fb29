#include "text/vocab_reader.h"

#include <unordered_set>

namespace phalanx {
namespace {

using Json = nlohmann::json;

// Looks up the three tokens of one merge.
class MergeReader {
 public:
  explicit MergeReader(const VocabIndex& index) : index_(index) {}

  StatusOr<BpeMerge> Read(const std::string& where, std::string_view left, std::string_view right) {
    joined_.assign(left).append(right);
    BpeMerge merge;
    for (const auto& [token, id] : {std::pair{left, &merge.left},
                                    {right, &merge.right},
                                    {std::string_view(joined_), &merge.result}}) {
      const auto it = index_.find(token);
      if (it == index_.end()) {
        return InvalidField(where, Shown(std::string(token)), "a token of the vocabulary");
      }
      *id = it->second;
    }
    return merge;
  }

  // "LEFT RIGHT", as merges.txt and older tokenizer.json spell a merge.
  StatusOr<BpeMerge> ReadLine(const std::string& where, std::string_view line) {
    const size_t space = line.find(' ');
    if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
      return InvalidField(where, Shown(std::string(line)), "two tokens with one space between");
    }
    return Read(where, line.substr(0, space), line.substr(space + 1));
  }

 private:
  const VocabIndex& index_;
  std::string joined_;
};

}  // namespace

Status ReadVocab(const JsonField& field, Vocab* vocab, VocabIndex* index) {
  PHALANX_RETURN_IF_ERROR(field.CheckObject());
  if (field.value().empty()) return field.Refuse("at least one token");
  vocab->reserve(field.value().size());
  std::unordered_set<int32_t> ids;
  for (const auto& [token, id_json] : field.value().items()) {
    PHALANX_ASSIGN_OR_RETURN(
        const int32_t id,
        JsonField(id_json, fmt::format("{}[{}]", field.path(), Shown(token))).Int(0, kMaxTokenId));
    if (!ids.insert(id).second) {
      return InvalidField(fmt::format("{}[{}]", field.path(), Shown(token)), id,
                          "an id that no other token has");
    }
    vocab->emplace_back(token, id);
  }
  index->reserve(vocab->size());
  for (const auto& [token, id] : (*vocab)) index->emplace(token, id);
  return OkStatus();
}

Status ReadMergesJson(const JsonField& field, const VocabIndex& index,
                      std::vector<BpeMerge>* merges) {
  PHALANX_RETURN_IF_ERROR(field.CheckArray());
  MergeReader reader(index);
  merges->reserve(field.value().size());
  size_t i = 0;
  for (const Json& entry : field.value()) {
    const std::string where = fmt::format("{}[{}]", field.path(), i++);
    BpeMerge merge;
    if (entry.is_string()) {
      const auto& line = entry.get_ref<const std::string&>();
      if (line.starts_with("#version")) continue;
      PHALANX_ASSIGN_OR_RETURN(merge, reader.ReadLine(where, line));
    } else if (entry.is_array() && entry.size() == 2 && entry[0].is_string() &&
               entry[1].is_string()) {
      PHALANX_ASSIGN_OR_RETURN(merge, reader.Read(where, entry[0].get_ref<const std::string&>(),
                                                  entry[1].get_ref<const std::string&>()));
    } else {
      return InvalidField(where, Shown(entry), "\"LEFT RIGHT\" or [\"LEFT\", \"RIGHT\"]");
    }
    merges->push_back(merge);
  }
  return OkStatus();
}

Status ReadMergesText(std::string_view text, const VocabIndex& index,
                      std::vector<BpeMerge>* merges) {
  MergeReader reader(index);
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const size_t newline = text.find('\n');
    std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("#version") || line.empty()) continue;
    PHALANX_ASSIGN_OR_RETURN(
        const BpeMerge merge,
        reader.ReadLine(fmt::format("merges.txt: line {}", line_number), line));
    merges->push_back(merge);
  }
  return OkStatus();
}

}  // namespace phalanx
