"""Functions by their syntax trees: what they are called, where they are, what is shown of them."""

from __future__ import annotations

import pytest

from inhouse.workspace.code import functions as code
from inhouse.workspace.code.imports import imported_files

JAVASCRIPT = """\
const RATES = { low: 1 };
const fs = require('fs');

exports.total = xs => xs.reduce((a, b) => a + b, 1);

/**
 * The sum of the prices.
 * @param {number[]} prices
 */
async function sum(prices, extra = 0) {
  return prices.length + RATES.low;
}
class Shop extends Base {
  limit = 1;
  static open() { return 1; }
  get size() {
    return this.limit;
  }
  set size(value) {
    this.limit = value;
  }
  close = async () => {
    await sum([]);
  };
}
Shop.prototype.sell = function (what) {
  return what;
};
const tools = {
  cut(a) { return a; },
  glue: function () {},
  inner: { paint: () => 2 },
};
module.exports = function parse(text) {
  function local() {}
  return local;
};
export default (a) => a;
(function () {
  function hidden() { return 3; }
})();
const memo = memoize(function (x) { return x; });
"""
NAMES = [
    "exports.total", "sum", "Shop.open", "Shop.size", "Shop.size", "Shop.close", "Shop.prototype.sell", "tools.cut",
    "tools.glue", "tools.inner.paint", "parse", "default", "hidden", "memo",
]  # fmt: skip
TYPESCRIPT = """\
namespace Money {
  export function round(x: number): number { return x; }
}
export abstract class Shop<T> {
  total(a: number): number;
  total(a: string): number;
  total(a: any): number {
    return a;
  }
  private handler = (x: number): void => {
    this.total(x);
  };
}
"""
GO = """\
package sums

type Schedule struct {
	Name string
}

// Occurrences counts them.
func (s *Schedule) Occurrences(a, b int) (int, error) {
	return a, nil
}

func Map[T any](xs []T) []T { return xs[1:] }

var half = func(a int) int {
	return a / 2
}
"""
RUST = """\
pub struct Shop {
    limit: i32,
}

impl Shop {
    /// What all costs.
    pub fn total(&self, xs: &[i32]) -> i32 {
        xs.len() as i32 + self.limit
    }
}

impl fmt::Display for Shop {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        Ok(())
    }
}

impl fmt::Debug for Shop {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        Ok(())
    }
}

mod money {
    pub fn round(x: i32) -> i32 { x }
}

#[cfg(test)]
mod tests {
    #[test]
    fn adds() {
        assert_eq!(1, 1);
    }
}
"""


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        ("a.js", JAVASCRIPT, NAMES),
        ("a.ts", TYPESCRIPT, ["Money.round", "Shop.total", "Shop.handler"]),
        ("a.go", GO, ["Schedule.Occurrences", "Map", "half"]),
        ("a.rs", RUST, ["Shop.total", "Shop.fmt", "Shop.fmt", "money.round"]),
        ("a.py", "class A:\n    def f(self):\n        pass\n", ["A.f"]),
        ("a.txt", "function f() {}\n", []),
    ],
)
def test_functions_are_called_as_a_reader_would_call_them(path: str, text: str, names: list[str]) -> None:
    assert [one.name for one in code.functions(path, text)] == names


def test_a_function_knows_its_lines_and_what_it_mentions() -> None:
    found = code.find("a.js", JAVASCRIPT, "sum")
    assert found is not None
    assert (found.first, found.last) == (10, 12)
    assert {"prices", "length", "RATES", "low"} <= found.mentions
    assert found.text(JAVASCRIPT).startswith("async function sum")


def test_functions_that_share_a_name_are_told_apart_by_their_line() -> None:
    first, second = (one for one in code.functions("a.rs", RUST) if one.name == "Shop.fmt")
    assert code.find("a.rs", RUST, "Shop.fmt", first.first) == first
    assert code.find("a.rs", RUST, "Shop.fmt") == second


def test_tests_beside_a_rust_program_are_no_functions_of_it() -> None:
    assert [one.name for one in code.test_functions("a.rs", RUST)] == ["tests.adds"]
    assert code.test_lines("a.rs", RUST) == [(29, 34)]


def test_tests_of_javascript_go_by_their_titles() -> None:
    text = "describe('shop', () => {\n  it(`sells`, async () => {\n    sell();\n  });\n});\n"
    text += "test.only('b', t => {});\nf('c', 1);\n"
    found = code.test_functions("shop.test.js", text)
    assert [(one.name, one.first, one.last) for one in found] == [("shop", 1, 5), ("sells", 2, 4), ("b", 6, 6)]


@pytest.mark.parametrize(
    ("path", "text", "name", "head"),
    [
        ("a.js", JAVASCRIPT, "exports.total", "exports.total ="),
        (
            "a.js", JAVASCRIPT, "sum",
            "/**\n * The sum of the prices.\n * @param {number[]} prices\n */\n"
            "async function sum(prices, extra = 0) {\n",
        ),
        ("a.js", JAVASCRIPT, "Shop.open", "static open("),
        ("a.js", JAVASCRIPT, "Shop.close", "close = async () => {\n"),
        ("a.js", JAVASCRIPT, "Shop.prototype.sell", "Shop.prototype.sell = function (what) {\n"),
        ("a.ts", TYPESCRIPT, "Shop.total", "total(a: any): number {\n"),
        (
            "a.go", GO, "Schedule.Occurrences",
            "// Occurrences counts them.\nfunc (s *Schedule) Occurrences(a, b int) (int, error) {\n",
        ),
        ("a.rs", RUST, "Shop.total", "/// What all costs.\npub fn total(&self, xs: &[i32]) -> i32 {\n"),
    ],
)  # fmt: skip
def test_an_answer_begins_with_the_function_down_to_its_body(path: str, text: str, name: str, head: str) -> None:
    found = code.find(path, text, name)
    assert found is not None
    assert code.head(path, text, found) == head


def test_outlines_say_what_a_caller_must_know() -> None:
    found = code.find("a.js", JAVASCRIPT, "sum")
    assert found is not None
    assert code.outline("a.js", JAVASCRIPT, found) == "// The sum of the prices.\nasync function sum(prices, extra = 0)"
    shop = code.class_outline("a.js", JAVASCRIPT, "Shop", "open")
    assert "limit = 1;" in shop
    assert "get size() ..." in shop
    assert "open" not in shop
    assert code.class_outline("a.go", GO, "Schedule") == (
        "type Schedule struct {\n\tName string\n}\n    func (s *Schedule) Occurrences(a, b int) (int, error) ..."
    )
    assert "limit: i32," in code.class_outline("a.rs", RUST, "Shop")


def test_tables_at_the_top_are_neither_functions_nor_imports() -> None:
    assert code.declared("a.js", JAVASCRIPT) == [(("RATES",), 1, 1)]
    assert code.declared("a.go", "package a\n\nconst (\n\tA = 1\n\tB = 2\n)\nvar C = 3\n") == [
        (("A", "B"), 3, 6), (("C",), 7, 7),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "one", "other", "same"),
    [
        ("a.js", "f(1); // a\n", "/* b */\nf(\n  1\n);", True),
        ("a.js", "f('a b')", "f('a  b')", False),
        ("a.js", "function f() { return\n1 }", "function f() { return 1 }", False),
        ("a.go", "package a\nfunc f() {}\n", "package a\n\n// doc\nfunc f() {\n}\n", True),
        ("a.rs", "fn f() { 1 }", "/// doc\nfn f() {\n    1\n}", True),
    ],
)
def test_versions_that_differ_in_layout_alone_are_equal(path: str, one: str, other: str, same: bool) -> None:
    assert (code.normal_form(path, one) == code.normal_form(path, other)) is same


@pytest.mark.parametrize(
    ("path", "text", "line"),
    [
        ("a.js", "f(\n", 1),
        ("a.ts", "let a: number = ;\n", 1),
        ("a.go", "package a\nfunc f( {\n}\n", 2),
        ("a.rs", "fn f( {}\n", 1),
    ],
)
def test_what_does_not_parse_is_said_with_its_line(path: str, text: str, line: int) -> None:
    assert code.syntax_error(path, text) == f"line {line}"
    assert code.normal_form(path, text) is None


def test_files_that_a_test_imports_are_found_by_their_relative_paths() -> None:
    known = {"lib/sums.js", "src/shop.ts", "index.js", "src/tools/index.ts", "src/other.ts"}
    text = (
        "const a = require('../lib/sums');\nimport b from \"../src/shop.js\";\n"
        "const c = await import('../src/tools');\n"
        "require('..');\nimport './gone.js';\nimport fs from 'fs';\n"
    )
    assert imported_files("test/a.test.ts", text, known) == {
        "lib/sums.js",
        "src/shop.ts",
        "index.js",
        "src/tools/index.ts",
    }


def test_what_a_program_wrote_has_no_functions() -> None:
    assert code.functions("a.js", "function f() {}\n" + "f();" * 2000) == []


def test_a_long_function_of_javascript_is_looked_into() -> None:
    body = "\n".join(f"  step({n});" for n in range(60))
    text = (
        f"module.exports = function (args) {{\n{body}\n  function inner(x) {{\n    return x;\n  }}\n"
        "  const other = (x) => {\n    return inner(x);\n  };\n  return other(args);\n};\n"
        "function short() {\n  function hidden() {}\n}\n"
    )
    found = [(one.name, one.first, one.last) for one in code.functions("a.js", text)]
    inner = [("module.exports.inner", 62, 64), ("module.exports.other", 65, 67)]
    assert found == [("module.exports", 1, 69), *inner, ("short", 70, 72)]
