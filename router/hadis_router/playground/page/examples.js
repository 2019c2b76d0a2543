// What the cascade can draw, and prompts to try, from easy to hard.

import { fetchExamples } from "./api.js";
import { byId, el } from "./dom.js";

export async function showExamples({ onPick }) {
  let examples = null;
  try {
    examples = await fetchExamples();
  } catch {
    return; // no examples, no section
  }
  if (!examples?.groups?.length && !examples?.about) {
    byId("examples").hidden = true;
    return;
  }
  byId("examples-about").textContent = examples.about ?? "";
  byId("example-groups").replaceChildren(...(examples.groups ?? []).map(({ title, prompts }) =>
    el("div", { class: "group" }, el("h3", { text: title }),
      el("ul", {}, prompts.map((prompt) => el("li", {}, el("button", { type: "button", class: "example", onclick: () => onPick(prompt) }, prompt)))))));
  byId("examples").hidden = false;
}
