// The router's HTTP API: requests with the key of this session, errors as one class, the event stream.

import { forThisTab } from "./store.js";

const KEY = "hadis.api-key";
const PATIENCE_MS = 6000; // a router that accepts and says nothing is away, too

export class ApiError extends Error {
  constructor(message, { status = 0, field = null, code = null, outcome = null, retryAfterS = null } = {}) {
    super(message);
    Object.assign(this, { status, field, code, outcome, retryAfterS });
  }
}

export const baseUrl = new URL("v1", document.baseURI).href;
const address = (path) => new URL(path, document.baseURI).href;

// Asks the person for a key; set by the page. Resolves to the key, or null when they decline.
let askForKey = async () => null;
export const onKeyNeeded = (ask) => { askForKey = ask; };
export const storedKey = () => forThisTab.get(KEY);
export const keepKey = (key) => forThisTab.set(KEY, key);

function headers(extra = {}) {
  const key = storedKey();
  return key ? { ...extra, Authorization: `Bearer ${key}` } : extra;
}

async function send(path, init) {
  try {
    return await fetch(address(path), { cache: "no-store", ...init, headers: headers(init.headers) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The router does not answer. Is it still running?", { code: "unreachable" });
  }
}

// `interactive` requests ask for a missing key and go on; the polling ones only report it.
async function request(path, { interactive = false, ...init } = {}) {
  let reply = await send(path, init);
  for (let refused = false; reply.status === 401 && interactive; refused = true) {
    const key = await askForKey(refused || storedKey() !== null);
    if (key === null) break;
    keepKey(key);
    reply = await send(path, init);
  }
  if (!reply.ok) throw await errorOf(reply);
  return reply;
}

async function errorOf(reply) {
  let body = null;
  try {
    body = await reply.json();
  } catch {
    body = null; // a proxy's page, or nothing
  }
  const wait = Number(reply.headers.get("Retry-After"));
  return errorFrom(body, reply.status, wait > 0 ? wait : null);
}

function errorFrom(body, status, retryAfterS) {
  const error = body?.error ?? {};
  return new ApiError(error.message ?? `The router answered with status ${status}.`, {
    status: status || error.status || error.hadis?.status || 0,
    field: error.param ?? null,
    code: error.code ?? null,
    outcome: error.hadis?.outcome ?? null,
    retryAfterS: retryAfterS ?? error.hadis?.retry_after_s ?? null,
  });
}

const asJson = (method, body) => ({
  method, body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
});

async function poll(path) {
  const reply = await request(path, { signal: AbortSignal.timeout(PATIENCE_MS) });
  return unbroken(() => reply.json());
}

export const fetchStatus = () => poll("v1/status");
export const fetchExamples = () => poll("playground/examples");
export const fetchLoad = () => poll("playground/load");
export const putLoad = async (rate) => {
  const reply = await request("playground/load", { signal: AbortSignal.timeout(PATIENCE_MS), ...asJson("PUT", { rate }) });
  return unbroken(() => reply.json());
};

// A connection that breaks in the middle of an answer is a clear error like any other.
async function unbroken(read) {
  try {
    return await read();
  } catch (error) {
    if (error.name === "AbortError" || error instanceof ApiError) throw error;
    throw new ApiError("The connection ended before the answer was complete.", { code: "cut" });
  }
}

// Returns pictures: [{image, hadis, size, quality}]. With one picture the light image, if it is to
// be replaced, comes early through `onPartial(picture)`.
export async function generate(body, { signal, onPartial }) {
  const streamed = body.n === 1;
  const payload = streamed ? { ...body, stream: true, partial_images: 1 } : body;
  const reply = await request("v1/images/generations", {
    interactive: true, signal, ...asJson("POST", payload),
  });
  if (!(reply.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
    const answer = await unbroken(() => reply.json());
    return answer.data.map((datum) => pictureOf({ ...answer, ...datum }));
  }
  for await (const { event, data } of events(reply.body)) {
    if (event === "error" || data.error) throw errorFrom(data, 0, null);
    if (event === "image_generation.partial_image") onPartial(pictureOf(data));
    if (event === "image_generation.completed") return [pictureOf(data)];
  }
  throw new ApiError("The connection ended before the picture was complete.", { code: "cut" });
}

function pictureOf(datum) {
  const kind = datum.output_format ?? "png";
  return {
    image: `data:image/${kind};base64,${datum.b64_json}`,
    kind,
    hadis: datum.hadis ?? null,
    size: datum.size ?? null,
    quality: datum.quality ?? null,
  };
}

// Server-sent events: `event:` and `data:` lines, a blank line ends one, `:` starts a comment.
async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await unbroken(() => reader.read());
      if (done) return;
      buffer += value.replaceAll("\r", "");
      for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
        const parsed = parseEvent(buffer.slice(0, end));
        buffer = buffer.slice(end + 2);
        if (parsed) yield parsed;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseEvent(block) {
  let event = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  return data.length ? { event, data: JSON.parse(data.join("\n")) } : null;
}
