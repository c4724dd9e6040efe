"""The quality report as a page: one HTML file without scripts or outside files, for phones and dark rooms as well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from mpi.encoder.findings import Level, Section, finding
from mpi.encoder.report import SMALLEST_CELL, Figure, Report

_LEVELS = {Level.FIX: "put right", Level.LOOK: "look into", Level.NOTE: "for information"}
_MOST_FIRST = 5
"""Findings named under "What to do first"."""
_SUPPRESSED = "–"

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --faint: #525a66; --page: #fff; --line: #c9ced6; --bar: #2f6db5;
  --heat: 47 109 181; --fix: #a3260f; --look: #7a4b00; --note: #2b5c35; --alarm: #fdecea }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --faint: #b3bac4; --page: #14171b; --line: #454c57;
  --bar: #6ea8ec; --heat: 110 168 236; --fix: #ff9d8a; --look: #f3c06b; --note: #9bd3a6; --alarm: #3b1d19 } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 1rem; max-width: 60rem; background: var(--page); color: var(--ink);
  font: 1rem/1.5 system-ui, "Noto Sans Thai", sans-serif; overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem }
a { color: inherit }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0 }
dt { color: var(--faint) } dd { margin: 0 }
table { width: 100%; border-collapse: collapse; table-layout: fixed }
caption { text-align: left; color: var(--faint); padding-bottom: .3rem }
thead th { font-weight: 600; text-align: left; color: var(--faint) }
th, td { padding: .3rem .4rem; vertical-align: top; text-align: left }
tbody { border-top: 1px solid var(--line) }
tbody th { font-weight: 600 }
.number { width: 18%; text-align: right; padding-right: .8rem }
.share { width: 20% }
.words { color: var(--faint); padding-bottom: .7rem } .words p { margin: 0 0 .2rem }
.bar { display: block; height: .4rem; background: var(--line); border-radius: .2rem }
.bar span { display: block; height: 100%; background: var(--bar); border-radius: .2rem }
.level { font-size: .85rem; font-weight: 400; white-space: nowrap }
.fix { color: var(--fix) } .look { color: var(--look) } .note { color: var(--note) }
.alarm { background: var(--alarm); border-left: .3rem solid var(--fix); padding: .3rem .8rem }
.strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(3.2rem, 1fr)); gap: 2px; padding: 0;
  list-style: none }
.strip li { padding: .2rem .3rem; background: rgb(var(--heat) / var(--heat-share)); font-size: .9rem }
.strip b { display: block }
@media print { body { max-width: none } }
"""


def render_html(report: Report) -> str:
    """Render a report as one page, complete in itself."""
    title = f"Quality report of {escape(report.header.facility)}"
    body = "\n".join((
        *_head(title, report), *_alarms(report), *_first(report), *_sections(report), *_birth_dates(report)
    ))  # fmt: skip
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _head(title: str, report: Report) -> Iterator[str]:
    header = report.header
    entries = (
        ("Facility", header.facility),
        ("Extract", f"{header.extract} ({header.source})"),
        ("Rows in the extract", f"{report.rows:,}"),
        ("Records written", f"{report.records:,}"),
        ("Rows set aside", f"{report.rows - report.records:,}"),
        ("Made", header.made),
        ("Compared with the run of", report.before or "none: this is the first, or the last one was not kept"),
        ("Profile", header.profile),
        ("Key epochs", ", ".join(header.key_epochs)),
        ("Program, normaliser", f"{header.version}, {header.normaliser}"),
    )
    yield f"<h1>{title}</h1>"
    yield "<dl>" + "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in entries) + "</dl>"
    yield (
        "<p>This page holds counts and row numbers only: no name, number or date of any person. Row numbers are those "
        "of the extract, so the rows can be looked up where the extract is.</p>"
    )


def _alarms(report: Report) -> Iterator[str]:
    lines = [
        f"<li>{_link(figure)}: {_percent(figure.before or 0.0)} → {_percent(figure.share)}</li>"
        for figure in report.alarms
    ]
    if report.records_alarm:
        lines.insert(0, f"<li>Records written: {report.records_before:,} → {report.records:,}</li>")
    if lines:
        yield '<section class="alarm"><h2>Sudden changes since the run before</h2>'
        yield "<p>Find out what changed: the extract, the hospital system, or the way people are registered.</p>"
        yield f"<ul>{''.join(lines)}</ul></section>"


def _first(report: Report) -> Iterator[str]:
    urgent = [figure for figure in report.figures if figure.level is Level.FIX and figure.count]
    yield "<section><h2>What to do first</h2>"
    if urgent:
        urgent.sort(key=lambda figure: -figure.count)
        yield "<ol>"
        for figure in urgent[:_MOST_FIRST]:
            yield f"<li>{_link(figure)} ({figure.count:,}): {escape(finding(figure.key).action)}</li>"
        yield "</ol></section>"
    else:
        yield "<p>Nothing has to be put right.</p></section>"


def _sections(report: Report) -> Iterator[str]:
    for section in Section:
        figures = [figure for figure in report.figures if finding(figure.key).section is section]
        # A channel that no record has, and a figure that fell to nothing, say something as well.
        shown = [f for f in figures if f.count or f.alarm or f.key.startswith("channel:")]
        absent = [finding(figure.key).title for figure in figures if figure not in shown]
        yield f"<section><h2>{section.value}</h2>"
        if shown:
            yield "<table><caption>Rows concerned, their share, and its change in percentage points</caption>"
            yield '<thead><tr><th scope="col">Finding</th><th scope="col" class="number">Rows</th>'
            yield '<th scope="col" class="share">Share</th><th scope="col" class="number">Change</th>'
            yield "</tr></thead>"
            said = ""
            for figure in shown:
                words = _words(figure)
                # Channels follow each other with the same words.
                yield _row(figure, "" if words == said else words)
                said = words
            yield "</table>"
        if absent:
            yield f"<p>Not found: {escape('; '.join(absent))}.</p>"
        yield "</section>"


def _words(figure: Figure) -> str:
    words = finding(figure.key)
    return f"<p>{escape(words.meaning)}</p><p><b>To do:</b> {escape(words.action)}</p>{_examples(figure)}"


def _row(figure: Figure, words: str) -> str:
    change = "" if figure.change is None else f"{figure.change:+.1f}".replace("-0.0", "0.0").replace("+0.0", "0.0")
    below = f'<tr><td colspan="4" class="words">{words}</td></tr>' if words else ""
    marked = ' class="alarm"' if figure.alarm else ""
    sudden = ' <strong class="level fix">sudden change</strong>' if figure.alarm else ""
    return (
        f'<tbody id="{escape(figure.key)}"{marked}><tr><th scope="row">{escape(finding(figure.key).title)} '
        f'<span class="level {figure.level}">{_LEVELS[figure.level]}</span>{sudden}</th>'
        f'<td class="number">{figure.count:,}</td><td>{_percent(figure.share)}{_bar(figure.share)}</td>'
        f'<td class="number">{change}</td></tr>'
        f"{below}</tbody>"
    )


def _examples(figure: Figure) -> str:
    if figure.examples:
        shown = "; ".join(_numbers(group) for group in figure.examples)
        more = ", the first of them" if figure.groups > len(figure.examples) else ""
        return f"<details><summary>{figure.groups:,} groups of rows{more}</summary><p>{shown}</p></details>"
    if figure.rows:
        first = f"First {len(figure.rows)} rows" if figure.count > len(figure.rows) else "Rows"
        return f"<details><summary>{first}</summary><p>{_numbers(figure.rows)}</p></details>"
    return ""


def _birth_dates(report: Report) -> Iterator[str]:
    if not any(count is None or count for count in report.birth_days) and not report.birth_decades:
        return
    highest = max((count or 0 for count in report.birth_days), default=0) or 1
    yield "<section><h2>When people were born</h2>"
    yield (
        f"<p>Counts from 1 to {SMALLEST_CELL - 1} are suppressed ({_SUPPRESSED}), and another one where it would give "
        "them away.</p><h3>Day of the month, without 1 January</h3>"
        "<p>The days from 2 to 28 should be nearly alike.</p>"
    )
    yield '<ol class="strip">'
    for day, count in enumerate(report.birth_days, start=1):
        heat = 0.45 * (count or 0) / highest
        yield f'<li style="--heat-share: {heat:.2f}"><b>{day}</b>{_cell(count)}</li>'
    yield "</ol>"
    most = max((count or 0 for _, count in report.birth_decades), default=0) or 1
    yield "<table><caption>Birth dates by decade</caption>"
    yield '<thead><tr><th scope="col">Decade (CE)</th><th scope="col" class="number">Records</th>'
    yield '<th scope="col" class="share">Beside the largest</th></tr></thead><tbody>'
    for decade, count in report.birth_decades:
        bar = "" if count is None else _bar(count / most)
        yield f'<tr><th scope="row">{decade}s</th><td class="number">{_cell(count)}</td><td>{bar}</td></tr>'
    yield "</tbody></table></section>"


def _link(figure: Figure) -> str:
    return f'<a href="#{escape(figure.key)}">{escape(finding(figure.key).title)}</a>'


def _numbers(rows: Sequence[int]) -> str:
    return ", ".join(map(str, rows))


def _cell(count: int | None) -> str:
    return f'<span aria-label="suppressed">{_SUPPRESSED}</span>' if count is None else f"{count:,}"


def _percent(share: float) -> str:
    percent = 100 * share
    return "&lt;&nbsp;0.1&nbsp;%" if 0 < percent < 0.1 else f"{percent:.1f}&nbsp;%"


def _bar(share: float) -> str:
    return f'<span class="bar" aria-hidden="true"><span style="width: {100 * share:.1f}%"></span></span>'
