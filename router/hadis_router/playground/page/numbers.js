// Numbers as people read them.

export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value < 0.001) return "0 s";
  if (value < 0.1) return `${(value * 1000).toFixed(0)} ms`;
  if (value < 10) return `${value.toFixed(2)} s`;
  if (value < 90) return `${value.toFixed(value % 1 ? 1 : 0)} s`;
  return `${Math.floor(value / 60)} min ${Math.round(value % 60)} s`;
}

export function duration(value) {
  if (value < 90) return `${Math.round(value)} s`;
  if (value < 5400) return `${Math.round(value / 60)} min`;
  if (value < 129600) return `${(value / 3600).toFixed(1)} h`;
  return `${Math.round(value / 86400)} d`;
}

export function score(value, digits = 2) {
  return value === null || value === undefined ? "–" : Number(value).toFixed(digits);
}

// A threshold of null is a stage that is off.
export const limitText = (value) => (value === null || value === undefined ? "off" : score(value));

// More digits when two numbers would otherwise look equal although one is below the other.
export function pairOfScores(a, b) {
  for (const digits of [2, 3, 4]) {
    if (a === b || score(a, digits) !== score(b, digits)) return [score(a, digits), score(b, digits)];
  }
  return [score(a, 6), score(b, 6)];
}

export const percent = (ratio) => {
  const value = ratio * 100;
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
};

export function rate(value) {
  if (value === null || value === undefined) return "–";
  return value >= 9.95 || Number.isInteger(value) ? `${Math.round(value)}` : value.toFixed(1);
}

export const count = (value) => Math.round(value).toLocaleString("en");
export const plural = (value, noun) => `${count(value)} ${noun}${value === 1 ? "" : "s"}`;
