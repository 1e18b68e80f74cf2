"""A comparison as a table in Markdown and as a picture in SVG. Knows only `compare.summarise`'s numbers."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

_COLOURS = ("#2563eb", "#9ca3af")
_WIDTH, _BAR, _LEFT = 720, 18, 190


def to_markdown(summary: Mapping[str, Any], title: str) -> str:
    """Medians, ratios and what else was measured."""
    ours, peer = summary["engines"].values()
    lines = [
        f"### {title}",
        "",
        f"Medians of {summary['runs']} runs each, one process after the other in turn. {ours['name']}; {peer['name']}. "
        f"Memory reads {summary['read_bandwidth'] / 1e9:.1f} GB/s.",
        "",
        "| | inhouse | llama.cpp | ratio |",
        "|---|---|---|---|",
    ]
    for name, ratio in summary["ratios"].items():
        speeds = [f"{engine['tokens_per_second'][name]:.1f} tok/s" for engine in (ours, peer)]
        lines.append(f"| {name} | {speeds[0]} | {speeds[1]} | {ratio:.2f} × |")
    shares = [f"{engine['bandwidth_share']:.0%}" for engine in (ours, peer)]
    starts = [f"{engine['start_to_first_token']:.1f} s" for engine in (ours, peer)]
    peaks = [f"{engine['peak_memory'] / 1e9:.2f} GB" for engine in (ours, peer)]
    lines.append(f"| decode's share of that bandwidth | {shares[0]} | {shares[1]} | |")
    lines.append(f"| start to first token | {starts[0]} | {starts[1]} | |")
    lines.append(f"| peak memory | {peaks[0]} | {peaks[1]} | |")
    return "\n".join(lines) + "\n"


def to_svg(summary: Mapping[str, Any], title: str) -> str:
    """Two bars per figure, the faster one as long as the picture allows; numbers beside them."""
    engines = list(summary["engines"].items())
    parts = [f'<text x="12" y="26" font-size="16" font-weight="600">{escape(title)}, tokens per second</text>']
    for index, (kind, _) in enumerate(engines):
        x = 12 + 110 * index
        parts.append(f'<rect x="{x}" y="40" width="12" height="12" fill="{_COLOURS[index]}"/>')
        parts.append(f'<text x="{x + 18}" y="51">{escape(kind)}</text>')
    y = 70
    for name, ratio in summary["ratios"].items():
        rates = [engine["tokens_per_second"][name] for _, engine in engines]
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 24}" text-anchor="end">{escape(name)} ({ratio:.2f} ×)</text>')
        for index, rate in enumerate(rates):
            width = max(1.0, (_WIDTH - _LEFT - 80) * rate / max(rates))
            top = y + index * (_BAR + 2)
            colour = _COLOURS[index]
            parts.append(f'<rect x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" fill="{colour}"/>')
            parts.append(f'<text x="{_LEFT + width + 6:.1f}" y="{top + 14}">{rate:.1f}</text>')
        y += 2 * _BAR + 16
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" width="{_WIDTH}" height="{y}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#111827">\n'
        f'<rect width="{_WIDTH}" height="{y}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )
