// The pictures of this browser tab: all of them in memory, what made them in sessionStorage.

import { byId, el } from "./dom.js";
import { pathOf } from "./words.js";
import { pathColour } from "./palette.js";

const STORE = "hadis.gallery";
const KEEP = 120;
const SMALL_CHARS = 60_000; // pictures up to this size survive a reload, larger ones are drawn again

export function createGallery({ onOpen, onRedraw }) {
  const list = byId("gallery");
  let items = load();

  function add(item) {
    items = [item, ...items].slice(0, KEEP);
    save();
    render();
  }

  function open(item) {
    if (item.image) onOpen(item);
    else onRedraw(item);
  }

  function tile(item) {
    const path = pathOf(item.hadis);
    const label = item.image ? `${item.prompt}. ${path.label}. Show details` : `${item.prompt}. Not kept over the reload. Put prompt and seed into the form`;
    return el("li", {}, el("button", { type: "button", class: "tile", title: item.prompt, "aria-label": label, onclick: () => open(item), vars: { "--tone": pathColour(path.tone) } },
      item.image ? el("img", { src: item.image, alt: "", loading: "lazy" }) : el("span", { class: "tile-blank", text: "draw again" }),
      el("span", { class: "tile-path", text: path.label })));
  }

  function render() {
    byId("gallery-empty").hidden = items.length > 0;
    byId("gallery-clear").hidden = items.length === 0;
    list.replaceChildren(...items.map(tile));
  }

  function load() {
    try {
      const stored = JSON.parse(sessionStorage.getItem(STORE) ?? "[]");
      return Array.isArray(stored) ? stored : [];
    } catch {
      return [];
    }
  }

  function save() {
    const light = items.map((item) => (item.image?.length > SMALL_CHARS ? { ...item, image: null } : item));
    for (const kept of [light, light.map((item) => ({ ...item, image: null }))]) {
      try {
        sessionStorage.setItem(STORE, JSON.stringify(kept));
        return;
      } catch {
        continue; // over the browser's quota: without the pictures
      }
    }
  }

  byId("gallery-clear").addEventListener("click", () => {
    items = [];
    save();
    render();
    byId("prompt").focus();
  });
  render();
  return { add };
}
