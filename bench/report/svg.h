// Plots as inline SVG, coloured by the page's style.
#pragma once

#include <string>
#include <string_view>

#include "bench/report/document.h"

namespace phalanx::report {

// For text and quoted attributes of HTML and SVG.
std::string EscapeHtml(std::string_view text);

std::string RenderSvg(const BarPlot& plot);
std::string RenderSvg(const LinePlot& plot);

}  // namespace phalanx::report
