#include "text/unicode/nfc.h"

#include <algorithm>
#include <utility>

#include "text/utf8.h"

namespace phalanx::unicode {
namespace {

// Hangul syllables: the Unicode Standard 3.12.
constexpr uint32_t kSyllableBase = 0xAC00;
constexpr uint32_t kLeadBase = 0x1100;
constexpr uint32_t kVowelBase = 0x1161;
constexpr uint32_t kTrailBase = 0x11A7;  // itself no trailing consonant
constexpr uint32_t kLeadCount = 19;
constexpr uint32_t kVowelCount = 21;
constexpr uint32_t kTrailCount = 28;
constexpr uint32_t kSyllableCount = kLeadCount * kVowelCount * kTrailCount;

}  // namespace

Nfc::Nfc(const Classes& classes) : classes_(classes) {
  for (const CombiningClassRange& range : CombiningClassRanges()) {
    for (uint32_t cp = range.first; cp <= range.last; ++cp) {
      combining_classes_[cp] = range.combining_class;
    }
  }
  for (const Decomposition& row : Decompositions()) {
    decompositions_[row.code_point] = {row.first, row.second};
    if (row.composes) compositions_[uint64_t{row.first} << 32 | row.second] = row.code_point;
  }
}

uint8_t Nfc::CombiningClass(uint32_t code_point) const {
  const auto it = combining_classes_.find(code_point);
  return it == combining_classes_.end() ? uint8_t{0} : it->second;
}

void Nfc::Decompose(uint32_t code_point, std::vector<Mark>* out) const {
  if (code_point - kSyllableBase < kSyllableCount) {
    const uint32_t index = code_point - kSyllableBase;
    out->push_back({kLeadBase + index / (kVowelCount * kTrailCount), 0});
    out->push_back({kVowelBase + index / kTrailCount % kVowelCount, 0});
    if (index % kTrailCount != 0) out->push_back({kTrailBase + index % kTrailCount, 0});
    return;
  }
  if (const auto it = decompositions_.find(code_point); it != decompositions_.end()) {
    Decompose(it->second.first, out);
    if (it->second.second != 0) Decompose(it->second.second, out);
    return;
  }
  out->push_back({code_point, CombiningClass(code_point)});
}

uint32_t Nfc::Compose(uint32_t first, uint32_t second) const {
  if (first - kLeadBase < kLeadCount && second - kVowelBase < kVowelCount) {
    return kSyllableBase +
           ((first - kLeadBase) * kVowelCount + (second - kVowelBase)) * kTrailCount;
  }
  if (first - kSyllableBase < kSyllableCount && (first - kSyllableBase) % kTrailCount == 0 &&
      second - kTrailBase - 1 < kTrailCount - 1) {
    return first + (second - kTrailBase);
  }
  const auto it = compositions_.find(uint64_t{first} << 32 | second);
  return it == compositions_.end() ? 0 : it->second;
}

bool Nfc::MayChange(std::string_view text) const {
  for (size_t i = 0; i < text.size();) {
    if (static_cast<unsigned char>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    const CodePoint cp = DecodeCodePoint(text.data() + i);
    if ((classes_.Of(cp.value) & kNfcSensitive) != 0) return true;
    i += cp.length_bytes;
  }
  return false;
}

void Nfc::Append(std::string_view text, std::string* out) const {
  std::vector<Mark> marks;
  size_t copied = 0;    // everything before it is in `out`
  size_t previous = 0;  // where the code point before i begins
  for (size_t i = 0; i < text.size();) {
    const CodePoint cp = DecodeCodePoint(text.data() + i);
    if ((classes_.Of(cp.value) & kNfcSensitive) == 0) {
      previous = i;
      i += cp.length_bytes;
      continue;
    }
    // What changes lies between two code points that nothing before them can reach.
    const size_t begin = previous;
    size_t end = i;
    while (end < text.size()) {
      const CodePoint next = DecodeCodePoint(text.data() + end);
      if ((classes_.Of(next.value) & kNfcSensitive) == 0) break;
      end += next.length_bytes;
    }
    out->append(text, copied, begin - copied);
    AppendSegment(text.substr(begin, end - begin), &marks, out);
    copied = previous = i = end;
  }
  out->append(text, copied);
}

void Nfc::AppendSegment(std::string_view segment, std::vector<Mark>* marks,
                        std::string* out) const {
  marks->clear();
  for (size_t i = 0; i < segment.size();) {
    const CodePoint cp = DecodeCodePoint(segment.data() + i);
    Decompose(cp.value, marks);
    i += cp.length_bytes;
  }
  // Canonical order: each run of marks sorted by class, equal ones keep their order.
  const auto is_starter = [](const Mark& mark) { return mark.combining_class == 0; };
  const auto by_class = [](const Mark& a, const Mark& b) {
    return a.combining_class < b.combining_class;
  };
  for (auto run = marks->begin(); run != marks->end();) {
    run = std::find_if_not(run, marks->end(), is_starter);
    const auto run_end = std::find_if(run, marks->end(), is_starter);
    if (!std::is_sorted(run, run_end, by_class)) std::stable_sort(run, run_end, by_class);
    run = run_end;
  }
  // Canonical composition: a mark joins the last starter unless a mark of the same or a higher
  // class, or another starter, stands between them.
  size_t kept = 0;
  size_t starter = SIZE_MAX;
  for (size_t i = 0; i < marks->size(); ++i) {
    const Mark mark = (*marks)[i];
    if (starter != SIZE_MAX) {
      const bool adjacent = kept == starter + 1;
      const bool blocked = !adjacent && (*marks)[kept - 1].combining_class >= mark.combining_class;
      if (!blocked) {
        if (const uint32_t composed = Compose((*marks)[starter].code_point, mark.code_point)) {
          (*marks)[starter].code_point = composed;
          continue;
        }
      }
    }
    if (mark.combining_class == 0) starter = kept;
    (*marks)[kept++] = mark;
  }
  for (size_t i = 0; i < kept; ++i) AppendCodePoint((*marks)[i].code_point, out);
}

}  // namespace phalanx::unicode
