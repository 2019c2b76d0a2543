// Light or dark: the system's choice until the person makes one.

import { byId } from "./dom.js";
import { forThisBrowser } from "./store.js";

const STORE = "hadis.theme";
const NAMES = { auto: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" };
const SIGNS = { auto: "◐", light: "☀", dark: "☾" };

export function createThemeButton() {
  const button = byId("theme-button");
  const order = Object.keys(NAMES);
  let theme = forThisBrowser.get(STORE);
  if (!order.includes(theme)) theme = "auto";

  function apply() {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = SIGNS[theme];
    button.setAttribute("aria-label", NAMES[theme]);
    button.title = NAMES[theme];
  }

  button.addEventListener("click", () => {
    theme = order[(order.indexOf(theme) + 1) % order.length];
    forThisBrowser.set(STORE, theme);
    apply();
  });
  apply();
}
