"""The frame of a report page: one HTML file without scripts or outside files, for phones and dark rooms as well."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #525a66; --page: #fff; --line: #c9ced6;
  --c0: #2f6db5; --c1: #b3541e; --c2: #2b7a4b; --c3: #7a4aa8 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --faint: #b3bac4; --page: #14171b; --line: #454c57;
  --c0: #6ea8ec; --c1: #f0a070; --c2: #85cf9f; --c3: #c5a3ea } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, "Noto Sans Thai", sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 }
dt { color: var(--faint) } dd { margin: 0 }
.scroll { overflow-x: auto }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums }
caption { text-align: left; color: var(--faint); padding-bottom: .3rem }
th, td { padding: .25rem .5rem; text-align: right; white-space: nowrap } th:first-child { text-align: left }
thead th { color: var(--faint); font-weight: 600 } tbody th { font-weight: 600 }
tbody tr { border-top: 1px solid var(--line) }
figure { margin: 1rem 0 } figcaption { color: var(--faint) }
svg { width: 100%; height: auto; max-width: 48rem; font-size: 12px } svg text { fill: var(--ink) }
.grid { stroke: var(--line); stroke-width: 1 } .line { fill: none; stroke-width: 2 } .dot { stroke: none }
.whisker { stroke: var(--ink); stroke-width: 1.5; fill: none }
.bars { fill: var(--c0) } .bars.against { fill: var(--c1) }
.colour0 { --colour: var(--c0) } .colour1 { --colour: var(--c1) } .colour2 { --colour: var(--c2) }
.colour3 { --colour: var(--c3) }
.line { stroke: var(--colour) } .dot { fill: var(--colour) } .key { background: var(--colour) }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0 1.2rem; padding: 0; margin: .2rem 0 }
.key { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .4rem }
@media print { body { max-width: none } }
"""


def page(title: str, body: Iterable[str]) -> str:
    """Put parts of HTML together to a page, complete in itself."""
    heading = escape(title)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{heading}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{heading}</h1>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def entries(pairs: Sequence[tuple[str, str]]) -> str:
    """Words with their values."""
    return "<dl>" + "".join(f"<dt>{escape(word)}</dt><dd>{escape(value)}</dd>" for word, value in pairs) + "</dl>"


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table whose first column names the rows."""
    top = "".join(f'<th scope="col">{escape(word)}</th>' for word in head)
    lines = (
        f'<tr><th scope="row">{escape(name)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>"
        for name, *cells in rows
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )
