// The live view: the plan, the workers and the last five minutes, from one poll of `/v1/status` a second.

import { createChart } from "./charts.js";
import { byId, el, renderWhenChanged, setText } from "./dom.js";
import { count, duration, limitText, percent, plural, rate, score, seconds } from "./numbers.js";
import { modelColour, models } from "./palette.js";
import { createPlanLog, planPanel } from "./plan.js";
import { BIN_S, binned, points, sumOver } from "./series.js";

const SERVED = [
  { name: "served_light", label: "light", colour: "var(--light)" },
  { name: "escalated", label: "escalated", colour: "var(--escalated)" },
  { name: "served_heavy", label: "heavy", colour: "var(--heavy)" },
  { name: "degraded", label: "degraded", colour: "var(--degraded)" },
];
const BROKEN = [
  { name: "late", label: "late", colour: "var(--late)" },
  { name: "rejected", label: "turned away", colour: "var(--bad)" },
];

export function createLiveView() {
  const charts = { flow: createChart("Served a second, by path"), broken: createChart("Violations a second"),
    limits: createChart("Thresholds"), workers: createChart("Workers by model") };
  byId("charts").append(...Object.values(charts).map((chart) => chart.root));
  const log = createPlanLog();

  return (status) => {
    facts(status);
    log.observe(status);
    planPanel(status);
    workers(status);
    const history = status.history;
    if (!history) return;
    const markers = log.markers(status);
    demandChart(charts.flow, history, markers, status.demand?.requests_per_second ?? 0);
    brokenChart(charts.broken, history, markers);
    limitsChart(charts.limits, history, markers);
    workersChart(charts.workers, history, markers);
  };
}

function facts({ cascade, slo_s: slo, uptime_s: uptime }) {
  for (const [id, value] of [["fact-cascade", cascade], ["fact-slo", slo ? seconds(slo).replace(/\.00 /, " ") : null], ["fact-uptime", uptime ? duration(uptime) : null]]) {
    const fact = byId(id);
    fact.hidden = !value;
    setText(fact.querySelector("b"), value ?? "");
  }
  document.title = cascade ? `${cascade} · HADIS playground` : "HADIS playground";
}

function workers({ workers: list = [] }) {
  const ready = list.filter(({ state }) => (state ?? "ready") === "ready").length;
  setText(byId("workers-note"), list.length ? `${ready} of ${list.length} ready` : "");
  renderWhenChanged(byId("workers"), list, () => (list.length ? list.map(worker) : [el("li", { class: "muted", text: "No worker has reported yet." })]));
}

function worker({ name, model, role, state = "ready", waiting = 0, running = 0, free_in_s: free }) {
  const busy = running > 0 ? "drawing" : "free";
  const words = state !== "ready" ? state : busy;
  const dots = Math.min(waiting, 12);
  return el("li", { class: `worker ${state === "ready" ? busy : "away"}`, vars: { "--dot": model ? modelColour(model) : "var(--muted)" } },
    el("div", { class: "worker-head" }, el("b", { text: name }), el("span", { class: "worker-state", text: words })),
    el("div", { class: "worker-model" }, el("i", {}), el("span", { text: model ?? "no model" }), role ? el("em", { text: role }) : null),
    el("div", { class: "worker-queue" },
      el("span", { text: `${running} running, ${waiting} waiting` }),
      free > 0.05 ? el("span", { class: "muted", text: `free in ${seconds(free)}` }) : null),
    el("div", { class: "worker-dots", "aria-hidden": "true" }, Array.from({ length: dots }, () => el("i", {}))));
}

const nearest = (list, at) => list.reduce((best, item) => (best === null || Math.abs(item.at - at) < Math.abs(best.at - at) ? item : best), null);
const legendOf = (series) => series.map(({ label, name, colour, line }) => ({ name: label ?? name, colour, line }));

function demandChart(chart, history, markers, now) {
  const bins = binned(history, ["demand", ...SERVED.map(({ name }) => name)]);
  const demand = { label: "demand", colour: "var(--ink)", line: true };
  const peaks = bins.map(({ values }) => Math.max(values.demand, SERVED.reduce((sum, { name }) => sum + values[name], 0)));
  chart.update({
    headline: `${rate(now)}/s asked`, label: `Served by path over five minutes; demand now ${rate(now)} a second.`,
    peak: Math.max(0, ...peaks), format: rate, stacks: SERVED, bins, markers,
    lines: [{ colour: demand.colour, points: bins.map(({ at, values }) => ({ at: at + BIN_S / 2, value: values.demand })) }],
    legend: legendOf([demand, ...SERVED]),
    read: (at) => {
      const bin = nearest(bins, at);
      return bin ? [{ name: "demand", colour: demand.colour, text: rate(bin.values.demand) },
        ...SERVED.map(({ name, label, colour }) => ({ name: label, colour, text: rate(bin.values[name]) }))] : [];
    },
  });
}

function brokenChart(chart, history, markers) {
  const bins = binned(history, BROKEN.map(({ name }) => name));
  const asked = sumOver(history, "demand", 60);
  const broken = sumOver(history, "late", 60) + sumOver(history, "rejected", 60);
  const share = asked ? broken / asked : 0;
  chart.update({
    headline: asked ? `${percent(Math.min(1, share))} in a minute` : "none", label: `Late or turned away in the last minute: ${count(broken)} of ${count(asked)}.`,
    peak: Math.max(0, ...bins.map(({ values }) => values.late + values.rejected)), format: rate, stacks: BROKEN, bins, markers,
    legend: legendOf(BROKEN),
    read: (at) => {
      const bin = nearest(bins, at);
      return bin ? BROKEN.map(({ name, label, colour }) => ({ name: label, colour, text: rate(bin.values[name]) })) : [];
    },
  });
}

function limitsChart(chart, history, markers) {
  const series = [
    { name: "θ hardness", colour: "var(--theta)", points: points(history, history.hardness_threshold), line: true },
    { name: "τ quality", colour: "var(--tau)", points: points(history, history.quality_threshold), line: true, dashed: true },
  ];
  const [theta, tau] = series.map(({ points: list }) => list.at(-1)?.value ?? null);
  const top = Math.max(1, ...series.flatMap(({ points: list }) => list.map(({ value }) => value ?? 0)));
  chart.update({
    headline: `θ ${limitText(theta)}, τ ${limitText(tau)}`, label: `Hardness threshold ${limitText(theta)}, quality threshold ${limitText(tau)}.`,
    max: niceTop(top), format: (value) => score(value, 1), lines: series, markers, legend: legendOf(series),
    read: (at) => series.map(({ name, colour, points: list }) => ({ name, colour, text: limitText(nearest(list, at)?.value) })),
  });
}

// A threshold just above 1 means "all of them": it is drawn at the top.
const niceTop = (value) => (value <= 1.1 ? 1 : Math.ceil(value));

function workersChart(chart, history, markers) {
  const given = history.workers ?? {};
  const names = [...models().filter((name) => name in given), ...Object.keys(given).filter((name) => !models().includes(name))];
  const series = names.map((name) => ({ name, colour: modelColour(name), points: points(history, given[name]) }));
  const total = series.length ? series[0].points.map((_, index) => series.reduce((sum, { points: list }) => sum + (list[index]?.value ?? 0), 0)) : [];
  const now = total.at(-1) ?? 0;
  const held = series.filter(({ points: list }) => list.some(({ value }) => value));
  chart.update({
    headline: plural(now, "worker"), label: series.map(({ name, points: list }) => `${name}: ${list.at(-1)?.value ?? 0}`).join(", "),
    max: Math.max(2, 2 * Math.ceil(Math.max(0, ...total) / 2)), format: (value) => count(value), areas: series, markers, legend: legendOf(held),
    read: (at) => held.map(({ name, colour, points: list }) => ({ name, colour, text: count(nearest(list, at)?.value ?? 0) })),
  });
}
