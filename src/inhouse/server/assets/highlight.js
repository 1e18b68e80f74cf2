// Colours for code: comments, strings, numbers and keywords, close enough for most languages. Adds spans, no HTML.

import { h } from "./dom.js";

const WORDS = {
  c: "auto bool break case catch char class const constexpr continue default delete do double else enum explicit extern false final float for friend goto if inline int long namespace new noexcept nullptr NULL operator override private protected public return short signed sizeof static struct switch template this throw true try typedef typename union unsigned using virtual void volatile while",
  go: "break case chan const continue default defer else fallthrough for func go goto if import interface map nil package range return select struct switch true false type var",
  java: "abstract boolean break byte case catch char class const continue default do double else enum extends final finally float for if implements import instanceof int interface long new null package private protected public record return short static super switch this throw throws true false try var void while fun val when object override",
  js: "async await break case catch class const continue default delete do else enum export extends false finally for from function if implements import in instanceof interface let new null of private public readonly return static super switch this throw true try type typeof undefined var void while yield string number boolean any",
  python: "False None True and as assert async await break class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return self try while with yield",
  rust: "as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while",
  shell: "case do done elif else esac export fi for function if in local return set then until while echo cd exit",
  sql: "select from where insert into values update delete create table index drop alter join left right inner outer on group by order having limit as and or not null primary key foreign references distinct union case when then else end",
  data: "true false null yes no",
};
const SAME = { cpp: "c", "c++": "c", h: "c", cs: "java", csharp: "java", kotlin: "java", scala: "java", javascript: "js", jsx: "js", ts: "js", typescript: "js", tsx: "js", py: "python", rs: "rust", sh: "shell", bash: "shell", zsh: "shell", console: "shell", json: "data", yaml: "data", yml: "data", toml: "data", golang: "go" };
const HASH = new Set(["python", "shell", "data"]);
const LONGEST = 60000; // characters: beyond, colours cost more than they help

export function highlighted(code, language) {
  const name = SAME[language.toLowerCase()] ?? language.toLowerCase();
  if (!(name in WORDS) || code.length > LONGEST) return [code];
  const comment = HASH.has(name) ? "#[^\\n]*" : name === "sql" ? "--[^\\n]*" : "\\/\\/[^\\n]*|\\/\\*[\\s\\S]*?(?:\\*\\/|$)";
  const long = name === "python" ? `"""[\\s\\S]*?(?:"""|$)|'''[\\s\\S]*?(?:'''|$)|` : "";
  const quote = name === "rust" ? "" : "|'(?:\\\\.|[^'\\\\\\n])*'";
  const backtick = name === "js" || name === "go" ? "|`(?:\\\\[\\s\\S]|[^`\\\\])*(?:`|$)" : "";
  const pattern = new RegExp(
    `(${comment})|(${long}"(?:\\\\.|[^"\\\\\\n])*"${quote}${backtick})|(\\b\\d[\\w.]*\\b)|([A-Za-z_]\\w*)(?=(\\s*\\())?`, "g");
  const words = new Set(WORDS[name].split(" "));
  const kind = (found) => {
    if (found[1]) return "comment";
    if (found[2]) return "string";
    if (found[3]) return "number";
    if (words.has(name === "sql" ? found[4].toLowerCase() : found[4])) return "keyword";
    return found[5] ? "call" : "";
  };
  const out = [];
  let last = 0;
  for (const found of code.matchAll(pattern)) {
    const name = kind(found);
    if (!name) continue;
    out.push(code.slice(last, found.index), h("span", { class: `hl-${name}` }, found[0]));
    last = found.index + found[0].length;
  }
  out.push(code.slice(last));
  return out;
}
