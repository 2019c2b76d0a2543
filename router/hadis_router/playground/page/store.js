// What the browser keeps for this page. Where it may keep nothing, memory serves until the tab closes.

function storeOf(name) {
  const memory = new Map();
  const kept = (use, otherwise) => {
    try {
      return use(window[name]);
    } catch (error) {
      if (error.name === "QuotaExceededError") throw error;
      return otherwise(); // storage is blocked: asking for it throws already
    }
  };
  return {
    get: (key) => kept((store) => store.getItem(key), () => memory.get(key) ?? null),
    set: (key, value) => kept((store) => store.setItem(key, value), () => memory.set(key, value)),
  };
}

export const forThisTab = storeOf("sessionStorage");
export const forThisBrowser = storeOf("localStorage");
