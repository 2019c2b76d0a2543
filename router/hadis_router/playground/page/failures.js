// One failed request in clear words: what, which field, when to try again.

import { byId, el } from "./dom.js";
import { errorTitle } from "./words.js";

const FIELDS = { prompt: "prompt", seed: "seed", model: "model" };
let countdown = null;

// `retry` repeats what failed, where that makes sense; the countdown on its button is not read aloud every second.
export function showError(host, error, retry) {
  clearError(host);
  const again = el("button", { type: "button", class: "quiet", "aria-live": "off", onclick: retry }, "Try again");
  const facts = [error.status ? `status ${error.status}` : null, error.code, error.outcome ? `outcome: ${error.outcome}` : null].filter(Boolean);
  host.replaceChildren(
    el("strong", { text: errorTitle(error) }),
    el("span", { class: "error-text", text: error.message }),
    facts.length ? el("span", { class: "error-facts", text: facts.join(" · ") }) : "",
    retry && retryable(error) ? again : "");
  host.hidden = false;
  markField(error, host);
  if (error.retryAfterS) waitFor(again, Math.ceil(error.retryAfterS));
}

const retryable = ({ status, field, code }) => (status === 0 && !field) || status === 429 || status >= 500 || code === "cut";

function markField({ field }, host) {
  const input = FIELDS[field] ? byId(FIELDS[field]) : document.querySelector(`#field-${CSS.escape(field ?? "none")} input`);
  if (!input) return;
  host.dataset.field = field;
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-errormessage", host.id);
  input.focus();
}

function waitFor(button, seconds) {
  let left = seconds;
  const tick = () => {
    button.disabled = left > 0;
    button.textContent = left > 0 ? `Try again in ${left} s` : "Try again";
    if (left <= 0) clearInterval(countdown);
    left -= 1;
  };
  tick();
  countdown = setInterval(tick, 1000);
}

// With a `field`, only an error about that field is taken away.
export function clearError(host, field = null) {
  if (field !== null && host.dataset.field !== field) return;
  clearInterval(countdown);
  host.hidden = true;
  delete host.dataset.field;
  for (const input of document.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-errormessage");
  }
}
