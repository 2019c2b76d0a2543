// The load slider: sets the rate of the load process behind the router and shows what became of it.

import { fetchLoad, putLoad } from "./api.js";
import { byId, el, setText } from "./dom.js";
import { count, percent, rate } from "./numbers.js";
import { OUTCOMES } from "./words.js";
import { pathColour } from "./palette.js";

const STEPS = [0, 0.5, 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30, 40, 60, 100, 150, 200];
const SETTLE_MS = 150;

// Returns {poll, reset}. The poll stops asking once the router has said that it runs no load.
export function createLoadPanel() {
  const body = byId("load-body");
  const ui = { made: false };
  let steps = STEPS;
  let gone = false;
  let wanted = null; // the rate that the person chose, until the router has taken it
  let settling = null;
  let sending = false;
  let changes = 0; // an answer to a question from before a change tells the old rate

  function make() {
    ui.made = true;
    ui.value = el("output", { class: "load-rate", for: "load-slider" });
    ui.slider = el("input", { type: "range", id: "load-slider", min: "0", max: String(STEPS.length - 1), step: "1", value: "0", "aria-label": "Requests a second" });
    ui.stop = el("button", { type: "button", class: "stop-load", id: "load-stop", "aria-label": "Stop the load", onclick: () => want(0, 0) }, "Stop");
    ui.counts = el("dl", { class: "load-counts" });
    ui.outcomes = el("ul", { class: "outcomes" });
    ui.message = el("p", { class: "error", role: "alert", hidden: true });
    body.replaceChildren(
      el("div", { class: "load-row" }, ui.slider, ui.value, ui.stop), ui.counts, ui.outcomes, ui.message);
    ui.slider.addEventListener("input", () => want(steps[Number(ui.slider.value)], SETTLE_MS));
  }

  function want(value, delayMs) {
    wanted = value;
    changes += 1;
    showRate(value);
    clearTimeout(settling);
    settling = setTimeout(send, delayMs);
  }

  // One after another: two on their way at once could arrive in either order, and a stop be lost.
  async function send() {
    if (sending || wanted === null) return;
    sending = true;
    let asked = null;
    let answer = null;
    let failed = null;
    do {
      asked = changes;
      try {
        answer = await putLoad(wanted);
        failed = null;
      } catch (error) {
        failed = error;
      }
    } while (asked !== changes);
    sending = false;
    wanted = null;
    changes += 1; // a poll that was answered before this change may still arrive after it
    ui.message.hidden = failed === null;
    if (failed) setText(ui.message, failed.message);
    else show(answer);
  }

  function showRate(value) {
    setText(ui.value, value ? `${rate(value)}/s` : "off");
    ui.slider.setAttribute("aria-valuetext", value ? `${rate(value)} requests a second` : "off");
    if (!value && document.activeElement === ui.stop) ui.slider.focus(); // a disabled button keeps no focus
    ui.stop.disabled = !value;
    setText(byId("load-note"), value ? "sent by a process of its own" : "drag, and watch the controller follow");
  }

  const nearestStep = (value) => steps.reduce((best, step, index) => (Math.abs(step - value) < Math.abs(steps[best] - value) ? index : best), 0);

  function show(load) {
    if (!ui.made) make();
    if (load.max_rate && steps.at(-1) !== load.max_rate) {
      steps = STEPS.filter((step) => step <= load.max_rate);
      ui.slider.max = String(steps.length - 1);
    }
    if (wanted === null) {
      ui.slider.value = String(nearestStep(load.rate));
      showRate(load.rate);
    }
    const { sent = 0, completed = 0, late = 0, by_outcome: outcomes = {} } = load;
    const pictures = Object.entries(outcomes).reduce((sum, [name, n]) => sum + (OUTCOMES[name]?.picture ? n : 0), 0);
    ui.counts.replaceChildren(...[["Sent", count(sent)], ["Pictures", count(pictures)], ["Late", share(late, pictures)], ["No picture", share(completed - pictures, completed)]]
      .map(([term, value]) => el("div", {}, el("dt", { text: term }), el("dd", { text: value }))));
    const total = Object.values(outcomes).reduce((sum, n) => sum + n, 0);
    ui.outcomes.replaceChildren(...Object.entries(OUTCOMES).filter(([name]) => outcomes[name]).map(([name, { label, tone }]) =>
      el("li", { title: percent(outcomes[name] / total) }, el("i", { vars: { "--dot": pathColour(tone) } }), `${label} `, el("b", { text: count(outcomes[name]) }))));
  }

  const share = (part, whole) => (whole ? `${count(part)} (${percent(part / whole)})` : count(part));

  function explain(text) {
    gone = true;
    ui.made = false;
    byId("load-note").textContent = "";
    body.replaceChildren(el("p", { class: "muted", text }));
  }

  async function poll() {
    if (gone) return;
    const before = changes;
    try {
      const load = await fetchLoad();
      if (before === changes) show(load);
    } catch (error) {
      if (error.status === 404) explain("This router has no load process. Start everything with “hadis up” to get the slider, or send load with “hadis bench”.");
      else if (error.status === 403) explain("Only a browser on the router's own machine may set the load.");
      else if (!ui.made) body.replaceChildren(el("p", { class: "muted", text: error.message }));
      else setText(byId("load-note"), "not answering");
    }
  }

  // The router was away: what it said about its load process may no longer hold.
  return { poll, reset: () => { gone = false; } };
}
