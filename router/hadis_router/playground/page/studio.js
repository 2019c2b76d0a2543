// The composer and the picture: a request goes out, its picture, path and timing come back.

import { ApiError, generate } from "./api.js";
import { byId, el, renderWhenChanged, setText } from "./dom.js";
import { showError, clearError } from "./failures.js";
import { drawFlow, drawTiming } from "./flow.js";
import { score, seconds } from "./numbers.js";
import { forThisBrowser } from "./store.js";
import { explain, pathOf, unknownWords } from "./words.js";
import { models, pathColour } from "./palette.js";

const MAX_SEED = 2 ** 32 - 1;
const SCALING = "hadis.scaling";

// Makes the studio; `onPicture(item)` hears of every finished picture.
export function createStudio({ onPicture }) {
  const ui = Object.fromEntries(["composer", "prompt", "generate", "cancel", "seed", "model", "frame", "picture", "blank",
    "badge", "clock", "takes", "frame-tools", "download", "compare", "headline", "explanation", "unknown", "flow", "timing",
    "details", "error", "announce"].map((id) => [id, byId(id)]));
  const state = { items: [], shown: 0, stage: "idle", partial: null, failed: null, running: null, over: null, status: null, startedAt: 0, comparing: false, reused: false };

  const current = () => state.items[state.shown] ?? null;

  function readRequest() {
    const form = new FormData(ui.composer);
    const prompt = String(form.get("prompt")).trim();
    if (!prompt) throw new ApiError("Describe the picture that you want first.", { field: "prompt" });
    const body = { prompt, n: Number(form.get("n")), quality: form.get("quality") };
    const seed = String(form.get("seed")).trim();
    if (seed) {
      if (!/^\d+$/.test(seed) || Number(seed) > MAX_SEED) {
        throw new ApiError(`The seed is a whole number from 0 to ${MAX_SEED}, or nothing for a random one.`, { field: "seed" });
      }
      body.seed = Number(seed);
    }
    if (form.get("model")) body.model = form.get("model");
    return body;
  }

  async function submit(event) {
    event.preventDefault();
    if (state.running) return;
    clearError(ui.error);
    let body = null;
    try {
      body = readRequest();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showError(ui.error, error, null); // nothing was asked, so the picture shown is still the last one
      return;
    }
    await draw(body);
  }

  async function draw(body) {
    if (state.running) return;
    Object.assign(state, { partial: null, comparing: false });
    await run(body, { keep: (items) => Object.assign(state, { items, shown: 0 }), again: () => draw(body) });
  }

  // Sends one request and shows what comes; true unless it was cancelled or failed. `again` repeats it.
  async function run(body, { keep, again }) {
    const control = new AbortController();
    let finish = null;
    const over = new Promise((resolve) => { finish = resolve; });
    Object.assign(state, { running: control, over, stage: "routing", startedAt: performance.now(), failed: null });
    begin();
    try {
      const pictures = await generate(body, { signal: control.signal, onPartial: (picture) => {
        Object.assign(state, { partial: picture, stage: "again" });
        show();
      } });
      const items = pictures.map((picture) => itemOf(picture, body));
      keep(items);
      Object.assign(state, { partial: null, stage: "done" });
      for (const item of items) onPicture(item);
      setText(ui.announce, `Picture ready. ${explain(items[0].hadis).headline}. ${unknownWords(items[0].hadis)}`);
      return true;
    } catch (error) {
      state.stage = current() ? "done" : "idle";
      state.partial = null;
      setText(ui.announce, "");
      if (error.name === "AbortError") return false;
      if (!(error instanceof ApiError)) throw error;
      fail(error, again);
      return false;
    } finally {
      state.running = null;
      end();
      show();
      finish();
    }
  }

  function itemOf({ image, kind, hadis, size }, { prompt, quality, model }) {
    return { id: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, prompt, requested: { quality, model }, image, kind, hadis, size, at: Date.now() };
  }

  function fail(error, again) {
    state.failed = error;
    if (!current()) state.stage = "failed";
    showError(ui.error, error, again);
    show();
  }

  let ticking = null;
  function begin() {
    ui.generate.hidden = true;
    ui.cancel.hidden = false;
    clearError(ui.error);
    setText(ui.announce, "Drawing.");
    const tick = () => setText(ui.clock, `${((performance.now() - state.startedAt) / 1000).toFixed(1)} s`);
    tick();
    ticking = setInterval(tick, 100);
    show();
  }

  function end() {
    clearInterval(ticking);
    const focused = document.activeElement === ui.cancel;
    ui.generate.hidden = false;
    ui.cancel.hidden = true;
    if (focused) ui.generate.focus();
  }

  // Draws this prompt and seed once by every model, one after another, beside the picture shown.
  async function compare() {
    const item = current();
    if (!item?.hadis || state.running) return;
    state.comparing = true;
    for (const name of models()) {
      const done = state.items.some((other) => other.hadis?.model === name && other.hadis?.seed === item.hadis.seed);
      if (done) continue;
      const body = { prompt: item.prompt, n: 1, quality: "auto", seed: item.hadis.seed, model: name };
      const ok = await run(body, { keep: ([made]) => { state.items.push(made); }, again: compare });
      if (!ok) return;
    }
    show();
    if (document.activeElement === document.body) ui.compare.focus(); // it could not keep it meanwhile
  }

  function show() {
    const item = current();
    const partial = state.partial;
    const waiting = state.stage === "routing" || state.stage === "again";
    ui.frame.dataset.state = state.running ? "busy" : item ? "done" : state.stage === "failed" ? "failed" : "empty";
    const source = partial?.image ?? (waiting ? null : item?.image ?? null);
    ui.picture.hidden = !source;
    ui.blank.hidden = Boolean(source);
    if (source && ui.picture.getAttribute("src") !== source) ui.picture.src = source;
    if (source) ui.picture.alt = partial ? "The light picture, about to be replaced" : item.prompt;
    ui.clock.hidden = !state.running;
    showBadge(item, partial, waiting);
    showTakes(waiting);
    showWords(item, partial, waiting);
    showFlow();
    showFigures(item, waiting);
  }

  function showBadge(item, partial, waiting) {
    const badge = partial ? { label: "Light picture, being drawn again", tone: "light" }
      : !waiting && item ? pathOf(item.hadis) : null;
    ui.badge.hidden = !badge;
    if (!badge) return;
    setText(ui.badge, badge.label);
    ui.badge.style.setProperty("--tone", pathColour(badge.tone));
  }

  function showTakes(waiting) {
    const many = state.items.length > 1 && (!waiting || state.comparing);
    ui.takes.hidden = !many;
    if (!many) return;
    renderWhenChanged(ui.takes, [state.items.map((i) => i.id), state.shown, waiting], () => state.items.map((item, index) => el("button", {
      type: "button", class: "take", "aria-pressed": String(index === state.shown), "aria-label": `Picture ${index + 1}: ${pathOf(item.hadis).label}, ${item.hadis?.model ?? ""}`,
      onclick: () => { state.shown = index; show(); ui.takes.children[index].focus(); },
      vars: { "--tone": pathColour(pathOf(item.hadis).tone) },
    }, item.image ? el("img", { src: item.image, alt: "" }) : null, el("span", { text: item.hadis?.model ?? "" }))));
  }

  function showWords(item, partial, waiting) {
    let words = { headline: "Ask for a picture", text: "Easy prompts are drawn by a light model in a moment, hard ones by a heavy model. A doubtful light picture is drawn again." };
    if (partial) words = { headline: "A first picture is here", text: "The discriminator doubts the light picture, so the heavy model is drawing it again." };
    else if (waiting) words = { headline: "Drawing …", text: "The router scores the prompt and picks the model." };
    else if (item && !state.failed) words = explain(item.hadis);
    else if (item) words = { headline: "The picture before", text: "The last request failed; this is the one before it." };
    else if (state.failed) words = { headline: "No picture yet", text: "The message above says why." };
    setText(ui.headline, words.headline);
    setText(ui.explanation, words.text);
    const unknown = unknownWords((partial ?? item)?.hadis);
    ui.unknown.hidden = !unknown;
    ui.unknown.classList.toggle("held", waiting && !partial);
    setText(ui.unknown, unknown);
  }

  function showFlow() {
    const plan = state.status?.plan;
    const lane = plan && { light: plan.light, heavy: plan.heavy };
    const hadis = state.partial?.hadis ?? (state.stage === "routing" || state.stage === "again" ? null : current()?.hadis ?? null);
    const thresholds = plan && { hardness: plan.hardness_threshold, quality: plan.quality_threshold };
    const stage = state.failed && !current() ? "failed" : state.stage;
    const view = { hadis, lane, thresholds, stage };
    const key = JSON.stringify([view, ui.flow.clientWidth]);
    if (ui.flow.dataset.view === key) return;
    ui.flow.dataset.view = key;
    drawFlow(ui.flow, view);
  }

  // While the next picture is drawn, the last one's figures keep their room: nothing below them jumps.
  function showFigures(item, waiting) {
    const hadis = item?.hadis;
    for (const part of [ui.timing, ui.details]) {
      part.hidden = !hadis;
      part.classList.toggle("held", waiting);
    }
    ui["frame-tools"].hidden = !item;
    ui.download.classList.toggle("held", waiting);
    if (item?.image) {
      ui.download.href = item.image;
      ui.download.download = fileName(item);
    }
    ui.download.hidden = !item?.image;
    ui.compare.hidden = !hadis || models().length < 2;
    ui.compare.disabled = Boolean(state.running);
    if (!hadis) return;
    drawTiming(ui.timing, hadis, state.status?.slo_s, { seconds });
    renderWhenChanged(ui.details, [item.id, state.status?.slo_s], () => detailsOf(item).map(([term, value]) => el("div", {}, el("dt", { text: term }), el("dd", {}, value))));
  }

  function detailsOf({ hadis, size, prompt }) {
    const again = el("button", { type: "button", class: "link", title: "Puts prompt, seed and model into the form: together they make this picture again", onclick: () => reuse({ prompt, hadis }) }, String(hadis.seed));
    const rows = [["Model", hadis.model ?? "–"], ["Seed", again], ["Plan", String(hadis.plan_version ?? "–")]];
    if (hadis.lane?.light) rows.push(["Lane", `${hadis.lane.light} → ${hadis.lane.heavy}`]);
    rows.push(["Hardness", score(hadis.hardness, 3)], ["Quality score", score(hadis.quality_score, 3)]);
    if ((hadis.heavy_quality_score ?? null) !== null) rows.push(["Heavy's score", score(hadis.heavy_quality_score, 3)]);
    if (size) rows.push(["Size", size.replace("x", " × ")]);
    if (hadis.prompt_truncated) rows.push(["Prompt", "cut to what the models read"]);
    if (hadis.ignored?.length) rows.push(["Ignored", hadis.ignored.join(", ")]);
    rows.push(["Request", el("code", { text: hadis.request_id ?? "–" })]);
    return rows;
  }

  // A seed makes the same picture only with the model that drew it, whatever the plan is by then.
  function reuse({ prompt, hadis }) {
    ui.prompt.value = prompt;
    ui.seed.value = hadis?.seed ?? "";
    ui.model.value = models().includes(hadis?.model) ? hadis.model : "";
    ui.composer.querySelector("input[name=n][value='1']").checked = true;
    state.reused = true;
    ui.prompt.focus();
  }

  // A prompt picked instead of typed is drawn at once, also in place of one that is being drawn.
  async function pick(prompt) {
    ui.prompt.value = prompt;
    if (state.reused) ui.seed.value = ui.model.value = "";
    state.reused = false;
    ui.frame.scrollIntoView({ block: "nearest" });
    if (state.running) {
      state.running.abort();
      await state.over;
    }
    ui.composer.requestSubmit();
  }

  function wire() {
    ui.composer.addEventListener("submit", submit);
    ui.prompt.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        ui.composer.requestSubmit();
      }
    });
    ui.cancel.addEventListener("click", () => state.running?.abort());
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && state.running && !document.querySelector("dialog[open]")) state.running.abort();
    });
    ui.compare.addEventListener("click", compare);
    ui.prompt.addEventListener("input", () => clearError(ui.error, "prompt"));
    ui.seed.addEventListener("input", () => clearError(ui.error, "seed"));
    for (const chosen of [ui.seed, ui.model]) chosen.addEventListener("input", () => { state.reused = false; });
    for (const radio of document.querySelectorAll("#scaling input")) {
      radio.checked = radio.value === (forThisBrowser.get(SCALING) ?? "smooth");
      if (radio.checked) document.documentElement.dataset.scaling = radio.value;
      radio.addEventListener("change", () => {
        document.documentElement.dataset.scaling = radio.value;
        forThisBrowser.set(SCALING, radio.value);
      });
    }
    new ResizeObserver(showFlow).observe(ui.flow);
  }

  wire();
  show();
  return {
    pick,
    open(item) {
      if (state.running) return;
      clearError(ui.error);
      Object.assign(state, { items: [item], shown: 0, stage: "done", partial: null, failed: null });
      show();
      setText(ui.announce, `Shown: ${item.prompt}. ${explain(item.hadis).headline}.`);
      ui.frame.scrollIntoView({ block: "nearest" });
    },
    reuse,
    setStatus(status) {
      state.status = status;
      renderWhenChanged(ui.model, models(), () => [el("option", { value: "", text: "planned" }), ...models().map((name) => el("option", { value: name, text: name }))]);
      showFlow();
    },
  };
}

export function fileName({ prompt, hadis, kind }) {
  const slug = prompt.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 40) || "picture";
  return `hadis-${slug}-${hadis?.seed ?? "0"}.${kind === "jpeg" ? "jpg" : kind ?? "png"}`;
}
