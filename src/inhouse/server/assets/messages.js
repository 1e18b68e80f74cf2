// One message of a conversation on the page. Knows no server.

import { copyButton, h } from "./dom.js";
import { code, Markdown } from "./markdown.js";

const ENDINGS = {
  length: "Cut off at the limit of tokens.",
  cancelled: "Stopped.",
  content_filter: "Withheld.",
  repetition: "Ended because the model repeated itself.",
};

export function userMessage(text, onEdit) {
  const edit = h("button", { type: "button", onclick: onEdit }, "Edit");
  return h("article", { class: "message user", "aria-label": "You" },
    h("div", { class: "bubble" }, text), h("footer", {}, edit, copyButton(() => text, "Copy this message")));
}

export function toolMessage(name, text) {
  return h("article", { class: "message tool", "aria-label": `Result of ${name}` },
    h("details", {}, h("summary", {}, "Result of ", h("code", {}, name)), code(text)));
}

// An answer, drawn as it comes: at most once a frame, however fast the tokens are.
export class Answer {
  constructor() {
    this.message = { role: "assistant", content: "" };
    this.begun = performance.now();
    this.state = h("p", { class: "state" }, h("span", { class: "dots", "aria-hidden": "true" }), h("span", {}, "Waiting"));
    this.thinking = h("details", { class: "thinking", hidden: true }, h("summary", {}, "Thinking"));
    this.thought = h("div", { class: "prose" });
    this.thinking.append(this.thought);
    this.body = h("div", { class: "prose" });
    this.calls = h("div", { class: "calls" });
    this.foot = h("footer", {});
    this.node = h("article", { class: "message assistant", "aria-label": "The model", "aria-busy": "true" },
      this.thinking, this.body, this.calls, this.state, this.foot);
    this.renderers = [new Markdown(this.thought), new Markdown(this.body)];
    this.frame = 0;
  }

  // `progress` of the prompt, from the server's comments.
  reading({ done, total }) {
    if (total && !this.first) this.state.lastChild.textContent = `Reading the prompt, ${Math.round((100 * done) / total)} %`;
  }

  add(delta) {
    if (!Object.values(delta).some((value) => value && value !== "assistant")) return;
    this.first ??= performance.now();
    this.last = performance.now();
    const message = this.message;
    if (delta.reasoning_content) message.reasoning_content = (message.reasoning_content ?? "") + delta.reasoning_content;
    if (delta.content) {
      this.thoughtFor ??= performance.now() - this.first;
      message.content += delta.content;
    }
    for (const piece of delta.tool_calls ?? []) this.addCall(piece);
    this.frame ||= requestAnimationFrame(() => this.draw());
  }

  addCall({ index, id, function: part }) {
    const calls = (this.message.tool_calls ??= []);
    calls[index] ??= { id, type: "function", function: { name: "", arguments: "" } };
    if (id) calls[index].id = id;
    if (part?.name) calls[index].function.name = part.name;
    calls[index].function.arguments += part?.arguments ?? "";
  }

  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    const { content, reasoning_content: reasoning, tool_calls: calls } = this.message;
    if (reasoning) {
      this.thinking.hidden = false;
      this.renderers[0].show(reasoning);
    }
    this.renderers[1].show(content);
    this.calls.replaceChildren(...(calls ?? []).filter(Boolean).map(callView));
    this.state.lastChild.textContent = content || calls ? "Writing" : reasoning ? "Thinking" : this.state.lastChild.textContent;
    if (this.thoughtFor && reasoning) this.thinking.firstChild.textContent = `Thought for ${seconds(this.thoughtFor)}`;
  }

  // `usage` may be missing: a stopped answer has none.
  end({ reason, usage, error, onAgain }) {
    this.draw();
    this.node.setAttribute("aria-busy", "false");
    this.state.remove();
    if (this.message.reasoning_content && !this.thoughtFor) this.thinking.firstChild.textContent = "Thought";
    const ending = error ?? ENDINGS[reason];
    if (ending) this.foot.before(h("p", { class: error ? "ending error" : "ending" }, ending));
    const again = h("button", { type: "button", onclick: onAgain }, "Try again");
    this.foot.append(copyButton(() => this.message.content, "Copy this answer"), again, h("span", { class: "figures" }, figures(this, usage)));
  }

  // The part of the answer to be sent back with the next message; null for nothing at all.
  get spoken() {
    return this.message.content || this.message.tool_calls ? this.message : null;
  }
}

function callView({ function: call }) {
  let shown = call.arguments;
  try {
    shown = JSON.stringify(JSON.parse(call.arguments), null, 2);
  } catch { /* still being written */ }
  return h("details", { class: "call", open: true }, h("summary", {}, "Calls ", h("code", {}, call.name)), code(shown, "json"));
}

const seconds = (ms) => (ms < 10000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 1000)} s`);

function figures(answer, usage) {
  if (!answer.first) return "";
  const parts = [];
  if (usage) {
    parts.push(`${usage.completion_tokens} tokens`);
    const spent = (answer.last - answer.first) / 1000;
    if (usage.completion_tokens > 1 && spent > 0) parts.push(`${((usage.completion_tokens - 1) / spent).toFixed(1)} tokens/s`);
    const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    parts.push(`${usage.prompt_tokens} read${cached ? `, ${cached} of them remembered` : ""}`);
  }
  parts.push(`first word after ${seconds(answer.first - answer.begun)}`);
  return parts.join(" · ");
}
