// The two dialogs: the API key, and how to call the API from elsewhere.

import { baseUrl, storedKey } from "./api.js";
import { byId, copyText, el } from "./dom.js";

// Returns `ask(refused)`: one dialog however many requests wait for it; null when the person declines.
export function createKeyDialog() {
  const dialog = byId("key-dialog");
  let asking = null;
  let answer = null;
  byId("key-form").addEventListener("submit", () => { answer = byId("key").value.trim() || null; });
  byId("key-cancel").addEventListener("click", () => dialog.close());
  return (refused) => {
    asking ??= new Promise((resolve) => {
      answer = null;
      byId("key").value = "";
      byId("key-error").hidden = !refused;
      byId("key-error").textContent = "The router did not accept that key.";
      dialog.addEventListener("close", () => { asking = null; resolve(answer); }, { once: true });
      dialog.showModal();
    });
    return asking;
  };
}

export function createApiDialog() {
  const dialog = byId("api-dialog");
  byId("api-button").addEventListener("click", () => {
    render(byId("snippets"));
    dialog.showModal();
  });
  byId("api-close").addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
}

function render(host) {
  const prompt = byId("prompt").value.trim() || byId("example-groups").querySelector("button")?.textContent || "a red circle";
  host.replaceChildren(
    snippet("curl", curl(prompt)), snippet("Python, with the openai package", python(prompt)),
    el("p", { class: "muted", text: "Other paths of this router:" }),
    el("ul", { class: "paths" }, [["v1/models", "the cascade and its models"], ["v1/status", "plan, workers, demand"], ["healthz", "alive"], ["readyz", "ready to serve"]]
      .map(([path, what]) => el("li", {}, el("a", { href: new URL(path, document.baseURI).href, target: "_blank", rel: "noopener" }, `/${path}`), ` ${what}`))));
}

function snippet(title, code) {
  const copied = el("span", { class: "muted small-text", role: "status" });
  const button = el("button", { type: "button", class: "quiet", "aria-label": `Copy the ${title} example`, onclick: async () => {
    await copyText(code);
    copied.textContent = "copied";
    setTimeout(() => { copied.textContent = ""; }, 2000);
  } }, "Copy");
  return el("section", { class: "snippet" }, el("header", {}, el("h3", { text: title }), copied, button), el("pre", { tabindex: "0" }, el("code", { text: code })));
}

const shellQuoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curl(prompt) {
  const key = storedKey() ? `  -H "Authorization: Bearer $HADIS_API_KEY" \\\n` : "";
  return `curl -s ${baseUrl}/images/generations \\\n  -H "Content-Type: application/json" \\\n${key}  -d ${shellQuoted(JSON.stringify({ prompt, seed: 7 }))} \\\n  | python3 -c 'import base64, json, sys
datum = json.load(sys.stdin)["data"][0]
open("picture.png", "wb").write(base64.b64decode(datum["b64_json"]))
print(datum["hadis"])'`;
}

function python(prompt) {
  const key = storedKey() ? `os.environ["HADIS_API_KEY"]` : `"any"`;
  return `import base64${storedKey() ? "\nimport os" : ""}
from pathlib import Path

from openai import OpenAI

client = OpenAI(base_url=${JSON.stringify(baseUrl)}, api_key=${key})
reply = client.images.generate(prompt=${JSON.stringify(prompt)}, extra_body={"seed": 7})
Path("picture.png").write_bytes(base64.b64decode(reply.data[0].b64_json))
print(reply.data[0].hadis["path"])`;
}
