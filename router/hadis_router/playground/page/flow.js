// The way of one picture through the cascade as a small diagram: router, light, discriminator, heavy.

import { el, svg } from "./dom.js";
import { pairOfScores, score } from "./numbers.js";
import { modelColour } from "./palette.js";
import { isRetry, looksHard } from "./words.js";

const ROUTER = { y: 1, h: 66 };
const LIGHT = { y: 95, h: 44 };
const JUDGE = { y: 163, h: 66 };
const HEAVY = { y: 121, h: 60 };
const OUT = { y: 259, h: 44 };
const HEIGHT = 304;
const GAP = 62;

const TAKEN = {
  light: ["router-light", "light-judge", "judge-out"],
  heavy: ["router-heavy", "heavy-out"],
  "light>heavy": ["router-light", "light-judge", "judge-heavy", "heavy-out"],
  kept: ["router-light", "light-judge", "judge-heavy", "heavy-out", "judge-out"],
  degraded: ["router-light", "light-judge", "judge-out"],
};
const STRAIGHT = ["router-light", "light-out"]; // without the discriminator
const DELIVERED = {
  light: "Light picture delivered", heavy: "Heavy picture delivered", "light>heavy": "Heavy picture delivered",
  kept: "Light picture delivered", degraded: "Light picture delivered", pinned: "Picture delivered",
};

function delivered(path, lane) {
  const told = DELIVERED[path];
  return told && isRetry(lane) ? told.replace("Light", "First").replace("Heavy", "Second") : told;
}

// `view`: {hadis, lane, thresholds, stage}; stage is idle, routing, again (light done, heavy at
// work), done or failed. `lane` and `thresholds` are the plan's, shown while nothing is known.
export function drawFlow(host, view) {
  const width = Math.max(300, Math.min(host.clientWidth || 420, 560));
  const scene = sceneOf(view);
  const left = (width - GAP) * 0.54;
  const right = { x: left + GAP, w: width - GAP - left - 1 };
  const lane = { left: { x: 1, w: left - 1 }, right };
  host.replaceChildren(svg("svg", {
    viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT, role: "img", "aria-label": scene.label,
    class: `flow-art stage-${view.stage}`,
  }, edges(scene, lane, width), nodes(scene, lane, width)));
}

function sceneOf({ hadis, lane: planned, thresholds: limits, stage }) {
  const path = stage === "again" ? "light>heavy" : hadis?.path;
  const pinned = path === "pinned";
  const lane = (pinned || !hadis ? planned : hadis.lane) ?? {};
  const thresholds = (hadis ? hadis.thresholds : limits) ?? {};
  const pinnedLight = pinned && hadis.model === lane.light && lane.light !== lane.heavy;
  const unjudged = (path === "light" || path === "degraded") && (hadis.quality_score ?? null) === null;
  const taken = new Set(pinnedLight || unjudged ? STRAIGHT : pinned ? TAKEN.heavy : TAKEN[path] ?? []);
  const scene = {
    stage, path, pinned, route: hadis?.route, hard: Boolean(hadis) && looksHard(hadis), taken,
    h: hadis?.hardness ?? null, theta: thresholds.hardness ?? null,
    q: pinned ? null : hadis?.quality_score ?? null, tau: thresholds.quality ?? null,
    light: lane.light ?? "light model",
    heavy: pinned && !pinnedLight ? hadis.model : lane.heavy ?? "heavy model",
    out: stage === "failed" ? "No picture" : (stage === "done" && delivered(path, lane)) || "Your picture",
    retry: isRetry(lane),
    known: Boolean(hadis),
  };
  scene.on = (edge) => taken.has(edge);
  scene.label = scene.known ? `Path: ${path}. Hardness ${score(scene.h)}, limit ${score(scene.theta)}. Quality score ${score(scene.q)}, limit ${score(scene.tau)}.`
    : "The ways a prompt can take: router, light model, discriminator, heavy model.";
  return scene;
}

function edges(scene, { left, right }, width) {
  const mid = left.x + left.w / 2;
  const far = right.x + right.w / 2;
  const asked = { light_only: "low quality", heavy_only: "high quality", pinned: "by name" }[scene.route] ?? (scene.pinned ? "by name" : null);
  const [h, theta] = scene.known && scene.h !== null && scene.theta !== null ? pairOfScores(scene.h, scene.theta) : ["", ""];
  const light = asked ?? (scene.known && !h ? "all" : !h ? "easy" : scene.hard ? "no time left" : `${h} < ${theta}`);
  const heavy = asked ?? (h ? `${h} ≥ ${theta}` : "hard");
  const parts = [
    edge(scene, "router-light", `M${mid},${ROUTER.y + ROUTER.h} V${LIGHT.y}`, [mid, LIGHT.y, "down"],
      [mid + 10, 85, !scene.known || scene.on("router-light") ? light : ""]),
    edge(scene, "router-heavy", `M${far},${ROUTER.y + ROUTER.h} V${HEAVY.y}`, [far, HEAVY.y, "down"],
      [far - 10, 97, !scene.known || scene.on("router-heavy") ? heavy : "", "end"]),
    edge(scene, "light-judge", `M${mid},${LIGHT.y + LIGHT.h} V${JUDGE.y}`, [mid, JUDGE.y, "down"]),
    edge(scene, "judge-out", `M${mid},${JUDGE.y + JUDGE.h} V${OUT.y}`, [mid, OUT.y, "down"],
      [mid + 10, 249, !scene.known ? "good" : scene.on("judge-out") ? (scene.path === "light" ? "good" : scene.path === "kept" ? "better" : "no time left") : ""]),
    edge(scene, "judge-heavy", bend(left.x + left.w, 196, right.x, 154), [right.x, 154, "right"],
      [left.x + left.w + GAP / 2 + 4, 194, !scene.known || scene.on("judge-heavy") ? "doubtful" : "", "middle"]),
    edge(scene, "heavy-out", `M${far},${HEAVY.y + HEAVY.h} V${OUT.y}`, [far, OUT.y, "down"],
      [far - 10, 249, scene.path === "kept" ? "no better" : "", "end"]),
  ];
  if (scene.on("light-out")) {
    const turn = left.x + left.w + 14;
    parts.push(edge(scene, "light-out", `M${left.x + left.w},${LIGHT.y + 22} H${turn} V${OUT.y}`, [turn, OUT.y, "down"]));
  }
  return svg("g", { class: "edges" }, parts.sort((a, b) => Number(a.classList.contains("taken")) - Number(b.classList.contains("taken"))));
}

const bend = (x1, y1, x2, y2) => `M${x1},${y1} C${x1 + GAP * 0.55},${y1} ${x2 - GAP * 0.55},${y2} ${x2},${y2}`;

function edge(scene, name, d, [x, y, way], note) {
  const taken = scene.on(name);
  const live = scene.stage === "again" && name === "heavy-out" ? "waiting" : taken ? "taken" : "";
  const head = way === "down" ? `${x - 5},${y - 7} ${x + 5},${y - 7} ${x},${y}` : `${x - 7},${y - 5} ${x - 7},${y + 5} ${x},${y}`;
  return svg("g", { class: `edge ${live}`, "data-edge": name },
    svg("path", { d }), svg("polygon", { points: head }),
    note?.[2] ? svg("text", { x: note[0], y: note[1], class: "edge-note", "text-anchor": note[3] ?? "start", dy: note[3] === "middle" ? 14 : 0 }, note[2]) : null);
}

function nodes(scene, { left, right }, width) {
  const full = { x: 1, w: width - 2 };
  const on = (...names) => names.some((name) => scene.on(name));
  const running = scene.stage === "routing";
  return svg("g", { class: "nodes" },
    node("router", full, ROUTER, stateOf(scene, on("router-light", "router-heavy"), running),
      ...gauge(full, ROUTER, "Router", routerVerdict(scene), "hardness", scene.h, scene.theta, "θ")),
    node("light", left, LIGHT, stateOf(scene, on("router-light"), running), ...model(left, LIGHT, scene.retry ? "First try" : "Light", scene.light)),
    node("judge", left, JUDGE, stateOf(scene, on("light-judge"), false),
      ...gauge(left, JUDGE, "Discriminator", "", "quality", scene.q, scene.tau, "τ")),
    node("heavy", right, HEAVY, stateOf(scene, on("router-heavy", "judge-heavy"), scene.stage === "again"),
      ...model(right, HEAVY, scene.retry ? "Second try" : "Heavy", scene.heavy)),
    node("out", full, OUT, scene.stage === "done" ? "taken out" : scene.stage === "failed" ? "failed" : "",
      svg("text", { x: width / 2, y: OUT.y + 27, class: "node-out", "text-anchor": "middle" }, scene.out)));
}

function routerVerdict(scene) {
  if (scene.stage === "routing") return "deciding …";
  if (!scene.known) return "";
  if (scene.pinned) return "passed by";
  if (scene.hard && scene.on("router-light") && scene.path === "degraded") return "hard, but to the light model";
  return scene.on("router-light") ? `to the ${scene.retry ? "first try" : "light model"}` : "to the heavy model";
}

function stateOf(scene, taken, active) {
  if (active) return "active";
  if (taken) return "taken";
  return scene.known ? "skipped" : "";
}

function node(name, { x, w }, { y, h }, state, ...children) {
  return svg("g", { class: `node node-${name} ${state}`, "data-node": name },
    svg("rect", { x, y, width: w, height: h, rx: 10 }), children);
}

function model({ x, w }, { y, h }, title, name) {
  const middle = y + h / 2;
  const room = Math.floor((w - 44) / 7.4);
  const shown = name.length > room ? `${name.slice(0, room - 1)}…` : name;
  return [
    svg("circle", { cx: x + 18, cy: middle, r: 6, class: "dot", vars: { "--dot": modelColour(name) } }),
    svg("text", { x: x + 33, y: middle - 4, class: "node-title" }, title),
    svg("text", { x: x + 33, y: middle + 13, class: "node-name" }, svg("title", {}, name), shown),
  ];
}

// A value on a bar from 0 to 1 with the limit as a tick; limits outside of it sit at its ends.
function gauge({ x, w }, { y }, title, verdict, what, value, limit, sign) {
  const from = x + 14;
  const room = w - 28;
  const at = (number) => from + Math.max(0, Math.min(1, number)) * room;
  const parts = [
    svg("text", { x: from, y: y + 20, class: "node-title" }, title),
    svg("text", { x: x + w - 14, y: y + 20, class: "node-verdict", "text-anchor": "end" }, verdict),
    svg("rect", { x: from, y: y + 31, width: room, height: 6, rx: 3, class: "track" }),
  ];
  const [shown, bound] = value !== null && limit !== null ? pairOfScores(value, limit) : [score(value), score(limit)];
  if (value !== null) parts.push(svg("rect", { x: from, y: y + 31, width: Math.max(6, at(value) - from), height: 6, rx: 3, class: "level" }));
  const limitText = limit === null ? "" : `${sign} ${bound}`;
  if (limit !== null) parts.push(svg("path", { d: `M${at(limit)},${y + 27} v14`, class: "tick" }));
  parts.push(
    svg("text", { x: from, y: y + 55, class: "node-small" }, value === null ? what : `${what} ${shown}`),
    svg("text", { x: x + w - 14, y: y + 55, class: "node-small limit", "text-anchor": "end" }, limitText),
  );
  return parts;
}

// The split of the total time as one bar with its legend.
export function drawTiming(host, hadis, sloS, { seconds }) {
  const total = hadis.total_s ?? 0;
  const queue = Math.min(hadis.queue_s ?? 0, total);
  const generate = Math.min(hadis.generate_s ?? 0, total - queue);
  const parts = [["waiting", queue, "wait"], ["drawing", generate, "draw"], ["routing and the rest", Math.max(0, total - queue - generate), "rest"]];
  host.replaceChildren(
    el("p", { class: "timing-line" }, el("b", { text: seconds(total) }), sloS ? ` of ${seconds(sloS)} allowed` : ""),
    el("div", { class: "timing-bar", role: "img", "aria-label": parts.map(([name, value]) => `${name} ${seconds(value)}`).join(", ") },
      parts.map(([, value, kind]) => el("i", { class: `part-${kind}`, vars: { "flex-grow": String(total ? value / total : 0) } }))),
    el("ul", { class: "timing-legend" }, parts.map(([name, value, kind]) =>
      el("li", {}, el("i", { class: `part-${kind}` }), name, " ", el("b", { text: seconds(value) })))));
}
