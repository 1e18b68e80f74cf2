// What the server is doing: figures and small charts, from /stats.

import { getJson } from "./api.js";
import { h, svg } from "./dom.js";

const POINTS = 60;
const EVERY = 1000; // milliseconds

export const bytes = (n) => (n >= 1e9 ? `${(n / 1e9).toFixed(1)} GB` : `${Math.round(n / 1e6)} MB`);
const number = (n) => (n >= 100 ? Math.round(n).toLocaleString("en") : n.toFixed(1).replace(/\.0$/, ""));

class Chart {
  constructor(title, unit) {
    this.title = title;
    this.unit = unit;
    this.values = [];
    this.now = h("b", {}, "–");
    this.area = svg("path", { class: "area" });
    this.line = svg("path", { class: "line" });
    this.drawing = svg("svg", { viewBox: "0 0 120 32", preserveAspectRatio: "none", role: "img" }, this.area, this.line);
    this.node = h("section", { class: "chart" }, h("h3", {}, title, h("span", {}, this.now, ` ${unit}`)), this.drawing);
  }

  add(value) {
    this.values = [...this.values, value].slice(-POINTS);
    const top = Math.max(1, ...this.values);
    const at = (v, i) => `${(120 * (POINTS - this.values.length + i)) / (POINTS - 1)} ${31 - (29 * v) / top}`;
    const path = `M${this.values.map(at).join("L")}`;
    this.line.setAttribute("d", path);
    this.area.setAttribute("d", `${path}L120 32L${(120 * (POINTS - this.values.length)) / (POINTS - 1)} 32Z`);
    this.now.textContent = number(value);
    this.drawing.setAttribute("aria-label", `${this.title}: now ${number(value)} ${this.unit}, at most ${number(top)} in the last minute`);
  }
}

class Meter {
  constructor(title) {
    this.text = h("span", {}, "–");
    this.bar = h("progress", { max: 1, value: 0, "aria-label": title });
    this.node = h("section", { class: "meter" }, h("h3", {}, title, this.text), this.bar);
  }

  set(part, whole, text) {
    this.bar.value = whole > 0 ? Math.min(1, part / whole) : 0;
    this.text.textContent = text;
    this.node.hidden = false;
  }
}

export class Status {
  constructor(root, onError) {
    this.onError = onError;
    this.speed = new Chart("Writing", "tokens/s");
    this.reading = new Chart("Reading prompts", "tokens/s");
    this.queue = new Chart("Requests", "at work");
    this.memory = new Meter("Memory");
    this.cache = new Meter("Cache in memory");
    this.disk = new Meter("Cache on disk");
    this.facts = h("dl");
    this.cache.node.hidden = this.disk.node.hidden = true;
    root.append(h("h2", {}, "This server"), this.facts, this.speed.node, this.reading.node, this.queue.node,
      this.memory.node, this.cache.node, this.disk.node);
    this.last = null;
  }

  async run() {
    for (;;) {
      if (!document.hidden) {
        try {
          this.show(await getJson("/stats"));
          this.onError(null);
        } catch (error) {
          this.last = null;
          this.onError(error);
          if (error.status === 401) return; // whoever enters a key starts us again
        }
      }
      await new Promise((resolve) => setTimeout(resolve, EVERY));
    }
  }

  show(stats) {
    const now = performance.now();
    const { engine, memory } = stats;
    const seconds = this.last ? (now - this.last.now) / 1000 : Infinity;
    const rate = (name) => Math.max(0, ((engine[name] ?? 0) - (this.last?.engine[name] ?? 0)) / seconds);
    const all = (what) => (engine[`${what}_interactive`] ?? 0) + (engine[`${what}_background`] ?? 0);
    this.speed.add(rate("decode_tokens"));
    this.reading.add(rate("prefill_tokens"));
    this.last = { now, engine };
    this.queue.add(all("active"));
    this.memory.set(memory.process_bytes, memory.total_bytes, `${bytes(memory.process_bytes)} of ${bytes(memory.total_bytes)}`);
    const cache = engine.cache ?? {};
    meter(this.cache, cache.memory_bytes, cache.memory_budget);
    meter(this.disk, cache.disk_bytes, cache.disk_budget);
    const known = cache.prompt_tokens > 0 ? `${Math.round((100 * cache.cached_tokens) / cache.prompt_tokens)} % of prompts` : "nothing asked yet";
    this.tell({
      Model: stats.model.id, Architecture: stats.model.architecture,
      Context: `${stats.model.context_length.toLocaleString("en")} tokens`,
      "Not read again": known, Waiting: all("waiting"), Up: duration(stats.uptime_seconds),
    });
  }

  tell(facts) {
    const rows = Object.entries(facts).filter(([, value]) => value !== undefined);
    this.facts.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", { title: value }, String(value))]));
  }
}

function meter(target, used, budget) {
  if (budget > 0) target.set(used, budget, `${bytes(used)} of ${bytes(budget)}`);
}

function duration(seconds) {
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.floor(seconds)} s`;
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
