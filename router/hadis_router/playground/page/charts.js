// Small time charts: stacked bars, stacked areas and step lines over the last five minutes.

import { byId, el, setText, svg } from "./dom.js";
import { BIN_S, SPAN_S, niceMax } from "./series.js";

const EDGE = { left: 30, right: 8, top: 10, bottom: 20 };
const HEIGHT = 118;
const everyChart = new Set();
let cursor = null; // seconds before now under the pointer, shared by all charts

// A chart with a title and a legend. `update(content)` takes {headline, label, max, format, legend,
// stacks | lines | areas, markers}; each series is {name, colour}.
export function createChart(title) {
  const head = el("b", { class: "chart-value" });
  const legend = el("ul", { class: "legend" });
  const plot = el("div", { class: "plot", tabindex: "0", role: "img" });
  const root = el("figure", { class: "chart" }, el("figcaption", {}, el("span", { text: title }), head), plot, legend);
  const chart = { root, plot, content: null, draw: () => draw(chart) };
  everyChart.add(chart);
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const share = (event.clientX - box.left - EDGE.left) / (box.width - EDGE.left - EDGE.right);
    point(chart, SPAN_S * (1 - Math.max(0, Math.min(1, share))));
  });
  plot.addEventListener("pointerleave", () => point(chart, null));
  plot.addEventListener("blur", () => point(chart, null));
  plot.addEventListener("keydown", (event) => {
    const move = { ArrowLeft: BIN_S, ArrowRight: -BIN_S, Home: SPAN_S, End: -SPAN_S }[event.key];
    if (event.key === "Escape") point(chart, null);
    if (move === undefined) return;
    event.preventDefault();
    point(chart, Math.max(0, Math.min(SPAN_S - 1, (cursor ?? BIN_S) + move)));
    setText(byId("announce"), [...byId("tooltip").querySelectorAll("p, li")].map(spoken).join(", "));
  });
  new ResizeObserver(chart.draw).observe(plot);
  chart.update = (content) => {
    chart.content = content;
    head.textContent = content.headline;
    plot.setAttribute("aria-label", content.label);
    const key = JSON.stringify(content.legend);
    if (legend.dataset.key !== key) {
      legend.dataset.key = key;
      legend.replaceChildren(...content.legend.map(({ name, colour, line }) => el("li", {}, el("i", { class: line ? "line" : "", vars: { "--dot": colour } }), name)));
    }
    draw(chart);
  };
  return chart;
}

const spoken = (line) => (line.children.length ? [...line.children].map((part) => part.textContent).join(" ").trim() : line.textContent);

function point(chart, at) {
  cursor = at;
  for (const other of everyChart) draw(other);
  showTooltip(chart);
}

function draw({ plot, content }) {
  const width = plot.clientWidth;
  if (!content || !width) return;
  const max = content.max ?? niceMax(content.peak);
  const x = (at) => EDGE.left + (1 - at / SPAN_S) * (width - EDGE.left - EDGE.right);
  const y = (value) => EDGE.top + (1 - Math.max(0, Math.min(1, value / max))) * (HEIGHT - EDGE.top - EDGE.bottom);
  const frame = { x, y, width, max };
  plot.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, "aria-hidden": "true" },
    grid(frame, content), (content.stacks ?? []).length ? stacks(frame, content) : null,
    (content.areas ?? []).length ? areas(frame, content.areas) : null,
    (content.lines ?? []).map((line) => lineOf(frame, line)), markers(frame, content.markers ?? []),
    cursor === null ? null : svg("path", { class: "cursor", d: `M${x(cursor)},${EDGE.top} V${HEIGHT - EDGE.bottom}` })));
}

function grid({ x, y, width, max }, { format }) {
  const rows = [0, max / 2, max].map((value) => [
    svg("path", { class: value ? "rule" : "axis", d: `M${EDGE.left},${y(value)} H${width - EDGE.right}` }),
    svg("text", { x: EDGE.left - 5, y: y(value) + 3.5, "text-anchor": "end" }, format(value)),
  ]);
  const times = [[300, "−5 min", "start"], [150, "−2½", "middle"], [0, "now", "end"]].map(([at, text, anchor]) =>
    svg("text", { x: x(at), y: HEIGHT - 5, "text-anchor": anchor }, text));
  return svg("g", { class: "grid" }, rows, times);
}

// Bars of one bin each, one series on another.
function stacks({ x, y }, { stacks: series, bins }) {
  const wide = x(0) - x(BIN_S);
  const bars = bins.flatMap(({ at, values }) => {
    let below = 0;
    return series.map(({ name, colour }) => {
      const value = values[name] ?? 0;
      const [bottom, top] = [y(below), y(below + value)];
      below += value;
      if (bottom - top < 0.05) return null;
      const from = Math.max(EDGE.left, x(at + BIN_S / 2));
      return svg("rect", { x: from + 0.5, y: top, width: Math.max(0.5, Math.min(wide, x(Math.max(0, at - BIN_S / 2)) - from) - 1), height: bottom - top, vars: { fill: colour } });
    });
  });
  return svg("g", { class: "bars" }, bars);
}

// Whole numbers over time, filled, one series on another; a change is a vertical step.
function areas({ x, y }, series) {
  const base = series[0].points.map(() => 0);
  return svg("g", {}, series.map(({ colour, points }) => {
    const lower = [...base];
    points.forEach(({ value }, index) => { base[index] += value ?? 0; });
    const up = stepPath(points.map(({ at }, index) => [x(at), y(base[index])]));
    const down = stepPath(points.map(({ at }, index) => [x(at), y(lower[index])]), true);
    return svg("path", { d: `${up} L${down.slice(1)} Z`, vars: { fill: colour }, class: "area" });
  }));
}

function lineOf({ x, y }, { colour, points, dashed }) {
  const runs = [[]];
  for (const { at, value } of points) {
    if (value === null) runs.push([]);
    else runs.at(-1).push([x(at), y(value)]);
  }
  const d = runs.filter((run) => run.length > 1).map((run) => stepPath(run)).join(" ");
  return d ? svg("path", { d, class: dashed ? "line dashed" : "line", vars: { stroke: colour } }) : null;
}

function stepPath(corners, reversed = false) {
  const path = corners.map(([px, py], index) => (index ? `H${px.toFixed(1)} V${py.toFixed(1)}` : `M${px.toFixed(1)},${py.toFixed(1)}`));
  if (!reversed) return path.join(" ");
  const back = [...corners].reverse();
  return back.map(([px, py], index) => (index ? `V${py.toFixed(1)} H${px.toFixed(1)}` : `M${px.toFixed(1)},${py.toFixed(1)}`)).join(" ");
}

function markers({ x }, changes) {
  return svg("g", { class: "markers" }, changes.filter(({ at }) => at >= 0 && at < SPAN_S).map(({ at, text }) =>
    svg("g", { "data-plan-change": true }, svg("title", {}, text),
      svg("path", { d: `M${x(at)},${EDGE.top} V${HEIGHT - EDGE.bottom}` }),
      svg("circle", { cx: x(at), cy: EDGE.top, r: 2.5 }))));
}

function showTooltip({ plot, content }) {
  const tip = byId("tooltip");
  tip.hidden = cursor === null || !content;
  if (tip.hidden) return;
  const rows = content.read(cursor);
  const near = (content.markers ?? []).filter(({ at }) => Math.abs(at - cursor) <= 4);
  tip.replaceChildren(
    el("p", { class: "tip-time", text: cursor < 1 ? "now" : `${Math.round(cursor)} s ago` }),
    el("ul", {}, rows.map(({ name, colour, text }) => el("li", {}, el("i", { vars: { "--dot": colour } }), el("span", { text: name }), el("b", { text })))),
    ...near.map(({ text }) => el("p", { class: "tip-plan", text })));
  const box = plot.getBoundingClientRect();
  const px = box.left + EDGE.left + (1 - cursor / SPAN_S) * (box.width - EDGE.left - EDGE.right);
  const { offsetWidth: w, offsetHeight: h } = tip;
  const leftSide = px + w + 18 > document.documentElement.clientWidth;
  tip.style.left = `${Math.max(6, leftSide ? px - w - 12 : px + 12)}px`;
  tip.style.top = `${Math.max(6, Math.min(box.top + 4, window.innerHeight - h - 6))}px`;
}
