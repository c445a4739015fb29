#!/usr/bin/env python3
"""Writes unicode_tables.cc: the Unicode data that text/ needs, as the pinned oracle sees it.

    pip install tokenizers==0.23.*
    python3 text/unicode/generate_tables.py > text/unicode/unicode_tables.cc

Nothing here comes from a Unicode release. The oracle mixes several of them (its regex engine knows a newer one than
its normalizer), so every fact is found by asking it about each code point:

  letter, number, space  Split() with \\p{L}, \\p{N}, \\s
  word                   whether an added token with single_word=True is found next to the code point
  combining class        NFD reorders two marks exactly if the first one's class is larger and neither is zero
  decompositions         NFD, reduced to pairs; a pair that NFC composes again is marked
"""

import sys

import tokenizers
from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers

CODE_POINTS = [cp for cp in range(0x110000) if not 0xD800 <= cp < 0xE000]
HANGUL = range(0xAC00, 0xAC00 + 11172)  # decomposed by arithmetic

nfd = normalizers.NFD().normalize_str
nfc = normalizers.NFC().normalize_str


def matching(pattern):
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    return [cp for cp in CODE_POINTS if not split.pre_tokenize_str(chr(cp))]


def added_token_probe(**flags):
    tokenizer = tokenizers.Tokenizer(models.BPE(vocab={}, merges=[]))
    tokenizer.add_tokens([AddedToken("<t>", normalized=False, **flags)])
    return tokenizer


def word_code_points():
    tokenizer = added_token_probe(single_word=True)
    before = [cp for cp in CODE_POINTS if not tokenizer.encode(chr(cp) + "<t>").ids]
    after = [cp for cp in CODE_POINTS if not tokenizer.encode("<t>" + chr(cp)).ids]
    assert before == after
    return before


def check_strip_space(space):
    tokenizer = added_token_probe(lstrip=True)
    stripped = [cp for cp in CODE_POINTS
                if tokenizer.encode(chr(cp) + "<t>").offsets[0][0] == 0]
    assert stripped == space, "added tokens strip other code points than \\s"


def combining_classes():
    """cp -> class, for classes that are not zero."""
    overlay, iota = chr(0x0334), chr(0x0345)  # classes 1 and 240, the smallest and the largest

    def reorders(a, b):
        return nfd(a + b) == b + a

    marks = [cp for cp in CODE_POINTS if nfd(chr(cp)) == chr(cp) and
             (reorders(chr(cp), overlay) or reorders(iota, chr(cp)))]
    # Only the order of classes matters, so they are numbered 1, 2, 3, ... by insertion.
    representatives = []
    members = {}
    for cp in marks:
        low, high = 0, len(representatives)
        while low < high:
            middle = (low + high) // 2
            if reorders(chr(cp), representatives[middle]):
                low = middle + 1
            else:
                high = middle
        if low == len(representatives) or reorders(representatives[low], chr(cp)):
            representatives.insert(low, chr(cp))
        members[cp] = representatives[low]
    number = {representative: i + 1 for i, representative in enumerate(representatives)}
    return {cp: number[representative] for cp, representative in members.items()}


def decompositions():
    """[(cp, first, second or 0, composes)], first possibly decomposing further."""
    full = {cp: nfd(chr(cp)) for cp in CODE_POINTS if cp not in HANGUL and nfd(chr(cp)) != chr(cp)}
    by_expansion = {}
    for cp, text in full.items():
        by_expansion.setdefault(text, []).append(cp)
    rows = []
    for cp, text in full.items():
        if len(text) == 1:
            rows.append((cp, ord(text), 0, False))
            continue
        head, last = text[:-1], text[-1]
        if len(head) == 1:
            first = ord(head)
        else:
            candidates = by_expansion[head]
            composed = nfc(head)
            first = ord(composed) if len(composed) == 1 else candidates[0]
            assert nfd(chr(first)) == head
        composes = nfc(chr(first) + last) == chr(cp) and nfc(text) == chr(cp)
        assert composes == (nfc(chr(cp)) == chr(cp)), hex(cp)
        rows.append((cp, first, ord(last), composes))
    return rows


def extra_compositions(rows, classes):
    """Pairs that compose although NFD does not take the result apart."""
    known = {(first, second) for _, first, second, composes in rows if composes}
    seconds = {second for _, _, second, composes in rows if composes} | set(classes)
    pairs = []
    for second in sorted(seconds):
        for cp in CODE_POINTS:
            if cp >= 0x20000 or (cp, second) in known:
                continue
            text = chr(cp) + chr(second)
            composed = nfc(text)
            if len(composed) == 1 and nfd(text) == text and nfd(composed) == composed:
                pairs.append((ord(composed), cp, second, True))
    return pairs


def ranges(code_points):
    out = []
    for cp in code_points:
        if out and out[-1][1] == cp - 1:
            out[-1][1] = cp
        else:
            out.append([cp, cp])
    return out


def emit(rows, columns):
    line = ""
    for row in rows:
        cell = "{" + ", ".join(columns(row)) + "}, "
        if len(line) + len(cell) > 100:
            print(line.rstrip())
            line = ""
        line += cell
    if line:
        print(line.rstrip())


def emit_ranges(name, code_points):
    print(f"constexpr CodePointRange {name}[] = {{")
    emit(ranges(code_points), lambda r: (f"0x{r[0]:X}", f"0x{r[1]:X}"))
    print("};\n")


def main():
    space = matching(r"\s")
    check_strip_space(space)
    classes = combining_classes()
    rows = decompositions()
    if "--exhaustive" in sys.argv:
        extra = extra_compositions(rows, classes)
        assert not extra, extra

    print("// Generated by generate_tables.py from tokenizers "
          f"{tokenizers.__version__}; do not edit.")
    print('#include "text/unicode/unicode_tables.h"\n')
    print("namespace phalanx::unicode {\nnamespace {\n\n// clang-format off\n")
    emit_ranges("kLetterRanges", matching(r"\p{L}"))
    emit_ranges("kNumberRanges", matching(r"\p{N}"))
    emit_ranges("kSpaceRanges", space)
    emit_ranges("kWordRanges", word_code_points())
    print("constexpr CombiningClassRange kCombiningClassRanges[] = {")
    class_rows = []
    for cp in sorted(classes):
        if class_rows and class_rows[-1][1] == cp - 1 and class_rows[-1][2] == classes[cp]:
            class_rows[-1][1] = cp
        else:
            class_rows.append([cp, cp, classes[cp]])
    emit(class_rows, lambda r: (f"0x{r[0]:X}", f"0x{r[1]:X}", str(r[2])))
    print("};\n")
    print("constexpr Decomposition kDecompositions[] = {")
    emit(rows, lambda r: (f"0x{r[0]:X}", f"0x{r[1]:X}", f"0x{r[2]:X}" if r[2] else "0", str(int(r[3]))))
    print("};\n\n// clang-format on\n\n}  // namespace\n")
    for function, table, kind in (
            ("LetterRanges", "kLetterRanges", "CodePointRange"),
            ("NumberRanges", "kNumberRanges", "CodePointRange"),
            ("SpaceRanges", "kSpaceRanges", "CodePointRange"),
            ("WordRanges", "kWordRanges", "CodePointRange"),
            ("CombiningClassRanges", "kCombiningClassRanges", "CombiningClassRange"),
            ("Decompositions", "kDecompositions", "Decomposition")):
        print(f"std::span<const {kind}> {function}() {{ return {table}; }}")
    print("\n}  // namespace phalanx::unicode")


if __name__ == "__main__":
    main()
