// Text and numbers as a report shows them.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace phalanx::report {

inline constexpr size_t kMaxNameChars = 200;
inline constexpr size_t kMaxMessageChars = 2000;

enum class Lines { kKept, kJoined };

// Valid UTF-8 of at most `max_bytes` and a mark of what was cut: whatever is no UTF-8 becomes
// U+FFFD, control characters become spaces; so do line ends unless they are kept.
std::string CleanText(std::string_view text, size_t max_bytes, Lines lines = Lines::kJoined);

// Three significant digits and more, thousands apart: 0.0123, 1.23, 45.6, 12,345; whole numbers
// as they are.
std::string ShowNumber(double value);
std::string ShowNumber(std::optional<double> value);  // "-" where absent
std::string ShowPercent(std::optional<double> fraction);

// 1024 -> "1 KiB".
std::string ShowBytes(double bytes);

// The number behind "key=" in the words of a shape; nullopt where there is none.
std::optional<double> ShapeNumber(std::string_view shape, std::string_view key);

// Whether `text` names a model of `size` ("7B" in "qwen2.5-7b", but not in "1.7B").
bool NamesSize(std::string_view text, std::string_view size);

}  // namespace phalanx::report
