// From the router's per-second history to what the charts draw. Nothing here touches the page.

export const SPAN_S = 300;
export const BIN_S = 5;

// Bins of BIN_S seconds, newest last: {at (seconds before now, of the bin's middle), values {name: mean}}.
// Bins sit on whole multiples of BIN_S of the router's clock, so that they do not dance as time goes on;
// the second that still runs waits until it is complete.
export function binned(history, names) {
  const stamps = stampsOf(history);
  if (!stamps.length) return [];
  const now = stamps.at(-1);
  const bins = new Map();
  stamps.forEach((stamp, index) => {
    if (now - stamp >= SPAN_S || index === stamps.length - 1) return;
    const key = Math.floor(stamp / BIN_S);
    const bin = bins.get(key) ?? { key, size: 0, sums: Object.fromEntries(names.map((name) => [name, 0])) };
    bin.size += 1;
    for (const name of names) bin.sums[name] += history[name]?.[index] ?? 0;
    bins.set(key, bin);
  });
  return [...bins.values()].map(({ key, size, sums }) => ({
    at: now - (key + 0.5) * BIN_S,
    values: Object.fromEntries(names.map((name) => [name, sums[name] / size / (history.interval_s ?? 1)])),
  }));
}

// Points a second: [{at (seconds before now), value}], null where the series has none.
export function points(history, values) {
  const stamps = stampsOf(history);
  const now = stamps.at(-1) ?? 0;
  return stamps.map((stamp, index) => ({ at: now - stamp, value: values?.[index] ?? null })).filter(({ at }) => at < SPAN_S);
}

export function stampsOf(history) {
  const length = history?.demand?.length ?? 0;
  const given = history?.seconds;
  if (Array.isArray(given) && given.length === length && length) return given;
  return Array.from({ length }, (_, index) => index * (history?.interval_s ?? 1));
}

export function sumOver(history, name, lastS) {
  return (history?.[name] ?? []).slice(-lastS).reduce((total, value) => total + (value ?? 0), 0);
}

// The smallest round number that is not below `value`.
export function niceMax(value) {
  if (!(value > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value * 0.999);
}
