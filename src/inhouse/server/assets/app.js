// The page: a conversation with the model, and the dialogs around it.

import { ApiError, forgetKey, getJson, getKey, setKey, stream } from "./api.js";
import { byId, h } from "./dom.js";
import { Answer, toolMessage, userMessage } from "./messages.js";
import { Status } from "./status.js";

const EXAMPLES = [
  "Explain what a race condition is, with a short Python example",
  "Write a shell command that finds the ten largest files below this folder",
  "What should a good commit message say?",
];
const SETTINGS = "inhouse.settings";
const THEME = "inhouse.theme";
const TALK = "inhouse.talk";

const talk = []; // messages as the API takes them
let running = null; // the AbortController of the answer that is being written
let model = null;
let settings = JSON.parse(localStorage.getItem(SETTINGS) ?? "{}");

const [messages, scroller, prompt, notice] = ["messages", "scroller", "prompt", "notice"].map(byId);
const status = new Status(byId("status"), (error) => {
  if (error?.status === 401) askForKey();
  else notice.textContent = error ? error.message : "";
});

// --- the conversation

async function send(text) {
  talk.push({ role: "user", content: text });
  draw();
  await answer();
}

async function answer() {
  const view = new Answer();
  const control = new AbortController();
  messages.append(view.node);
  setRunning(control);
  toEnd();
  const outcome = { reason: null, onAgain: () => again(view) };
  try {
    for await (const { data, comment } of stream("/v1/chat/completions", body(), control.signal)) {
      if (comment) {
        const progress = /^: inhouse (\{.*"prompt".*\})$/.exec(comment);
        if (progress) view.reading(JSON.parse(progress[1]).prompt);
        continue;
      }
      const near = atEnd();
      if (data.usage) outcome.usage = data.usage;
      const choice = data.choices[0];
      if (choice) {
        view.add(choice.delta);
        outcome.reason = choice.inhouse?.finish_reason ?? choice.finish_reason ?? outcome.reason;
      }
      if (near) requestAnimationFrame(toEnd);
    }
  } catch (error) {
    if (error.name === "AbortError") outcome.reason = "cancelled";
    else if (error instanceof ApiError) outcome.error = error.message;
    else throw error;
    if (error.status === 401) askForKey();
  } finally {
    const near = atEnd();
    view.end(outcome);
    // A new chat may have begun meanwhile: it has no place for this answer.
    if (running === control) {
      setRunning(null);
      if (view.spoken) talk.push(view.spoken);
      remember();
      offerResults(view.message.tool_calls);
      if (near) toEnd();
      if (!document.querySelector("dialog[open]")) prompt.focus({ preventScroll: true });
    }
  }
}

function body() {
  const system = settings.system?.trim();
  const sent = talk.map(({ name, ...message }) => message);
  return {
    model: model?.id ?? "", stream: true, stream_options: { include_usage: true },
    messages: system ? [{ role: "system", content: system }, ...sent] : sent,
    ...(settings.temperature !== undefined && { temperature: settings.temperature }),
    ...(settings.maxTokens && { max_tokens: settings.maxTokens }),
    ...(settings.tools && { tools: JSON.parse(settings.tools) }),
    ...(model?.thinks && settings.thinking === false && { chat_template_kwargs: { enable_thinking: false } }),
  };
}

// The calls of an answer wait for whoever sits here to say what came of them.
function offerResults(calls) {
  const open = (calls ?? []).filter((call) => !talk.some((message) => message.tool_call_id === call.id));
  if (!open.length) return;
  const fields = open.map((call) => h("textarea", { rows: 2, "aria-label": `Result of ${call.function.name}`, placeholder: `Result of ${call.function.name}` }));
  const form = h("form", { class: "results" }, ...fields, h("button", { type: "submit" }, "Send results"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (running) return;
    open.forEach((call, i) => talk.push({ role: "tool", tool_call_id: call.id, name: call.function.name, content: fields[i].value }));
    draw();
    answer();
  });
  messages.append(form);
}

// Everything but an answer that is being written.
function draw() {
  byId("welcome").hidden = talk.length > 0;
  messages.replaceChildren(...talk.map((message, index) => {
    if (message.role === "user") return userMessage(message.content, () => edit(index));
    if (message.role === "tool") return toolMessage(message.name, message.content);
    const view = new Answer();
    view.message = message;
    view.end({ onAgain: () => back(index) });
    return view.node;
  }));
  offerResults(talk.at(-1)?.tool_calls);
  remember();
}

function edit(index) {
  halt();
  prompt.value = talk[index].content;
  talk.length = index;
  draw();
  fit();
  prompt.focus();
}

function again(view) {
  const index = talk.indexOf(view.message);
  back(index < 0 ? talk.length : index);
}

function back(index) {
  if (running) return;
  talk.length = index;
  draw();
  answer();
}

function newChat() {
  halt();
  talk.length = 0;
  draw();
  prompt.focus();
}

// Stops the answer and forgets it, for a conversation that goes another way.
function halt() {
  const control = running;
  setRunning(null);
  control?.abort();
}

function setRunning(control) {
  running = control;
  byId("send").hidden = control !== null;
  byId("stop").hidden = control === null;
}

function remember() {
  try {
    sessionStorage.setItem(TALK, JSON.stringify(talk));
  } catch { /* longer than a browser keeps: it lives as long as the page */ }
}

const atEnd = () => scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 80;
const toEnd = () => { scroller.scrollTop = scroller.scrollHeight; };

// --- composing

function fit() {
  prompt.rows = Math.min(12, prompt.value.split("\n").length);
}

function submit() {
  const text = prompt.value.trim();
  if (!text || running) return;
  prompt.value = "";
  fit();
  send(text);
}

prompt.addEventListener("input", fit);
prompt.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    submit();
  } else if (event.key === "ArrowUp" && !prompt.value && !running) {
    const index = talk.findLastIndex((message) => message.role === "user");
    if (index >= 0) {
      event.preventDefault();
      edit(index);
    }
  }
});
byId("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  submit();
});
byId("stop").addEventListener("click", () => running?.abort());
byId("new").addEventListener("click", newChat);
byId("examples").append(...EXAMPLES.map((text) => h("button", { type: "button", onclick: () => send(text) }, text)));

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && running && !document.querySelector("dialog[open]")) running.abort();
  if (!event.altKey || event.ctrlKey || event.metaKey) return;
  const action = { KeyN: newChat, KeyS: showSettings, KeyM: toggleStatus }[event.code];
  if (action) {
    event.preventDefault();
    action();
  }
});

// --- settings, theme, status, key

function showSettings() {
  if (document.querySelector("dialog[open]")) return;
  byId("system").value = settings.system ?? "";
  byId("temperature").value = settings.temperature ?? "";
  byId("max-tokens").value = settings.maxTokens ?? "";
  byId("tools").value = settings.tools ?? "";
  byId("thinking").checked = settings.thinking !== false;
  byId("forget-key").hidden = !getKey();
  byId("settings").showModal();
}

byId("show-settings").addEventListener("click", showSettings);
byId("settings-form").addEventListener("submit", (event) => {
  const tools = byId("tools").value.trim();
  try {
    if (tools && !Array.isArray(JSON.parse(tools))) throw new SyntaxError("a list is needed");
    byId("settings-error").textContent = "";
  } catch (error) {
    event.preventDefault();
    byId("settings-error").textContent = `The tools are no JSON list: ${error.message}`;
    return;
  }
  const numeric = (id) => (byId(id).value === "" ? undefined : Number(byId(id).value));
  settings = { system: byId("system").value, temperature: numeric("temperature"), maxTokens: numeric("max-tokens"), tools, thinking: byId("thinking").checked };
  localStorage.setItem(SETTINGS, JSON.stringify(settings));
});
byId("forget-key").addEventListener("click", () => {
  forgetKey();
  location.reload();
});

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
}
byId("theme").addEventListener("click", () => {
  const dark = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  setTheme(dark === "dark" ? "light" : "dark");
  localStorage.setItem(THEME, document.documentElement.dataset.theme);
});

function toggleStatus() {
  const shown = document.body.classList.toggle("with-status");
  byId("show-status").setAttribute("aria-expanded", String(shown));
}
byId("show-status").addEventListener("click", toggleStatus);

function askForKey() {
  const dialog = byId("key-dialog");
  byId("key-error").textContent = getKey() ? "The server does not know this key." : "";
  if (!dialog.open) dialog.showModal();
}
byId("key-dialog").addEventListener("cancel", (event) => event.preventDefault());
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey(byId("key").value.trim(), byId("key-keep").checked);
  connect();
});

// --- beginning

async function connect() {
  try {
    model = (await getJson("/v1/models")).data[0];
  } catch (error) {
    if (error.status === 401) askForKey();
    else {
      notice.textContent = error.message;
      setTimeout(connect, 2000);
    }
    return;
  }
  byId("key-dialog").close();
  byId("key").value = "";
  byId("model").textContent = model.id;
  byId("thinking-row").hidden = !model.thinks;
  document.title = `${model.id} · Inhouse`;
  status.run();
}

setTheme(localStorage.getItem(THEME));
if (matchMedia("(min-width: 70rem)").matches) toggleStatus();
talk.push(...JSON.parse(sessionStorage.getItem(TALK) ?? "[]"));
draw();
toEnd();
connect();
