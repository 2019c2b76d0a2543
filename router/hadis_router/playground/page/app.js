// The playground's start: wires the parts together and polls the router once a second.

import { ApiError, fetchStatus, keepKey, onKeyNeeded, storedKey } from "./api.js";
import { createApiDialog, createKeyDialog } from "./dialogs.js";
import { byId, setText } from "./dom.js";
import { showExamples } from "./examples.js";
import { createGallery } from "./gallery.js";
import { createLiveView } from "./live.js";
import { createLoadPanel } from "./load.js";
import { duration } from "./numbers.js";
import { setModels } from "./palette.js";
import { createStudio } from "./studio.js";
import { createThemeButton } from "./theme.js";

const POLL_MS = 1000;
const SLOWEST_MS = 5000;

createThemeButton();
createApiDialog();
const askForKey = createKeyDialog();
onKeyNeeded(askForKey);

const gallery = createGallery({ onOpen: (item) => studio.open(item), onRedraw: (item) => studio.reuse(item) });
const studio = createStudio({ onPicture: (item) => gallery.add(item) });
const showStatus = createLiveView();
const load = createLoadPanel();
let failures = 0;
let lastSeen = null;
let isFirst = true; // the first answer, or the first after the router was away

function connection(state, text, reason = "") {
  const host = byId("link-state");
  host.title = reason;
  host.dataset.state = state;
  setText(host.querySelector("span"), text);
  byId("live").classList.toggle("stale", state === "reconnecting"); // what it shows is how it was
}

async function poll() {
  try {
    const status = await fetchStatus();
    failures = 0;
    lastSeen = Date.now();
    setModels((status.models ?? []).map((model) => (typeof model === "string" ? model : model.name)));
    studio.setStatus(status);
    showStatus(status);
    byId("key-button").hidden = true;
    if (status.ready === false) connection("waiting", "Starting", status.not_ready ?? "");
    else connection("connected", "Connected");
    if (isFirst) {
      isFirst = false; // only now is a key there, if the router wants one
      load.reset();
      showExamples({ onPick: (prompt) => studio.pick(prompt) });
    }
    await load.poll();
  } catch (error) {
    failures += 1;
    if (error.status === 401) {
      byId("key-button").hidden = false;
      connection("waiting", "API key needed");
      if (failures === 1) await enterKey();
      return;
    }
    isFirst = true;
    const since = lastSeen === null ? "" : ` Last heard of ${duration((Date.now() - lastSeen) / 1000)} ago.`;
    connection("reconnecting", lastSeen === null ? "No answer" : "Reconnecting", `${error.message}${since}`);
    if (!(error instanceof ApiError)) throw error;
  }
}

async function enterKey() {
  const key = await askForKey(storedKey() !== null);
  if (key === null) return;
  keepKey(key);
  failures = 0;
}

// One poll after another, slower while the router is away, none while nobody looks.
async function keepPolling() {
  try {
    if (!document.hidden) await poll();
  } finally {
    setTimeout(keepPolling, failures ? Math.min(SLOWEST_MS, POLL_MS * failures) : POLL_MS);
  }
}

byId("key-button").addEventListener("click", async () => {
  await enterKey();
  await poll();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) poll(); });
byId("prompt").focus();
keepPolling();
