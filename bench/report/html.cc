#include <fmt/format.h>

#include <array>

#include "bench/report/document.h"
#include "bench/report/html_style.h"
#include "bench/report/svg.h"

namespace phalanx::report {
namespace {

constexpr size_t kLongChars = 24;  // from which on a cell asks for room

std::string_view ClassOf(Tone tone) {
  constexpr std::array<std::string_view, 5> kClasses = {"", "good", "bad", "warn", "muted"};
  return kClasses[static_cast<size_t>(tone)];
}

std::string Attribute(std::string_view css) {
  return css.empty() ? "" : fmt::format(" class=\"{}\"", css);
}

std::string Folded(const std::string& title, const std::string& content) {
  if (title.empty()) return content;
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", EscapeHtml(title), content);
}

std::string Pre(const std::string& text) {
  return fmt::format("<pre>{}</pre>\n", EscapeHtml(text));
}

std::string CellOf(const Cell& cell, Align align) {
  std::string css(ClassOf(cell.tone));
  const auto add = [&](std::string_view name) {
    css += (css.empty() ? "" : " ") + std::string(name);
  };
  if (align == Align::kRight) {
    add("n");
  } else if (cell.text.size() > kLongChars) {
    add("long");
  }
  return fmt::format("<td{}>{}</td>", Attribute(css), EscapeHtml(cell.text));
}

class Renderer {
 public:
  void operator()(const Heading& heading) {
    out_ += fmt::format("<h2>{}</h2>\n", EscapeHtml(heading.text));
  }
  void operator()(const Paragraph& paragraph) {
    out_ += fmt::format("<p{}>{}</p>\n", Attribute(ClassOf(paragraph.tone)),
                        EscapeHtml(paragraph.text));
  }
  void operator()(const Alert& alert) {
    out_ += fmt::format("<div class=\"alert {}\"><p>{}</p>{}</div>\n", ClassOf(alert.tone),
                        EscapeHtml(alert.text), alert.detail.empty() ? "" : Pre(alert.detail));
  }
  void operator()(const Pairs& pairs) {
    out_ += "<dl>\n";
    for (const auto& [name, value] : pairs.items) {
      out_ +=
          fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", EscapeHtml(name), EscapeHtml(value));
    }
    out_ += "</dl>\n";
  }
  void operator()(const Code& code) { out_ += Folded(code.fold, Pre(code.text)); }
  void operator()(const List& list) {
    out_ += "<ul>\n";
    for (const std::string& item : list.items) {
      out_ += fmt::format("<li>{}</li>\n", EscapeHtml(item));
    }
    out_ += "</ul>\n";
  }
  void operator()(const Table& table) {
    std::string html = "<div class=\"wide\"><table>\n<thead><tr>";
    for (const Column& column : table.columns) {
      html += fmt::format("<th{}>{}</th>", Attribute(column.align == Align::kRight ? "n" : ""),
                          EscapeHtml(column.title));
    }
    html += "</tr></thead>\n<tbody>\n";
    for (const std::vector<Cell>& row : table.rows) {
      html += "<tr>";
      for (size_t i = 0; i < row.size(); ++i) html += CellOf(row[i], table.columns[i].align);
      html += "</tr>\n";
    }
    out_ += Folded(table.fold, html + "</tbody></table></div>\n");
  }
  void operator()(const Plots& plots) {
    std::string html;
    for (const auto& plot : plots.plots) {
      html += std::visit(
          [](const auto& one) {
            const std::string svg = RenderSvg(one);
            return svg.empty() ? std::string()
                               : fmt::format("<figure><h3>{}</h3>\n{}</figure>\n",
                                             EscapeHtml(one.title), svg);
          },
          plot);
    }
    if (!html.empty()) out_ += fmt::format("<div class=\"plots\">\n{}</div>\n", html);
  }

  explicit Renderer(const std::string& title)
      : out_(
            fmt::format("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                        "<title>{0}</title>\n<style>{1}</style>\n</head>\n<body>\n<h1>{0}</h1>\n",
                        EscapeHtml(title), kStyle)) {}
  std::string Take() {
    out_ += "</body>\n</html>\n";
    return std::move(out_);
  }

 private:
  std::string out_;
};

}  // namespace

std::string RenderHtml(const Document& document) {
  Renderer renderer(document.title);
  for (const Block& block : document.blocks) std::visit(renderer, block);
  return renderer.Take();
}

}  // namespace phalanx::report
