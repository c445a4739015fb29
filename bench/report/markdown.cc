#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "bench/report/document.h"

namespace phalanx::report {
namespace {

// Text that stays on its line and means nothing to Markdown or HTML.
std::string Escape(std::string_view text) {
  const auto is_word = [&](size_t i) {
    return i < text.size() && std::isalnum(static_cast<unsigned char>(text[i])) != 0;
  };
  std::string escaped;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool is_inside_word = i > 0 && is_word(i - 1) && is_word(i + 1);
    if (c == '<') {
      escaped += "&lt;";
    } else if (c == '>' && i == 0) {  // else it opens no quote
      escaped += "&gt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else if (c == '\n') {
      escaped += ' ';
    } else {
      if (std::string_view("\\`*[]|~").find(c) != std::string_view::npos ||
          (c == '_' && !is_inside_word)) {
        escaped += '\\';
      }
      escaped += c;
    }
  }
  return escaped;
}

// A fence longer than any run of backticks inside.
std::string Fenced(const std::string& text) {
  size_t longest = 0;
  size_t run = 0;
  for (const char c : text) {
    run = c == '`' ? run + 1 : 0;
    longest = std::max(longest, run);
  }
  const std::string fence(std::max<size_t>(3, longest + 1), '`');
  const bool ends_line = text.ends_with('\n');
  return fmt::format("{}text\n{}{}{}\n", fence, text, ends_line ? "" : "\n", fence);
}

std::string Marked(const Cell& cell) {
  const std::string text = Escape(cell.text);
  return cell.tone == Tone::kBad && !text.empty() ? "**" + text + "**" : text;
}

class Renderer {
 public:
  void operator()(const Heading& heading) {
    out_ += fmt::format("## {}\n\n", Escape(heading.text));
  }
  void operator()(const Paragraph& paragraph) { out_ += Escape(paragraph.text) + "\n\n"; }
  void operator()(const Alert& alert) {
    out_ += fmt::format("**{}**\n\n", Escape(alert.text));
    if (!alert.detail.empty()) out_ += Fenced(alert.detail) + "\n";
  }
  void operator()(const Pairs& pairs) {
    out_ += "|  |  |\n|---|---|\n";
    for (const auto& [name, value] : pairs.items) {
      out_ += fmt::format("| {} | {} |\n", Escape(name), Escape(value));
    }
    out_ += "\n";
  }
  void operator()(const Code& code) {
    if (!code.fold.empty()) out_ += Escape(code.fold) + ":\n\n";
    out_ += Fenced(code.text) + "\n";
  }
  void operator()(const List& list) {
    for (const std::string& item : list.items) out_ += fmt::format("- {}\n", Escape(item));
    out_ += "\n";
  }
  void operator()(const Table& table) {
    if (!table.fold.empty()) out_ += Escape(table.fold) + ":\n\n";
    for (const Column& column : table.columns) out_ += fmt::format("| {} ", Escape(column.title));
    out_ += "|\n";
    for (const Column& column : table.columns) {
      out_ += column.align == Align::kRight ? "|--:" : "|---";
    }
    out_ += "|\n";
    for (const std::vector<Cell>& row : table.rows) {
      for (const Cell& cell : row) out_ += fmt::format("| {} ", Marked(cell));
      out_ += "|\n";
    }
    out_ += "\n";
  }
  void operator()(const Plots&) {}

  std::string Take() {
    out_.pop_back();  // of two line ends
    return std::move(out_);
  }
  explicit Renderer(const std::string& title) : out_(fmt::format("# {}\n\n", Escape(title))) {}

 private:
  std::string out_;
};

}  // namespace

std::string RenderMarkdown(const Document& document) {
  Renderer renderer(document.title);
  for (const Block& block : document.blocks) std::visit(renderer, block);
  return renderer.Take();
}

}  // namespace phalanx::report
