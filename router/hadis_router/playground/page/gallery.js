// The pictures of this browser tab. What made a picture is always kept, the picture itself as long as
// there is room: a session of large pictures must not fill the browser's memory.

import { byId, el } from "./dom.js";
import { forThisTab } from "./store.js";
import { pathOf } from "./words.js";
import { pathColour } from "./palette.js";

const STORE = "hadis.gallery";
const KEEP = 120;
const MEMORY_CHARS = 64_000_000; // of pictures as text, one byte each
const STORED_CHARS = 3_000_000; // browsers store about five million characters for a tab

export function createGallery({ onOpen, onRedraw }) {
  const list = byId("gallery");
  let items = load();

  function add(item) {
    const before = items;
    items = withPictures([item, ...items].slice(0, KEEP), MEMORY_CHARS);
    save();
    list.prepend(tile(items[0]));
    for (let at = 0; at < before.length; at += 1) {
      const node = list.children[at + 1];
      if (at + 1 >= items.length) node.remove();
      else if (items[at + 1] !== before[at]) node.replaceWith(tile(items[at + 1]));
    }
    showEmptiness();
  }

  function open(item) {
    if (item.image) onOpen(item);
    else onRedraw(item);
  }

  function tile(item) {
    const path = pathOf(item.hadis);
    const label = item.image ? `${item.prompt}. ${path.label}. Show details` : `${item.prompt}. Its picture is no longer kept. Put prompt, seed and model into the form`;
    return el("li", {}, el("button", { type: "button", class: "tile", title: item.prompt, "aria-label": label, onclick: () => open(item), vars: { "--tone": pathColour(path.tone) } },
      item.image ? el("img", { src: item.image, alt: "", loading: "lazy" }) : el("span", { class: "tile-blank", text: "draw again" }),
      el("span", { class: "tile-path", text: path.label })));
  }

  function showEmptiness() {
    byId("gallery-empty").hidden = items.length > 0;
    byId("gallery-clear").hidden = items.length === 0;
  }

  function load() {
    try {
      const stored = JSON.parse(forThisTab.get(STORE) ?? "[]");
      return Array.isArray(stored) ? stored : [];
    } catch {
      return [];
    }
  }

  function save() {
    for (const room of [STORED_CHARS, 0]) {
      try {
        forThisTab.set(STORE, JSON.stringify(withPictures(items, room)));
        return;
      } catch {
        continue; // over the browser's quota: without the pictures
      }
    }
  }

  byId("gallery-clear").addEventListener("click", () => {
    items = [];
    save();
    list.replaceChildren();
    showEmptiness();
    byId("prompt").focus();
  });
  list.replaceChildren(...items.map(tile));
  showEmptiness();
  return { add };
}

// The items with as many pictures, the newest first, as fit into `room` characters.
export function withPictures(items, room) {
  let left = room;
  return items.map((item) => {
    left -= item.image?.length ?? 0;
    return left >= 0 || !item.image ? item : { ...item, image: null };
  });
}
