// What happened to a picture or a request, in words.

import { pairOfScores, percent, plural, score, seconds } from "./numbers.js";

export const PATHS = {
  light: { label: "Light", tone: "light" },
  heavy: { label: "Heavy", tone: "heavy" },
  "light>heavy": { label: "Escalated", tone: "escalated" },
  kept: { label: "Light kept", tone: "light" },
  degraded: { label: "Degraded", tone: "degraded" },
  pinned: { label: "Pinned", tone: "pinned" },
};

export const pathOf = (hadis) => (hadis?.path === "kept" && isRetry(hadis.lane) ? { label: "First kept", tone: "light" }
  : PATHS[hadis?.path] ?? { label: hadis?.path ?? "Picture", tone: "pinned" });

// A lane may name one model twice: then its second picture is a second try, not a heavier one.
export const isRetry = (lane) => Boolean(lane?.light) && lane.light === lane.heavy;

// Returns {headline, text} for the provenance of one picture.
export function explain(hadis) {
  if (!hadis) return { headline: "Here it is", text: "This router sent no provenance with the picture." };
  const light = hadis.lane?.light ?? "the light model";
  const heavy = hadis.lane?.heavy ?? "the heavy model";
  const retried = isRetry(hadis.lane);
  const again = retried ? `${heavy} drew it again with another seed` : `${heavy} drew it again`;
  const entry = entryOf(hadis);
  const judged = judgementOf(hadis);
  switch (hadis.path) {
    case "light":
      return { headline: headlineOfLight(hadis, retried), text: `${entry} ${light} drew it${judged.accepted}.` };
    case "heavy":
      return { headline: hadis.route === "heavy_only" ? "Drawn by the heavy model, as asked" : "Straight to the heavy model", text: `${entry} ${heavy} drew it without a light attempt.` };
    case "light>heavy":
      return {
        headline: retried ? "Drawn again with another seed" : "Drawn again by the heavy model",
        text: `${entry} ${light} drew it first${judged.rejected}, so ${again}${judged.again ? `, with a score of ${judged.again}` : ""}.`,
      };
    case "kept":
      return {
        headline: retried ? "The first picture was kept" : "The light picture was kept",
        text: `${entry} ${light} drew it first${judged.rejected}. ${again}, but ${judged.again ? `scored ${judged.again}` : "scored no better"}, so the first picture was delivered.`,
      };
    case "degraded":
      return { headline: `The ${retried ? "first" : "light"} picture, for lack of time`, text: degraded(hadis, { light, heavy, entry, judged, retried }) };
    case "pinned":
      return { headline: `Drawn by ${hadis.model}`, text: "The request named its model, so nothing was routed." };
    default:
      return { headline: "Here it is", text: `It took the path “${hadis.path}”.` };
  }
}

function headlineOfLight(hadis, retried) {
  if (hadis.route === "light_only") return "Drawn by the light model, as asked";
  if (!retried) return "The light model was enough";
  return hadis.quality_score === null ? `Drawn by ${hadis.lane.light}` : "The first picture was good enough";
}

// A prompt that looked hard can be degraded too: then no light image was ever judged.
export function looksHard({ hardness, thresholds }) {
  const theta = thresholds?.hardness;
  return theta !== null && theta !== undefined && hardness >= theta;
}

function degraded(hadis, { light, heavy, entry, judged, retried }) {
  const late = `${heavy} would not have finished before the deadline`;
  if (looksHard(hadis) && hadis.quality_score === null) return `${entry} But ${late}, so ${light} drew it instead.`;
  return `${entry} ${light} drew it${judged.rejected}. ${late[0].toUpperCase()}${late.slice(1)}, so the ${retried ? "first" : "light"} picture was delivered.`;
}

function entryOf(hadis) {
  if (hadis.route === "light_only") return "Low quality was asked for.";
  if (hadis.route === "heavy_only") return "High quality was asked for.";
  const theta = hadis.thresholds?.hardness;
  if (theta === null || theta === undefined) return `Every prompt starts at ${hadis.lane?.light ?? "the light model"} in this plan.`;
  const [value, limit] = pairOfScores(hadis.hardness, theta);
  return `The prompt looked ${looksHard(hadis) ? "hard" : "easy"} (hardness ${value}, the limit is ${limit}).`;
}

function judgementOf(hadis) {
  const value = hadis.quality_score;
  const tau = hadis.thresholds?.quality;
  const again = hadis.heavy_quality_score === null || hadis.heavy_quality_score === undefined ? null
    : hadis.path === "kept" ? pairOfScores(hadis.heavy_quality_score, value)[0] : score(hadis.heavy_quality_score);
  if (value === null || value === undefined) {
    const unjudged = hadis.route === "planned" && (tau ?? null) === null;
    return { accepted: unjudged ? ", and no picture is judged in this plan" : "", rejected: "", again };
  }
  if (tau === null || tau === undefined) return { accepted: ` (quality score ${score(value)})`, rejected: "", again };
  const [shown, limit] = pairOfScores(value, tau);
  return {
    accepted: `, and its quality score of ${shown} reached the limit of ${limit}`,
    rejected: `, but its quality score of ${shown} was below the limit of ${limit}`,
    again,
  };
}

export function unknownWords(hadis) {
  const words = hadis?.unknown_words ?? [];
  if (!words.length) return "";
  const list = words.map((word) => `“${word}”`).join(", ").replace(/, ([^,]*)$/, " and $1");
  return `The models do not know ${list}; ${words.length === 1 ? "it was" : "they were"} left out of account.`;
}

const FIELDS = { prompt: "the prompt", seed: "the seed", n: "the number of images", quality: "the quality", model: "the model", size: "the size" };
export const fieldName = (field) => FIELDS[field] ?? `“${field}”`;

export function errorTitle(error) {
  if (error.code === "unreachable") return "No connection";
  if (error.code === "cut") return "Cut off";
  if (error.field && error.status < 500) return `Please check ${fieldName(error.field)}`;
  return {
    400: "This request cannot be served",
    401: "The API key is missing or wrong",
    403: "Not allowed from here",
    404: "Not found",
    413: "The request is too large",
    429: "Too busy right now",
    503: "No picture this time",
    504: "It did not finish in time",
  }[error.status] ?? { rejected: "Too busy right now", expired: "It did not finish in time", failed: "No picture this time" }[error.outcome] ?? "Something went wrong";
}

// `picture`: whether the request ended in one.
export const OUTCOMES = {
  served_light: { label: "light", tone: "light", picture: true },
  served_heavy: { label: "heavy", tone: "heavy", picture: true },
  escalated: { label: "escalated", tone: "escalated", picture: true },
  degraded: { label: "degraded", tone: "degraded", picture: true },
  rejected: { label: "turned away", tone: "bad" },
  expired: { label: "expired", tone: "bad" },
  failed: { label: "failed", tone: "bad" },
  cancelled: { label: "cancelled", tone: "degraded" },
};

// The controller's reasons as short sentences; what is not known here is told as it is.
export function reasons(value) {
  if (!value || typeof value !== "object") return value ? [String(value)] : [];
  const { because, binding, alternative, utilisation, idle_workers: idle, slack_latency_s: slack, predicted_violation_ratio: missed, notes, ...others } = value;
  return [
    because ? sentence(because) : null,
    missed > 0.0005 ? `About ${percent(missed)} of the requests are expected to miss the deadline.` : null,
    BINDING[binding] ?? (binding ? sentence(binding) : null),
    alternative ? better(alternative) : null,
    busy(utilisation),
    idle > 0 ? `${plural(idle, "worker")} ${idle === 1 ? "is" : "are"} not needed.` : null,
    Number.isFinite(slack) && slack > 0 ? `${seconds(slack)} of the deadline are left over.` : null,
    ...[notes ?? []].flat().map(sentence),
    ...Object.entries(others).map(([name, part]) => other(name, part)),
  ].filter(Boolean);
}

const BINDING = {
  none: "Nothing stands in the way: this is the best that was measured.",
  workers: "More quality would need more workers.",
  latency: "More quality would take longer than the deadline allows.",
  "workers and latency": "More quality would need more workers or a later deadline.",
};

function better({ light, heavy, quality, because }) {
  if (!light) return null;
  const worth = Number.isFinite(quality) ? ` (${score(quality)})` : "";
  const pair = light === heavy ? `${light}, drawn again where doubtful` : `${light} → ${heavy}`;
  return `Best of all would be ${pair}${worth}, but ${because ?? "it does not fit"}.`;
}

function busy(utilisation) {
  const parts = Object.entries(utilisation ?? {}).map(([name, share]) => `${name} ${percent(share)}`);
  return parts.length ? `Workers are busy: ${parts.join(", ")}.` : null;
}

function other(name, part) {
  if (part === null || part === undefined || part === "" || part === false || typeof part === "object") return null;
  if (typeof part === "string" && part.includes(" ")) return sentence(part);
  const told = typeof part === "number" ? (name.endsWith("_s") ? seconds(part) : String(Math.round(part * 1000) / 1000)) : String(part);
  return `${sentence(name.replace(/_s$/, "").replaceAll("_", " ")).replace(/\.$/, "")}: ${told}`;
}

const sentence = (text) => `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
