"""Answers in JavaScript, TypeScript, Go and Rust become new text of their files."""

from __future__ import annotations

import pytest

from inhouse.repair.patching import rewritten_file, rewritten_function
from inhouse.workspace.edits import EditError

SHOP = """\
const fs = require('fs');

exports.total = xs => xs.reduce((a, b) => a + b, 1);

class Shop {
\tstatic get limit () {
\t\treturn 1;   
\t}

\tasync load(name) {
\t\tconst text = `a
  b`;
\t\treturn text + name;
\t}
}

const tools = {
  cut: function (x) {
    return x;
  },
  glue (x) { return 1 },
};

function half (a) {
  if (a) {
    return a * 2;
  }
}
"""  # noqa: W291


def fenced(code: str) -> str:
    return f"Here:\n```js\n{code}```\n"


@pytest.mark.parametrize(
    ("name", "code", "old", "new"),
    [
        ("exports.total", "exports.total = xs => xs.reduce((a, b) => a + b, 0);\n", "b, 1)", "b, 0)"),
        ("exports.total", "xs => xs.reduce((a, b) => a + b, 0)\n", "b, 1)", "b, 0)"),
        (
            "exports.total",
            "function total(xs) {\n    let s = 0;\n    for (const x of xs) {\n        s += x;\n    }\n"
            "    return s;\n}\n"
            "module.exports = { total };\n",
            "xs => xs.reduce((a, b) => a + b, 1)",
            "(xs) => {\n  let s = 0;\n  for (const x of xs) {\n    s += x;\n  }\n  return s;\n}",
        ),
        ("Shop.limit", "get limit() {\n    return 2;\n}\n", "return 1;   ", "return 2;"),
        ("Shop.load", "class Shop {\n  async load(name) {\n    const text = `a\n  b`;\n    return text;\n  }\n}\n",
         "text + name", "text"),
        ("Shop.load", "load(name) {\n  if (name) {\n    return 1;\n  }\n}\n",
         "\t\tconst text = `a\n  b`;\n\t\treturn text + name;\n", "\t\tif (name) {\n\t\t\treturn 1;\n\t\t}\n"),
        ("tools.cut", "function cut(x) {\n    return x + 1;\n}\n", "return x;", "return x + 1;"),
        ("tools.glue", "const tools = {\n  glue(x) { return 2; },\n};\n", "{ return 1 }", "{ return 2; }"),
        ("half", "function half(a) {\n    if (a) {\n        return a / 2;\n    }\n}\n", "a * 2", "a / 2"),
        ("half", "const half = (a) => a / 2;\n", "half (a) {\n  if (a) {\n    return a * 2;\n  }\n}",
         "half(a) { return a / 2; }"),
    ],
)  # fmt: skip
def test_an_answer_takes_the_form_that_the_file_has(name: str, code: str, old: str, new: str) -> None:
    assert SHOP.count(old) == 1
    assert rewritten_function("shop.js", SHOP, name, fenced(code)) == SHOP.replace(old, new)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "function half(a) {\n  if (a {\n    return 1;\n  }\n}\n",
            r"of half is not valid JavaScript \(line 2\)",
        ),
        ("function third(a) {\n  return a;\n}\n", "no code block that defines half"),
        ("total + 1\n", "no code block that defines half"),
    ],
)
def test_what_does_not_parse_or_is_another_function_is_refused(code: str, said: str) -> None:
    with pytest.raises(EditError, match=said):
        rewritten_function("shop.js", SHOP, "half", fenced(code))


def test_the_last_block_that_defines_the_function_counts() -> None:
    answer = (
        fenced("function half(a) {\n  return 1;\n}\n")
        + fenced("function half(a) {\n  return 2;\n}\n")
        + fenced("half(3)\n")
    )
    assert "return 2;" in rewritten_function("shop.js", SHOP, "half", answer)


def test_other_functions_and_helpers_of_the_answer_come_too() -> None:
    code = "const twice = (a) => a * 2;\n\nfunction half(a) {\n  return twice(a) / 4;\n}\nexports.total = xs => 0;\n"
    new = rewritten_function("shop.js", SHOP, "half", fenced(code))
    assert "const twice = (a) => a * 2;\n\nfunction half (a) {\n  return twice(a) / 4;\n}\n" in new
    assert "exports.total = xs => 0;\n" in new
    assert "tools = {" in new


def test_modules_are_added_in_the_file_s_own_style_only() -> None:
    required = "const path = require('path');\nfunction half(a) {\n  return path.join(a);\n}\n"
    new = rewritten_function("shop.js", SHOP, "half", fenced(required))
    assert new.startswith("const fs = require('fs');\nconst path = require('path');\n\nexports.total")
    imported = "import path from 'path';\nfunction half(a) {\n  return path.join(a);\n}\n"
    assert "import" not in rewritten_function("shop.js", SHOP, "half", fenced(imported))
    module = "'use strict';\nimport fs from 'fs';\nexport function half(a) {\n  return a;\n}\n"
    new = rewritten_function("shop.mjs", module, "half", fenced(imported))
    assert new == (
        "'use strict';\nimport fs from 'fs';\nimport path from 'path';\n"
        "export function half(a) {\n  return path.join(a);\n}\n"
    )


GO = """\
package sums

import (
	"fmt"
)

// Name names it.
func (s *Schedule) Name(a int) string {
	if a > 1 {
		return fmt.Sprint(a)
	}
	return ""
}
"""


def test_go_keeps_its_tabs_and_imports_what_it_uses_and_nothing_else() -> None:
    code = (
        "func (s *Schedule) Name(a int) string {\n    if a > 1 {\n        return strconv.Itoa(a)\n    }\n"
        '    return ""\n}\n'
    )
    new = rewritten_function("sums.go", GO, "Schedule.Name", fenced(code))
    assert new == GO.replace('\t"fmt"', '\t"strconv"').replace("fmt.Sprint", "strconv.Itoa")
    without = rewritten_function("sums.go", GO, "Schedule.Name", fenced(code.replace("(s *Schedule) ", "")))
    assert without == new


RUST = """\
impl Shop {
    /// All.
    #[inline]
    pub fn total(&self) -> i32 {
        1
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn total() {
        assert_eq!(Shop {}.total(), 2);
    }
}
"""


def test_rust_keeps_attributes_and_visibility_and_tests_stay_as_they_are() -> None:
    code = "impl Shop {\n  fn total(&self) -> i32 {\n    2\n  }\n}\nmod tests {\n  fn total() {}\n}\n"
    assert rewritten_function("shop.rs", RUST, "Shop.total", fenced(code)) == RUST.replace("        1\n", "        2\n")


def test_typescript_keeps_overloads_and_modifiers() -> None:
    text = (
        "export class Shop {\n  total(a: number): number;\n  total(a: string): number;\n"
        "  private total(a: any): number {\n    return 1;\n  }\n}\n"
    )
    code = "total(a: any): number {\n  return 2;\n}\n"
    assert rewritten_function("shop.ts", text, "Shop.total", fenced(code)) == text.replace("return 1", "return 2")


def test_an_answer_with_the_whole_file_replaces_what_it_changes() -> None:
    answer = fenced(SHOP.replace("a * 2", "a / 2"))
    assert rewritten_file("shop.js", SHOP, answer) == SHOP.replace("a * 2", "a / 2")
    with pytest.raises(EditError, match="defines no function of the file"):
        rewritten_file("shop.js", SHOP, "I do not know.")
