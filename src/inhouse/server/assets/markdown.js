// Markdown to elements, for text that nobody has checked: only the elements below can come out, links lead only to
// http, https and mail, and pictures become links, so that showing an answer asks no other machine for anything.

import { copyButton, h } from "./dom.js";
import { highlighted } from "./highlight.js";

const FENCE = /^( {0,3})(`{3,}|~{3,})\s*([^\s`]*)[^`]*$/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(?:\s+(.*)|)$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*\s*$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
const DEEPEST = 12; // quotes and lists within each other

// Keeps what is already on the page: of a growing text only the last blocks are drawn again.
export class Markdown {
  constructor(root) {
    this.root = root;
    this.sources = [];
  }

  show(text) {
    const sources = split(text);
    let same = 0;
    while (same < sources.length && sources[same] === this.sources[same]) same += 1;
    while (this.root.childNodes.length > same) this.root.lastChild.remove();
    for (const source of sources.slice(same)) this.root.append(block(source, 0));
    this.sources = sources;
  }
}

// The text's top-level blocks. A fence that is still open runs to the end.
function split(text) {
  const blocks = [];
  let lines = [];
  let fence = null;
  const flush = () => {
    if (lines.length) blocks.push(lines.join("\n"));
    lines = [];
  };
  for (const line of text.replace(/\r\n?/g, "\n").split("\n")) {
    if (fence) {
      lines.push(line);
      if (closes(line, fence)) {
        fence = null;
        flush();
      }
      continue;
    }
    const opening = FENCE.exec(line);
    const listed = lines.length > 0 && ITEM.test(lines[0]);
    if (opening && !(listed && /^\s/.test(line))) {
      flush();
      fence = opening[2];
      lines.push(line);
    } else if (!line.trim()) {
      if (listed) lines.push(line);
      else flush();
    } else {
      if (lines.length && starts(line, lines)) flush();
      lines.push(line);
    }
  }
  flush();
  return blocks;
}

const closes = (line, fence) => line.trim().startsWith(fence) && line.trim().replaceAll(fence[0], "") === "";

function starts(line, lines) {
  const first = lines[0];
  if (HEADING.test(line) || HEADING.test(first) || RULE.test(line) || RULE.test(first)) return true;
  if (ITEM.test(first)) return lines.at(-1).trim() === "" && !/^\s/.test(line) && !ITEM.test(line);
  if (ITEM.test(line)) return !/^\s/.test(line);
  return /^ {0,3}>/.test(line) !== /^ {0,3}>/.test(first);
}

function block(source, depth) {
  const lines = source.split("\n");
  const fence = FENCE.exec(lines[0]);
  if (fence) return codeBlock(lines, fence[2], fence[3], fence[1].length);
  const heading = HEADING.exec(lines[0]);
  if (heading) return h(`h${Math.min(6, heading[1].length + 1)}`, {}, ...inline(heading[2]));
  if (RULE.test(lines[0])) return h("hr");
  if (ITEM.test(lines[0])) return list(lines, depth);
  if (/^ {0,3}>/.test(lines[0])) {
    const inner = lines.map((line) => line.replace(/^ {0,3}> ?/, "")).join("\n");
    return h("blockquote", {}, ...within(inner, depth));
  }
  if (lines.length > 1 && lines[0].includes("|") && TABLE_RULE.test(lines[1])) return table(lines);
  return h("p", {}, ...inline(lines.map((line) => line.trimStart()).join("\n")));
}

const within = (text, depth) => (depth < DEEPEST ? split(text).map((part) => block(part, depth + 1)) : [text]);

function codeBlock(lines, fence, language, indent) {
  const end = lines.length > 1 && closes(lines.at(-1), fence) ? -1 : undefined;
  const body = lines.slice(1, end);
  return code(body.map((line) => line.slice(Math.min(indent, line.search(/\S|$/)))).join("\n"), language);
}

export function code(text, language = "") {
  return h("figure", { class: "code" },
    h("figcaption", {}, h("span", {}, language || "text"), copyButton(() => text, "Copy this code")),
    h("pre", { tabindex: "0" }, h("code", {}, ...highlighted(text, language))));
}

function list(lines, depth) {
  const [, , marker] = ITEM.exec(lines[0]);
  const items = [];
  let width = 0;
  for (const line of lines) {
    const found = ITEM.exec(line);
    if (found && (!items.length || found[1].length < width)) {
      width = found[1].length + found[2].length + 1;
      items.push([found[3] ?? ""]);
    } else {
      items.at(-1).push(line.slice(Math.min(width, line.search(/\S|$/))));
    }
  }
  const start = Number.parseInt(marker, 10);
  const tag = Number.isNaN(start) ? "ul" : "ol";
  return h(tag, tag === "ol" && start !== 1 ? { start } : {}, ...items.map((item) => listItem(item, depth)));
}

function listItem(lines, depth) {
  const task = /^\[([ xX])\]\s+/.exec(lines[0]);
  const text = (task ? lines[0].slice(task[0].length) : lines[0]) + "\n" + lines.slice(1).join("\n");
  const box = task && h("input", { type: "checkbox", disabled: true, checked: task[1] !== " ", "aria-label": "done" });
  const parts = within(text.trim(), depth);
  const first = parts[0];
  // A tight item is a line of text, no paragraph.
  const tight = first instanceof Element && first.tagName === "P" ? [...first.childNodes] : first ? [first] : [];
  return h("li", box ? { class: "task" } : {}, box, ...tight, ...parts.slice(1));
}

function table(lines) {
  const cells = (line) => line.trim().replace(/^\||(?<!\\)\|$/g, "").split(/(?<!\\)\|/).map((cell) => cell.trim().replaceAll("\\|", "|"));
  const sides = cells(lines[1]).map((cell) => (/^:-+:$/.test(cell) ? "center" : /-:$/.test(cell) ? "end" : "start"));
  const row = (line, tag) => h("tr", {}, ...cells(line).map((cell, i) => h(tag, { class: sides[i] }, ...inline(cell))));
  return h("div", { class: "table", tabindex: "0" }, h("table", {},
    h("thead", {}, row(lines[0], "th")), h("tbody", {}, ...lines.slice(2).map((line) => row(line, "td")))));
}

// In this order: what comes first wins at the same place.
const INLINE = new RegExp([
  "\\\\(?<escaped>[!-/:-@[-`{-~])",
  "(?<ticks>`+)(?<code>[^`](?:[\\s\\S]*?[^`])?)\\k<ticks>(?!`)",
  "!?\\[(?<label>[^\\[\\]\\n]*)\\]\\((?<target>[^\\s()]*(?:\\([^\\s()]*\\)[^\\s()]*)?)(?:\\s+\"[^\"\\n]*\")?\\)",
  "(?<url>\\bhttps?:\\/\\/[^\\s<>\"`]*[^\\s<>\"`.,;:!?)\\]'*_])",
  "\\*\\*(?<strong>[^\\s*](?:[^\\n]*?[^\\s])??)\\*\\*",
  "(?<![\\w_])__(?<strong2>[^\\s_](?:[^\\n]*?[^\\s])??)__(?!\\w)",
  "\\*(?<em>[^\\s*](?:[^*\\n]*[^\\s*])?)\\*",
  "(?<![\\w_])_(?<em2>[^\\s_](?:[^_\\n]*[^\\s_])?)_(?!\\w)",
  "~~(?<del>[^\\s~](?:[^~\\n]*[^\\s~])?)~~",
  "(?<br> {2,}\\n|\\n)",
].join("|"), "g");

function inline(text, depth = 0) {
  if (depth > DEEPEST) return [text];
  const out = [];
  let last = 0;
  for (const found of text.matchAll(INLINE)) {
    out.push(text.slice(last, found.index), span(found, depth + 1));
    last = found.index + found[0].length;
  }
  out.push(text.slice(last));
  return out.filter((part) => part !== "");
}

function span(found, depth) {
  const part = found.groups;
  if (part.escaped) return part.escaped;
  if (part.code) return h("code", {}, part.code.replace(/^ (.*) $/, "$1"));
  if (part.label !== undefined) return link(part.target, inline(part.label || part.target, depth), found[0]);
  if (part.url) return link(part.url, [part.url], found[0]);
  if (part.strong ?? part.strong2) return h("strong", {}, ...inline(part.strong ?? part.strong2, depth));
  if (part.em ?? part.em2) return h("em", {}, ...inline(part.em ?? part.em2, depth));
  if (part.del) return h("del", {}, ...inline(part.del, depth));
  return h("br");
}

function link(target, children, source) {
  if (!/^(https?:\/\/|mailto:)/i.test(target)) return source;
  return h("a", { href: target, target: "_blank", rel: "noopener noreferrer nofollow", title: target }, ...children);
}
