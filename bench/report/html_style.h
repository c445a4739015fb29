// The style sheet of a report.
#pragma once

#include <string_view>

namespace phalanx::report {

inline constexpr std::string_view kStyle = R"(
:root {
  color-scheme: light dark;
  --page: #faf8f5; --raised: #ffffff; --text: #211d18; --muted: #6a6258; --line: #e3ddd2;
  --good: #2c7a4b; --good-soft: #e6f3ea; --bad: #b3261e; --bad-soft: #fcecea;
  --warn: #855300; --warn-soft: #fbf1dc; --bar: #b9772f;
  --c0: #96500f; --c1: #1f5f93; --c2: #2c7a4b; --c3: #7a3a8e; --c4: #b3261e; --c5: #4f6b78;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #171614; --raised: #211f1d; --text: #ebe7e1; --muted: #a59d92; --line: #3a3632;
    --good: #6cc792; --good-soft: #1d3226; --bad: #f2988f; --bad-soft: #3a2220;
    --warn: #e8b24b; --warn-soft: #352a17; --bar: #b07a3c;
    --c0: #e2a45c; --c1: #8fbfe8; --c2: #6cc792; --c3: #cfa5e0; --c4: #f2988f; --c5: #a9bcc6;
  }
}
*, *::before, *::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 1180px; padding: 20px 16px 60px;
  background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
h1 { margin: 0 0 14px; font-size: 24px; line-height: 1.25; overflow-wrap: anywhere; }
h2 { margin: 36px 0 10px; font-size: 19px; }
h3 { margin: 0 0 6px; font-size: 14px; font-weight: 600; }
p { margin: 8px 0; overflow-wrap: anywhere; }
li { overflow-wrap: anywhere; }
.good { color: var(--good); }
.bad { color: var(--bad); font-weight: 600; }
.warn { color: var(--warn); }
.muted { color: var(--muted); }
.alert { margin: 10px 0; padding: 10px 14px; border-left: 4px solid; border-radius: 6px; }
.alert p { margin: 0; font-weight: 600; }
.alert.good { background: var(--good-soft); }
.alert.bad { background: var(--bad-soft); }
.alert.warn { background: var(--warn-soft); }
pre {
  margin: 8px 0; padding: 10px 12px; max-height: 480px; overflow: auto;
  border: 1px solid var(--line); border-radius: 6px; background: var(--raised); color: var(--text);
  font: 12.5px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
.alert pre { max-height: 260px; white-space: pre-wrap; overflow-wrap: anywhere; }
dl {
  display: grid; grid-template-columns: repeat(auto-fill, minmax(130px, 1fr)); gap: 8px 16px;
  margin: 14px 0; padding: 12px 14px; border: 1px solid var(--line); border-radius: 6px; background: var(--raised);
}
dt { color: var(--muted); font-size: 12.5px; }
dd { margin: 0; overflow-wrap: anywhere; }
.wide { margin: 10px 0; overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; background: var(--raised); }
table { width: 100%; border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 5px 10px; text-align: left; vertical-align: top; }
td { max-width: 460px; min-width: 0; overflow-wrap: anywhere; }
th { color: var(--muted); font-weight: 600; white-space: nowrap; }
tr + tr td { border-top: 1px solid var(--line); }
thead th { border-bottom: 1px solid var(--line); }
.n { text-align: right; white-space: nowrap; overflow-wrap: normal; }
td:not(.long) { overflow-wrap: normal; }
.long { min-width: 190px; }
td:is(.good, .bad, .warn, .muted):not(.long) { white-space: nowrap; }
details { margin: 10px 0; }
summary { cursor: pointer; color: var(--muted); font-weight: 600; }
.plots { display: flex; flex-wrap: wrap; gap: 16px; margin: 14px 0; }
figure { flex: 1 1 300px; min-width: 0; max-width: 560px; margin: 0; padding: 12px; border: 1px solid var(--line); border-radius: 6px; background: var(--raised); }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--text); font-size: 11px; }
svg .tick { fill: var(--muted); font-size: 10.5px; }
svg .end { text-anchor: end; }
svg .middle { text-anchor: middle; }
svg .grid { stroke: var(--line); }
svg .bar { fill: var(--bar); }
svg .spread { stroke: var(--text); stroke-width: 2; }
svg .line { fill: none; stroke-width: 2; }
svg .dashed { stroke-dasharray: 5 3; }
svg .c0 { stroke: var(--c0); } svg .c1 { stroke: var(--c1); } svg .c2 { stroke: var(--c2); }
svg .c3 { stroke: var(--c3); } svg .c4 { stroke: var(--c4); } svg .c5 { stroke: var(--c5); }
svg .dot { fill: var(--raised); stroke-width: 2; }
@media (max-width: 600px) {
  body { padding: 14px 10px 40px; }
  table { font-size: 12.5px; }
  th, td { padding: 4px 5px; }
  .long { min-width: 116px; }
}
@media print { details > * { display: block; } .wide, pre { overflow: visible; max-height: none; } }
)";

}  // namespace phalanx::report
