"""Jinja's sandbox with a budget, for templates from files that nobody vetted. Knows nothing of chats.

Jinja's own sandbox keeps a template from Python's internals but lets it loop for ever or double a string forty times.
Here every loop and call costs steps, and everything repeated, concatenated or put out has a greatest size. The loops
and concatenations are found in the syntax tree and led through two filters; calls and operators have hooks. The budget
travels in the template's context under a name that no template can write. What remains is the width in a format
string ("%9999999d"): it is bounded by memory alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any

from jinja2 import Template, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

BUDGET = "the budget"  # two words: no identifier of the language
_MAX_INTEGER = 1 << 24
_CHARACTERS_PER_STEP = 1 << 12
_STEPS_PER_CALL = 16


class BudgetError(Exception):
    """A template wanted more than it may; the message continues "the template ..."."""


class Budget:
    """What one rendering may use: `steps` of loops and calls, `size` characters of any one value."""

    def __init__(self, steps: int = 10_000_000, size: int = 1 << 26) -> None:
        self._steps = steps
        self._size = size

    def spend(self, steps: int) -> None:
        self._steps -= steps
        if self._steps < 0:
            raise BudgetError("loops or calls without end")

    def check_size(self, size: int) -> None:
        """A value of `size` is about to be made: refuse it, or take the time that it costs."""
        if size > self._size:
            raise BudgetError(f"builds a value of {size} characters or more (at most {self._size})")
        self.spend(size // _CHARACTERS_PER_STEP)

    def joined(self, pieces: Iterable[str]) -> str:
        """The output, refused as soon as it is too long."""
        kept, size = [], 0
        for piece in pieces:
            size += len(piece)
            if size > self._size:
                raise BudgetError(f"writes more than {self._size} characters")
            kept.append(piece)
        return "".join(kept)


class BudgetedEnvironment(ImmutableSandboxedEnvironment):
    """Compile templates with `budgeted`; render them with a Budget under the name BUDGET."""

    intercepted_binops = frozenset({"+", "*", "**"})

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.filters["_counted"] = _counted
        self.filters["_concatenated"] = _concatenated

    def budgeted(self, source: str) -> Template:
        """A template whose loops and concatenations are counted. Raises jinja2.TemplateSyntaxError."""
        tree = self.parse(source)
        _Counting().visit(tree)
        return self.from_string(tree)

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        budget = _budget(__context)
        budget.spend(_STEPS_PER_CALL)
        for value in (*args, *kwargs.values()):
            if isinstance(value, int) and abs(value) > _MAX_INTEGER:  # a width, or a count of repetitions
                raise BudgetError(f"calls a function with the number {value} (at most {_MAX_INTEGER})")
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = _budget(context)
        if operator == "+" and isinstance(left, Sized) and isinstance(right, Sized):
            budget.check_size(_size(left) + _size(right))
        elif operator == "*":
            for value, count in ((left, right), (right, left)):
                if isinstance(value, Sized) and isinstance(count, int):
                    budget.check_size(_size(value) * max(count, 0))
        elif operator == "**" and isinstance(right, int):
            budget.check_size(right * int(left).bit_length() if isinstance(left, int) else 0)
        return super().call_binop(context, operator, left, right)


class _Counting(NodeTransformer):
    """Leads what is looped over, and what is concatenated, through the counting filters."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_counted")
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:  # noqa: N802
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes, lineno=node.lineno, environment=node.environment), "_concatenated")


def _filtered(node: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


def _size(value: Sized) -> int:
    """In characters; an item of a list weighs as much as eight."""
    return len(value) if isinstance(value, str) else 8 * len(value)


def _budget(context: Context) -> Budget:
    budget = context.resolve(BUDGET)
    assert isinstance(budget, Budget), "render with a budget"
    return budget


@pass_context
def _counted(context: Context, items: Any) -> Any:
    """`items`, paid for: at once where their number is known, else one by one."""
    budget = _budget(context)
    if isinstance(items, Sized):
        budget.spend(len(items))
        return items
    return _one_by_one(budget, items)


def _one_by_one(budget: Budget, items: Iterable[Any]) -> Iterator[Any]:
    for item in items:
        budget.spend(1)
        yield item


@pass_context
def _concatenated(context: Context, items: list[Any]) -> str:
    texts = [str(item) for item in items]
    _budget(context).check_size(sum(map(len, texts)))
    return "".join(texts)
