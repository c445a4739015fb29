// A report before it is Markdown or HTML. Texts are plain: a renderer escapes them.
#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace phalanx::report {

enum class Tone { kPlain, kGood, kBad, kWarn, kMuted };

struct Cell {
  std::string text;
  Tone tone = Tone::kPlain;
};

enum class Align { kLeft, kRight };

struct Column {
  std::string title;
  Align align = Align::kRight;
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;
  std::string fold{};  // where not empty, the table hides behind this title
};

// Names and values that are read side by side.
struct Pairs {
  std::vector<std::pair<std::string, std::string>> items;
};

struct Heading {
  std::string text;
};

struct Paragraph {
  std::string text;
  Tone tone = Tone::kPlain;
};

// What must not be overlooked; `detail` keeps its lines.
struct Alert {
  Tone tone = Tone::kBad;
  std::string text;
  std::string detail{};
};

struct Code {
  std::string text;
  std::string fold{};
};

struct List {
  std::vector<std::string> items;
};

struct Bar {
  std::string label;
  double value = 0;  // 0 to 1; more is drawn as 1
  double least = 0;
  double greatest = 0;
  std::string text{};  // beside it
};

struct BarPlot {
  std::string title;
  std::vector<Bar> bars;
};

enum class Scale { kLinear, kLog };
enum class Unit { kNumber, kBytes };

struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;  // x ascending
};

struct LinePlot {
  std::string title;
  std::string x_title;
  Unit x_unit = Unit::kNumber;
  Scale y_scale = Scale::kLinear;  // x is always logarithmic
  std::vector<Series> series;
};

struct Plots {
  std::vector<std::variant<BarPlot, LinePlot>> plots;
};

using Block = std::variant<Heading, Paragraph, Alert, Pairs, Table, Code, List, Plots>;

struct Document {
  std::string title;
  std::vector<Block> blocks;
};

// Without plots: their figures are in tables too.
std::string RenderMarkdown(const Document& document);

// One file that needs nothing else.
std::string RenderHtml(const Document& document);

}  // namespace phalanx::report
