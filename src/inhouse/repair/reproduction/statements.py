"""What a report of a fault states outright: an expression of the program, the value it gives, the value it should give.

Only what parses as Python is taken, so that a test can be made of it word for word, without a model. Knows the phrases
that people use ("f(1) gives 2 instead of 3", "f(1) should be 3", "expected 3, got 2", "assert f(1) == 3"); where a
report says it otherwise nothing is found. Runs nothing.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from inhouse.workspace import source

_LONGEST = 400  # characters of an expression
_CALLED = re.compile(r"(?<![\w.])[A-Za-z_][\w.]*\(")
_GIVES = (
    r"(?:now\s+|currently\s+|wrongly\s+|incorrectly\s+)?"
    r"(?:gives?|returns?|returned|is|are|yields?|produces?|prints?|evaluates\s+to|comes\s+out\s+as|->|=>|→)"
)
_INSTEAD = (
    r"(?:,?\s*(?:instead\s+of(?:\s+(?:returning|giving))?|rather\s+than|"
    r"(?:but|and|when\s+it|where\s+it|it)?\s*should\s+(?:be|have\s+been|give|return)|(?:but\s+)?not|(?:but\s+)?expected))"
)
_ACTUAL_FIRST = re.compile(rf"\s*{_GIVES}\s+")
_THEN_EXPECTED = re.compile(rf"{_INSTEAD}(?:\s+(?:to\s+be|the\s+expected|it\s+to\s+be))?:?\s+")
_EXPECTED_FIRST = re.compile(
    r"\s*(?:,\s*)?(?:should|must|ought\s+to|has\s+to|is\s+(?:expected|supposed)\s+to)\s+"
    r"(?:be|give|return|yield|produce|equal|evaluate\s+to)\s+"
)
_THEN_ACTUAL = re.compile(r"[,;]?\s*(?:but|and|yet|not)(?:\s+(?:it\s+)?(?:is|gives?|returns?|got|was|yields?))?\s+")
_EQUALS = re.compile(r"\s*==\s*")
_EXPECTED_GOT = re.compile(r"[:;,]?\s*(?:I\s+)?expected:?\s+", re.IGNORECASE)
_GOT = re.compile(r"[,;]?\s*(?:but\s+)?(?:I\s+)?(?:got|was|is|received|actual(?:ly)?):?\s+", re.IGNORECASE)
_RAISES = re.compile(
    rf"\s*(?:should|must)\s+raise\s+(?:an?\s+)?`?(?P<name>[A-Z]\w*(?:\.\w+)*)`?|"
    rf"\s*{_GIVES}.{{0,80}}?instead\s+of\s+raising\s+(?:an?\s+)?`?(?P<other>[A-Z]\w*(?:\.\w+)*)`?"
)
_FAILS = re.compile(
    r"\s*(?:raises?|throws|fails\s+with|crashes\s+with|dies\s+with)\s+(?:an?\s+)?`?[A-Za-z][\w.]*`?(?:\([^)\n]*\)|:[^,;\n]*)?"
)
_EXPECTED_BEFORE = re.compile(r"expected\s+(?P<value>\S.{0,120}?)\s+(?:for|from|of)\s+`?$", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?(?:\d[\d_]*(?:\.\d+)?(?:[eE][-+]?\d+)?j?|\.\d+)(?!\w)")
_WORD = re.compile(r"(?:None|True|False)\b")
_STRING = re.compile(r"[rbuRBU]{0,2}('''|\"\"\"|'|\")")
_OPENING, _CLOSING = "([{", ")]}"


@dataclass(frozen=True)
class Statement:
    """An expression (Python, as text) with the value it should have, or the exception it should raise ("" for none).

    `actual` is the value that the report says it has; "" where it does not say.
    """

    expression: str
    expected: str
    actual: str = ""
    raises: str = ""

    @property
    def assertion(self) -> str:
        """The lines of a test that hold it to be true."""
        if self.raises:
            return f"with pytest.raises({self.raises}):\n    {self.expression}"
        sign = "is" if self.expected in ("None", "True", "False") else "=="
        return f"assert {self.expression} {sign} {self.expected}"


def statements(report: str) -> list[Statement]:
    """What a report states of expressions with a call, in order, each once."""
    found: list[Statement] = []
    at = 0
    while match := _CALLED.search(report, at):
        end = _expression_end(report, match.start())
        if end is None:
            at = match.end()
            continue
        expression = report[match.start() : end]
        at = end
        stated = _stated(expression, report[: match.start()], _skipped(report, end))
        if stated is not None:
            found.append(stated)
    return list(dict.fromkeys(found))


def contradicts(assertion: str, stated: list[Statement]) -> str:
    """Why a test's assertion cannot be meant, by what the report states; "" where it can."""
    tree = source.parse(assertion)
    compared = next((n for n in ast.walk(tree) if isinstance(n, ast.Compare)), None) if tree else None
    if compared is None or len(compared.ops) != 1 or not isinstance(compared.ops[0], ast.Eq | ast.Is):
        return ""
    sides = {ast.unparse(compared.left), ast.unparse(compared.comparators[0])}
    for one in stated:
        plain = _plain(one.expression)
        if plain in sides and one.actual and _plain(one.actual) in sides:
            return f"it holds {one.actual} to be right, which the report says is wrong"
        if plain in sides and one.expected and _plain(one.expected) not in sides:
            return f"the report says that {one.expression} should be {one.expected}"
    return ""


def _stated(expression: str, before: str, rest: str) -> Statement | None:
    """What the words around an expression say of it."""
    if (said := _EXPECTED_BEFORE.search(before)) and (wanted := _value(said["value"])):
        got = _GOT.match(rest)
        had = _value(rest[got.end() :]) if got else None
        return Statement(expression, wanted[0], had[0] if had else "")
    if (fails := _FAILS.match(rest)) and (then := _THEN_EXPECTED.match(rest, fails.end())):
        wanted = _value(rest[then.end() :])
        return Statement(expression, wanted[0]) if wanted else None
    if raised := _RAISES.match(rest):
        return Statement(expression, "", "", raised["name"] or raised["other"])
    for first, between, actual_first in (
        (_ACTUAL_FIRST, _THEN_EXPECTED, True),
        (_EXPECTED_FIRST, _THEN_ACTUAL, False),
        (_EXPECTED_GOT, _GOT, False),
    ):
        began = first.match(rest)
        one = _value(rest[began.end() :]) if began else None
        if began is None or one is None:
            continue
        after = _skipped(rest, began.end() + one[1])
        then = between.match(after)
        other = _value(after[then.end() :]) if then else None
        if actual_first and other is not None:
            return Statement(expression, other[0], one[0])
        if not actual_first:
            return Statement(expression, one[0], other[0] if other else "")
    if (equal := _EQUALS.match(rest)) and (one := _value(rest[equal.end() :])):
        return Statement(expression, one[0])
    return None


def _expression_end(text: str, start: int) -> int | None:
    """Where the longest expression with a call that begins at `start` ends; None for none that is all values."""
    best = None
    for end in range(start + 3, min(len(text), start + _LONGEST) + 1):
        if text[end - 1] not in _CLOSING and not (text[end - 1].isalnum() and "." in text[start:end]):
            continue
        if text[end - 1].isalnum() and end < len(text) and (text[end].isalnum() or text[end] in "_(["):
            continue
        tree = source.parse(text[start:end])
        node = tree.body[0] if tree is not None and len(tree.body) == 1 else None
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.Subscript | ast.Attribute):
            best = end if _all_values(node.value) else best
            if end < len(text) and text[end] not in ".[(":
                break
    return best


def _all_values(expression: ast.expr) -> bool:
    """Whether an expression means the same wherever it stands: no names in it but those of what it calls."""
    calls = [call for call in ast.walk(expression) if isinstance(call, ast.Call)]
    named = {name for call in calls for name in ast.walk(call.func) if isinstance(name, ast.Name)}
    bound = {arg.arg for node in ast.walk(expression) if isinstance(node, ast.Lambda) for arg in node.args.args}
    used = (node for node in ast.walk(expression) if isinstance(node, ast.Name))
    return bool(calls) and all(node in named or node.id in bound for node in used)


def _value(text: str) -> tuple[str, int] | None:
    """The Python value that a text begins with, and where it ends; quotation marks of prose around it are skipped."""
    skipped = len(text) - len(text.lstrip("`"))
    text = text[skipped:]
    if simple := _NUMBER.match(text) or _WORD.match(text):
        return simple[0], skipped + simple.end()
    if text[:1] in _OPENING[1:] + "(" or _STRING.match(text) or _CALLED.match(text):
        for end in range(1, min(len(text), _LONGEST) + 1):
            if text[end - 1] not in ")]}'\"":
                continue
            tree = source.parse(text[:end])
            node = tree.body[0] if tree is not None and len(tree.body) == 1 else None
            if isinstance(node, ast.Expr) and _is_value(node.value):
                return text[:end], skipped + end
    return None


def _is_value(node: ast.expr) -> bool:
    called = {call.func for call in ast.walk(node) if isinstance(call, ast.Call)}
    inner = {name for func in called for name in ast.walk(func)}
    return not any(isinstance(n, ast.Name) and n not in inner for n in ast.walk(node))


def _skipped(text: str, at: int) -> str:
    """What follows, without the quotation mark of prose that closes what stood before."""
    return text[at:].removeprefix("`").removeprefix("`")


def _plain(expression: str) -> str:
    tree = source.parse(expression)
    return ast.unparse(tree) if tree is not None else expression
