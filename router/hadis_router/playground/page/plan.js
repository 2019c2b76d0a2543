// The controller's plan: what it chose and why, and when it last changed.

import { byId, el, renderWhenChanged, setText } from "./dom.js";
import { limitText, percent, plural, rate, score, seconds } from "./numbers.js";
import { modelColour } from "./palette.js";
import { SPAN_S, stampsOf } from "./series.js";
import { isRetry, reasons } from "./words.js";

export function planPanel(status) {
  const { plan } = status;
  const tag = byId("plan-status");
  tag.hidden = !plan;
  if (!plan) {
    setText(byId("plan-note"), "");
    renderWhenChanged(byId("plan-body"), null, () => [el("p", { class: "muted", text: "Waiting for the controller's first plan." })]);
    return;
  }
  setText(tag, plan.status ?? "planned");
  tag.dataset.status = plan.status;
  setText(byId("plan-note"), `version ${plan.version ?? "–"}${plan.solve_s ? `, solved in ${seconds(plan.solve_s)}` : ""}`);
  renderWhenChanged(byId("plan-body"), [plan, status.stages], () => body(plan, status.stages ?? {}));
}

const isOn = (stage) => stage !== false && stage !== "Disabled";

function body(plan, stages) {
  const parts = [
    el("div", { class: "pair" }, pairOf(plan)),
    el("div", { class: "limits" },
      limit("θ", "Hardness limit", plan.hardness_threshold, isOn(stages.router), "harder prompts go straight to the heavy model", "theta"),
      limit("τ", "Quality limit", plan.quality_threshold, isOn(stages.discriminator), "light pictures scored lower are drawn again", "tau")),
    el("dl", { class: "plan-facts" }, facts(plan).map(([term, value, hint]) => el("div", { title: hint }, el("dt", { text: term }), el("dd", { text: value })))),
  ];
  if (plan.lanes?.length > 1) parts.push(lanes(plan.lanes));
  const why = reasons({ because: plan.because, ...plan.reasons });
  if (why.length) parts.push(whyOf(why));
  return parts;
}

let isWhyOpen = true; // the panel is made anew whenever the plan changes; what the person chose stays

function whyOf(texts) {
  const hadFocus = Boolean(document.activeElement?.closest(".why"));
  const summary = el("summary", {}, "Why this plan");
  if (hadFocus) queueMicrotask(() => summary.focus({ preventScroll: true }));
  return el("details", { class: "why", open: isWhyOpen, ontoggle: (event) => { isWhyOpen = event.target.open; } },
    summary, el("ul", {}, texts.map((text) => el("li", { text }))));
}

// One model alone, one model twice, or a light and a heavy one.
function pairOf({ light, heavy, quality_threshold: tau }) {
  const arrow = el("span", { class: "pair-arrow", "aria-label": "then" }, "→");
  if (!isRetry({ light, heavy })) return [chip(light, "light"), arrow, chip(heavy, "heavy")];
  return tau === null ? [chip(light, "alone")] : [chip(light, "first try"), arrow, chip(heavy, "second try")];
}

function pairText({ light, heavy, quality_threshold: tau }) {
  if (!isRetry({ light, heavy })) return `${light} → ${heavy}`;
  return tau === null ? `${light} alone` : `${light}, again where doubtful`;
}

const chip = (name, role) => el("span", { class: "chip", vars: { "--dot": modelColour(name) } }, el("i", {}), el("b", { text: name ?? "–" }), el("em", { text: role }));

function limit(sign, name, value, on, hint, kind) {
  const known = on && value !== null && value !== undefined;
  return el("div", { class: `limit ${kind}`, title: hint },
    el("span", {}, el("b", { text: sign }), ` ${name}`), el("strong", { text: known ? score(value) : "off" }),
    el("div", { class: "limit-bar", "aria-hidden": "true", vars: { "--at": String(known ? Math.max(0, Math.min(1, value)) : 0) } }, el("i", {})));
}

function facts(plan) {
  const rows = [];
  if (plan.quality?.value !== null && plan.quality?.value !== undefined) {
    const { metric, value } = plan.quality;
    rows.push([`Expected ${metric.replaceAll("_", " ")}`, metric === "fulfilment" && value <= 1 ? percent(value) : score(value), "what the profile promises at these limits"]);
  }
  if (plan.mean_latency_s !== undefined) rows.push(["Expected mean time", seconds(plan.mean_latency_s), "route-weighted drawing time plus waiting"]);
  const demand = plan.planned_demand ?? plan.demand;
  if (Number.isFinite(demand)) rows.push(["Planned for", `${rate(demand)}/s`, "the demand that the controller expects"]);
  if (plan.route_ratio) rows.push(["Drawn by light / heavy", `${percent(plan.route_ratio.light)} / ${percent(plan.route_ratio.heavy)}`, "shares of all prompts; an escalated one counts in both"]);
  if (plan.batch && Object.keys(plan.batch).length) rows.push(["Batch size", Object.entries(plan.batch).map(([name, size]) => `${name} ${size}`).join(", "), "how many pictures are drawn together at most"]);
  if (plan.workers && Object.keys(plan.workers).length) rows.push(["Workers", Object.entries(plan.workers).filter(([, n]) => n).map(([name, n]) => `${name} ${n}`).join(", ") || "none", ""]);
  return rows;
}

function lanes(list) {
  return el("div", { class: "lanes" }, el("p", { class: "muted small-text", text: plural(list.length, "lane") }),
    list.map((lane) => el("div", { class: "lane" },
      el("div", { class: "lane-bar", "aria-hidden": "true", vars: { "--share": String(lane.share) } },
        el("i", { vars: { "--dot": `linear-gradient(90deg, ${modelColour(lane.light)}, ${modelColour(lane.heavy)})` } })),
      el("span", {}, el("b", { text: percent(lane.share) }), ` ${pairText(lane)}`, el("small", { text: `θ ${limitText(lane.hardness_threshold)}, τ ${limitText(lane.quality_threshold)}` })))));
}

const wording = (plan) => `${pairText(plan)}, θ ${limitText(plan.hardness_threshold)}, τ ${limitText(plan.quality_threshold)}`;
const decision = (plan) => JSON.stringify([plan.light, plan.heavy, plan.hardness_threshold, plan.quality_threshold, plan.workers, plan.batch, plan.lanes]);

// Remembers when the plan changed while this page was open, and reads earlier changes off the history.
export function createPlanLog() {
  const seen = []; // {stamp, text}
  let last = null;
  return {
    observe({ plan, history }) {
      if (!plan) return;
      const now = stampsOf(history).at(-1);
      if (now !== undefined && last !== null && last !== decision(plan)) seen.push({ stamp: now, text: `Plan ${plan.version}: ${wording(plan)}${plan.because ? ` (${plan.because})` : ""}` });
      last = decision(plan);
      if (seen.length > 200) seen.shift();
    },
    markers({ history }) {
      const stamps = stampsOf(history);
      const now = stamps.at(-1) ?? 0;
      const marks = seen.map(({ stamp, text }) => ({ at: now - stamp, text }));
      for (const { index, text } of changesIn(history)) {
        const at = now - stamps[index];
        if (!marks.some((mark) => Math.abs(mark.at - at) <= 3)) marks.push({ at, text });
      }
      return marks.filter(({ at }) => at < SPAN_S);
    },
  };
}

// Seconds in which the thresholds or the workers of a model changed.
function changesIn(history) {
  const series = [history?.hardness_threshold ?? [], history?.quality_threshold ?? [], ...Object.values(history?.workers ?? {})];
  const changes = [];
  const [theta, tau] = series;
  for (let index = 1; index < (history?.demand?.length ?? 0); index += 1) {
    const known = series.some((values) => values[index - 1] !== null && values[index - 1] !== undefined);
    if (known && series.some((values) => values[index] !== values[index - 1])) {
      changes.push({ index, text: `Plan change: θ ${limitText(theta[index])}, τ ${limitText(tau[index])}` });
    }
  }
  return changes;
}
