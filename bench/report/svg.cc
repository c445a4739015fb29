#include "bench/report/svg.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "bench/report/text.h"

namespace phalanx::report {
namespace {

// Narrow, so that its text can be read on a phone.
constexpr double kWidth = 360;
constexpr double kPlotHeight = 200;
constexpr double kLeft = 46;
constexpr double kRight = 12;
constexpr double kTop = 10;
constexpr double kBarStep = 24;
constexpr double kBarHeight = 14;
constexpr double kBarLeft = 104;
constexpr double kBarRight = 52;
constexpr size_t kMaxLabelBytes = 44;
constexpr size_t kMaxBarLabelBytes = 14;
constexpr size_t kMaxSeries = 24;
constexpr int kNumColours = 6;

std::string Shortened(std::string_view text, size_t max_bytes) {
  if (text.size() <= max_bytes) return std::string(text);
  size_t end = max_bytes - 1;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return std::string(text.substr(0, end)) + "…";
}

std::string Open(std::string_view title, double height) {
  return fmt::format("<svg viewBox=\"0 0 {} {:.0f}\" role=\"img\" aria-label=\"{}\">\n", kWidth,
                     height, EscapeHtml(title));
}

std::string Text(double x, double y, std::string_view css, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" class=\"{}\">{}</text>\n", x, y, css,
                     EscapeHtml(Shortened(text, kMaxLabelBytes)));
}

std::string Line(double x1, double y1, double x2, double y2, std::string_view css) {
  return fmt::format(
      "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" class=\"{}\"/>\n", x1, y1, x2,
      y2, css);
}

// Tick marks: 1200 as 1.2k.
std::string ShortNumber(double value) {
  if (value >= 1e6) return fmt::format("{:.3g}M", value / 1e6);
  if (value >= 1e3) return fmt::format("{:.3g}k", value / 1e3);
  return fmt::format("{:.3g}", value);
}

struct Range {
  double low = 0;
  double high = 1;
};

// About five round steps from 0 past `highest`.
std::vector<double> LinearTicks(double highest) {
  const double rough = highest / 4;
  const double power = std::pow(10, std::floor(std::log10(rough)));
  const double step = rough <= power       ? power
                      : rough <= 2 * power ? 2 * power
                      : rough <= 5 * power ? 5 * power
                                           : 10 * power;
  std::vector<double> ticks;
  for (int i = 0; i < 10; ++i) {
    ticks.push_back(step * i);
    if (ticks.back() >= highest) break;
  }
  return ticks;
}

std::vector<double> LogTicks(double lowest, double highest) {
  std::vector<double> ticks;
  const int first = static_cast<int>(std::floor(std::log10(lowest)));
  const int last = static_cast<int>(std::ceil(std::log10(highest)));
  for (int power = first; power <= std::max(last, first + 1); ++power) {
    ticks.push_back(std::pow(10, power));
  }
  return ticks;
}

// Figures beyond any that a machine can have would leave no room for the others.
bool IsDrawable(double x, double y, Scale y_scale) {
  constexpr double kSmallest = 1e-9;
  constexpr double kLargest = 1e15;
  const auto fits = [](double value) { return value >= kSmallest && value <= kLargest; };
  return fits(x) && (fits(y) || (y == 0 && y_scale == Scale::kLinear));
}

LinePlot Drawable(LinePlot plot) {
  for (Series& series : plot.series) {
    std::erase_if(series.points, [&](const auto& point) {
      return !IsDrawable(point.first, point.second, plot.y_scale);
    });
  }
  std::erase_if(plot.series, [](const Series& series) { return series.points.empty(); });
  return plot;
}

// Of a plot with points that can all be drawn.
class LineDrawing {
 public:
  explicit LineDrawing(const LinePlot& plot) : plot_(plot) {
    double highest = 0;
    double lowest = std::numeric_limits<double>::infinity();
    for (const Series& series : plot.series) {
      for (const auto& [x, y] : series.points) {
        xs_.insert(x);
        highest = std::max(highest, y);
        if (y > 0) lowest = std::min(lowest, y);
      }
    }
    if (highest <= 0) highest = lowest = 1;
    y_ticks_ = plot.y_scale == Scale::kLog ? LogTicks(lowest, highest) : LinearTicks(highest);
    x_ = {std::log2(*xs_.begin()), std::log2(*xs_.rbegin())};
    if (x_.high - x_.low < 1) x_ = {x_.low - 0.5, x_.high + 0.5};
  }

  std::string Draw() const {
    const size_t num_series = std::min(plot_.series.size(), kMaxSeries);
    const double legend = kTop + kPlotHeight + 46;
    std::string svg = Open(plot_.title, legend + 16 * static_cast<double>(num_series));
    svg += Grid();
    for (size_t i = 0; i < num_series; ++i) {
      const Series& series = plot_.series[i];
      svg += Curve(series, i);
      const double y = legend + 16 * static_cast<double>(i);
      svg += Line(kLeft, y - 4, kLeft + 18, y - 4, ColourOf(i));
      svg += Text(kLeft + 24, y, "label", series.name);
    }
    return svg + "</svg>\n";
  }

 private:
  static std::string ColourOf(size_t index) {
    // Of more lines than colours, the later ones are dashed.
    return fmt::format("line c{}{}", index % kNumColours,
                       index / kNumColours % 2 == 1 ? " dashed" : "");
  }
  double X(double x) const {
    return kLeft + (std::log2(x) - x_.low) / (x_.high - x_.low) * (kWidth - kLeft - kRight);
  }
  double Y(double y) const {
    double part = y / y_ticks_.back();
    if (plot_.y_scale == Scale::kLog) {
      const double low = std::log10(y_ticks_.front());
      part = y > 0 ? (std::log10(y) - low) / (std::log10(y_ticks_.back()) - low) : 0;
    }
    return kTop + (1 - part) * kPlotHeight;
  }
  std::string Grid() const {
    std::string svg;
    for (const double tick : y_ticks_) {
      svg += Line(kLeft, Y(tick), kWidth - kRight, Y(tick), "grid");
      svg += Text(kLeft - 5, Y(tick) + 4, "tick end", ShortNumber(tick));
    }
    const double bottom = kTop + kPlotHeight;
    double last_end = -1e9;
    for (const double x : xs_) {
      const std::string text = plot_.x_unit == Unit::kBytes ? ShowBytes(x) : ShortNumber(x);
      const double half = 3.2 * static_cast<double>(text.size()) + 3;
      if (X(x) - half < last_end) continue;  // no room
      last_end = X(x) + half;
      svg += Line(X(x), bottom, X(x), bottom + 4, "grid");
      svg += Text(X(x), bottom + 15, "tick middle", text);
    }
    return svg + Text((kLeft + kWidth - kRight) / 2, bottom + 29, "tick middle", plot_.x_title);
  }
  std::string Curve(const Series& series, size_t index) const {
    std::string points;
    std::string dots;
    for (const auto& [x, y] : series.points) {
      points += fmt::format("{:.1f},{:.1f} ", X(x), Y(y));
      dots += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"3\" class=\"dot c{}\"><title>{}: "
          "{}, {}</title></circle>\n",
          X(x), Y(y), index % kNumColours, EscapeHtml(Shortened(series.name, kMaxLabelBytes)),
          ShowNumber(x), ShowNumber(y));
    }
    return fmt::format("<polyline points=\"{}\" class=\"{}\"/>\n{}", points, ColourOf(index), dots);
  }

  const LinePlot& plot_;
  std::set<double> xs_;
  std::vector<double> y_ticks_;
  Range x_;  // of log2
};

}  // namespace

std::string EscapeHtml(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      case '\'':
        escaped += "&#39;";
        break;
      default:
        escaped += c;
    }
  }
  return escaped;
}

std::string RenderSvg(const BarPlot& plot) {
  const double height = kTop + kBarStep * static_cast<double>(plot.bars.size()) + 22;
  const auto x_of = [](double part) {
    return kBarLeft + std::clamp(part, 0.0, 1.0) * (kWidth - kBarLeft - kBarRight);
  };
  std::string svg = Open(plot.title, height);
  const double bottom = height - 20;
  for (const double tick : {0.0, 0.5, 1.0}) {
    svg += Line(x_of(tick), kTop, x_of(tick), bottom, "grid");
    svg += Text(x_of(tick), bottom + 14, "tick middle", fmt::format("{:.0f} %", tick * 100));
  }
  double y = kTop + 4;
  for (const Bar& bar : plot.bars) {
    const double middle = y + kBarHeight / 2;
    svg += Text(kBarLeft - 6, middle + 4, "label end", Shortened(bar.label, kMaxBarLabelBytes));
    svg += fmt::format(
        "<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" class=\"bar\"/>\n", x_of(0),
        y, x_of(bar.value) - x_of(0), kBarHeight);
    svg += Line(x_of(bar.least), middle, x_of(bar.greatest), middle, "spread");
    svg += Text(kWidth - kBarRight + 8, middle + 4, "label", bar.text);
    y += kBarStep;
  }
  return svg + "</svg>\n";
}

std::string RenderSvg(const LinePlot& plot) {
  const LinePlot drawable = Drawable(plot);
  return drawable.series.empty() ? "" : LineDrawing(drawable).Draw();
}

}  // namespace phalanx::report
