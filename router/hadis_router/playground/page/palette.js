// Colours: the paths have fixed ones (style.css), the models get theirs from light to heavy.

const STOPS = ["--light", "--rose", "--violet", "--heavy"];
let order = [];

// Models in the cascade's order, which is its author's from light to heavy.
export function setModels(names) {
  order = names;
}

export const models = () => order;

export function modelColour(name) {
  const at = order.indexOf(name);
  if (at < 0) return "var(--muted)";
  const place = order.length === 1 ? 0 : (at / (order.length - 1)) * (STOPS.length - 1);
  const low = Math.min(Math.floor(place), STOPS.length - 2);
  const part = Math.round((place - low) * 100);
  return `color-mix(in oklab, var(${STOPS[low + 1]}) ${part}%, var(${STOPS[low]}))`;
}

export const pathColour = (tone) => `var(--${tone})`;
