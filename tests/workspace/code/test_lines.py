"""Which lines hold code that can be wrong by itself, in every language that is read by its grammar."""

from __future__ import annotations

import pytest

from inhouse.workspace.code.lines import code_lines

# Lines that count end in a comment with a "*" in it.
PYTHON = '''\
"""A module.

Its text."""
import os
from sums import (
    total,
)

RATES = [  # *
    1,  # *
    # the second
    2,  # *
]


@cached
def price(
    amount,
    rate=1,
):
    """What it costs."""
    global count
    if (amount and  # *
        rate):  # *
        pass  # *
    elif rate: return 2  # *
    else:
        try:
            send()  # *
        except ValueError as error:  # *
            raise  # *
        except:
            pass  # *
        finally:
            close()  # *
    with opened() as file:  # *
        match file:  # *
            case [1, *rest] if rest:  # *
                return sum(  # *
                    rest,  # *
                )
    for one in range(3): print(one)  # *
    def inner():
        return [  # *
            x for x in amount  # *
        ]


class Shop(Base):
    limit: int = 1  # *
    """A limit."""
    def close(self): ...  # *
'''
JAVASCRIPT = """\
'use strict';
const fs = require('fs');
import path from 'path';
exports.total = xs => xs.reduce((a, b) => a + b, 1); // *
/**
 * Sums.
 */
function sum(a, b) {
  // a comment
  if (a) { // *
    return b; // *
  } else if (b) { // *
    try {
      send(); // *
    } catch (error) {
      log(error); // *
    }
  } else {
  }
  switch (a) { // *
    case 1: // *
      break; // *
    default:
      xs.map((x) => { // *
        return x; // *
      });
  }
}
export const late = async (a) => {
  await a; // *
};
class Shop extends Base {
  static #limit = 1; // *
  get limit() {
    return this.#limit; // *
  }
}
module.exports = { // *
  sum, // *
  close: function () {
    return 1; // *
  },
};
export default function () {
  return 2; // *
}
"""
TYPESCRIPT = """\
import type { Rate } from "./rate";
interface Priced {
  price: number;
}
type Amount = number | string;
export abstract class Shop<T> extends Base {
  private readonly rate: number = 3; // *
  handler = async (x: number): Promise<void> => {
    await this.send(x); // *
  };
  total(a: number): number;
  total(a: string): number;
  total(
    a: any,
    b = 2,
  ): number {
    for (const x of a) { // *
      this.sum += x as number; // *
    }
    return this.sum!; // *
  }
}
"""
GO = """\
// Package sums adds.
package sums

import (
	"fmt"
)

const Rate = 10 // *

// Occurrences counts.
func (s *Schedule) Occurrences(a, b int) (int, error) {
	if a > b { // *
		return 0, nil // *
	} else {
		b++ // *
	}
	switch {
	case a == 1: // *
		s.send() // *
	default:
	}
	go func() { // *
		s.send() // *
	}()
	return 1, fmt.Errorf( // *
		"no", // *
	)
}
"""
RUST = """\
use std::fmt;
mod other;
/// What is bought.
#[derive(Debug)]
impl<T> Price for Shop<T> {
    #[inline]
    pub fn total(&self, xs: &[i32]) -> i32
    where
        T: Copy,
    {
        let mut sum = 0; // *
        for x in xs { // *
            sum += x; // *
        }
        match sum { // *
            0 => 1, // *
            _ => { // *
                loop {
                    break; // *
                }
            }
        }
    }
}
#[cfg(test)]
mod tests {
    #[test]
    fn adds() {
        assert_eq!(total(), 1); // *
    }
}
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [("a.py", PYTHON), ("a.js", JAVASCRIPT), ("a.ts", TYPESCRIPT), ("a.go", GO), ("a.rs", RUST)],
)
def test_statements_and_conditions_count_and_what_frames_them_does_not(path: str, text: str) -> None:
    wanted = [number for number, line in enumerate(text.split("\n"), 1) if line.endswith(("# *", "// *"))]
    assert code_lines(path, text, 1, 1000) == wanted


def test_only_lines_of_the_range_are_told() -> None:
    assert code_lines("a.py", "a = 1\nb = 2\nc = 3\n", 2, 2) == [2]
    assert code_lines("a.py", "a = 1\n", -3, 9) == [1]


@pytest.mark.parametrize("odd", ["\f", "\u2028", "\x85", "\r", "\v"])
def test_lines_end_with_a_newline_alone(odd: str) -> None:
    assert code_lines("a.py", f"# a{odd}b\n\n\nc = 3\n", 1, 9) == [4]
    assert code_lines("a.js", f"/* a{odd}b */\n\n\nc = 3\n", 1, 9) == [4]
    assert code_lines("a.txt", f"# a{odd}b\n\n\nc = 3\n", 1, 9) == [4]


def test_text_inside_strings_is_neither_comment_nor_bracket() -> None:
    assert code_lines("a.py", 'x = """\n# a\n)\n"""\n', 1, 9) == [1, 2, 3, 4]
    assert code_lines("a.js", "x = `\n// a\n)\n`\n", 1, 9) == [1, 2, 3]
    assert code_lines("a.go", "var x = `\n// a\n)\n`\n", 1, 9) == [1, 2, 3]


def test_what_is_not_parsed_is_told_by_its_letters() -> None:
    assert code_lines("a.py", "def f(:\n    # a\n    return 1\n)\n", 1, 9) == [1, 3]
    assert code_lines("a.rb", "# a\nif b\n  c\nelse\n  d\nend\n", 1, 9) == [2, 3, 5]
