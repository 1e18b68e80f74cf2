// Talks to the server that this page came from: the key, plain requests, and streams of events.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const KEY = "inhouse.key";
export const getKey = () => sessionStorage.getItem(KEY) ?? localStorage.getItem(KEY) ?? "";
export function setKey(key, keep) {
  forgetKey();
  (keep ? localStorage : sessionStorage).setItem(KEY, key);
}
export function forgetKey() {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
}

async function request(path, options = {}) {
  const headers = { ...options.headers };
  if (getKey()) headers.Authorization = `Bearer ${getKey()}`;
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The server does not answer. Is `inhouse serve` still running?");
  }
  if (response.ok) return response;
  let message = `The server said ${response.status}`;
  try {
    message = (await response.json()).error.message;
  } catch { /* not the API's own error: its number has to do */ }
  throw new ApiError(response.status, message);
}

export const getJson = async (path) => (await request(path)).json();

// Yields { data } for each event and { comment } for each line of comment; ends at [DONE].
export async function* stream(path, body, signal) {
  const response = await request(path, {
    method: "POST", signal, body: JSON.stringify(body), headers: { "Content-Type": "application/json" },
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new ApiError(0, "The connection broke before the answer was complete.");
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        if (line.startsWith("data: ")) {
          if (line === "data: [DONE]") return;
          const data = JSON.parse(line.slice(6));
          if (data.error) throw new ApiError(data.error.code ?? 500, data.error.message);
          yield { data };
        } else if (line.startsWith(":")) {
          yield { comment: line };
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
