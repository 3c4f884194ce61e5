"""The style sheet of the report page, for light and dark screens; a Python text so that no package data is needed."""

STYLE = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ink: #1a1d21; --soft: #5b6470; --line: #dfe3e8; --panel: #f6f7f9;
  --kept: #2f6db5; --gone: #d9822b; --s0: #8a94a3; --s1: #2f6db5;
  --cut: #fbe3df; --new0: #d9f0dc; --new1: #d6e8f8; --new2: #eee4f7; --new3: #f6eecb;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #16191d; --ink: #e7eaee; --soft: #9aa4b1; --line: #2e343c; --panel: #1e2227;
    --kept: #5b9be0; --gone: #e39a4b; --s0: #77818f; --s1: #5b9be0;
    --cut: #4a2622; --new0: #1d3d25; --new1: #1b3650; --new2: #382a4d; --new3: #423a17;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 24px 20px 64px; }
h1 { font-size: 26px; margin: 0 0 12px; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 36px 0 10px; padding-bottom: 4px; border-bottom: 1px solid var(--line); }
h3 { font-size: 15px; margin: 18px 0 6px; }
h4 { font-size: 12px; margin: 0 0 4px; color: var(--soft); font-weight: 600; }
dl { display: flex; flex-wrap: wrap; gap: 12px; margin: 0; }
dl div { background: var(--panel); border-radius: 6px; padding: 8px 14px; min-width: 110px; }
dt { font-size: 12px; color: var(--soft); }
dd { margin: 0; font-size: 20px; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13.5px; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: 4px 26px 4px 0; border-bottom: 1px solid var(--line); vertical-align: top; overflow-wrap: anywhere; }
th.n, td.n { text-align: right; font-variant-numeric: tabular-nums; overflow-wrap: normal; white-space: nowrap; }
svg { width: 100%; height: auto; display: block; margin: 6px 0 14px; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; }
svg .tick, svg .value { fill: var(--soft); font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--line); }
rect.kept, i.kept { fill: var(--kept); background: var(--kept); }
rect.gone, i.gone { fill: var(--gone); background: var(--gone); }
rect.s0, i.s0 { fill: var(--s0); background: var(--s0); }
rect.s1, i.s1 { fill: var(--s1); background: var(--s1); }
.legend { font-size: 13px; color: var(--soft); margin: 6px 0; }
.legend i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin: 0 4px 0 10px;
  vertical-align: -1px; }
.legend i:first-child { margin-left: 0; }
details { border: 1px solid var(--line); border-radius: 6px; margin: 8px 0; padding: 8px 12px; }
summary { cursor: pointer; font-weight: 600; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--panel); border-radius: 6px; padding: 10px;
  margin: 0; font: 12.5px/1.45 ui-monospace, monospace; max-height: 420px; overflow-y: auto; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 12px; }
.text { min-width: 0; margin-top: 10px; }
.chips { list-style: none; display: flex; flex-wrap: wrap; gap: 4px 16px; padding: 0; margin: 8px 0; font-size: 13px;
  color: var(--soft); }
.chips b { color: var(--ink); font-weight: 600; overflow-wrap: anywhere; }
pre .cut { background: var(--cut); }
pre .new { background: var(--new0); }
pre .new.h1 { background: var(--new1); }
pre .new.h2 { background: var(--new2); }
pre .new.h3 { background: var(--new3); }
path.curve, path.dots { fill: none; stroke-linecap: round; stroke-linejoin: round; }
path.curve { stroke-width: 2; }
path.dots { stroke-width: 5; stroke-opacity: 0.55; }
path.a { stroke: var(--kept); }
path.b { stroke: var(--gone); }
path.dots.b { stroke-opacity: 0.9; }
circle.a { fill: var(--kept); }
circle.b { fill: var(--gone); }
.audit th, .audit td { overflow-wrap: normal; padding-right: 18px; }
.audit td:last-child { min-width: 260px; overflow-wrap: anywhere; }
.note { color: var(--soft); font-size: 13px; margin: 4px 0; }
"""

PLOTS = """
:root { --a: #2f6db5; --b: #d9822b; }
@media (prefers-color-scheme: dark) { :root { --a: #5b9be0; --b: #e39a4b; } }
circle.dot.a, rect.cell { fill: var(--a); }
circle.dot.b { fill: var(--b); }
line.range { stroke-width: 2; }
line.range.a { stroke: var(--a); }
line.range.b { stroke: var(--b); }
svg text.on { fill: var(--paper); font-variant-numeric: tabular-nums; }
.label-proxy, .label-smoke { display: inline-block; border-radius: 4px; padding: 1px 8px; font-weight: 600; }
.label-proxy { background: var(--b); color: #1a1d21; }
.label-smoke { background: var(--a); color: var(--paper); }
.teachers th, .teachers td { padding: 3px 12px 3px 0; white-space: nowrap; overflow-wrap: normal; }
.teachers th { white-space: normal; min-width: 52px; vertical-align: bottom; line-height: 1.25; }
.teachers .r { text-align: right; font-variant-numeric: tabular-nums; }
.teachers tr.out td { color: var(--soft); }
"""
