"""Lays out a page: sections of text, tables and figures as one HTML file, of which nothing leaves the reader's machine.

A policy in the page allows its own scripts alone, by their digests, so that no name from a file can run as one.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha384
from html import escape
from importlib.resources import files
from string import Template

from composer_clr import __version__
from composer_clr.report.plots import Plot
from composer_clr.utils.errors import UserError, printable

__all__ = ['GENERATOR', 'Section', 'page']

# What tells a page of ours from other files.
GENERATOR = '<meta name="generator" content="composer_clr '
_CDN = 'https://cdn.plot.ly/plotly-{}.min.js'
# Title, headers, rows, and how many columns on the left hold names.
TableText = tuple[str, Sequence[str], Sequence[Sequence[str]], int]
# A cell that is longer is broken over several lines.
_LONG = 40
# A browser is slow with more.
_MOST_ROWS = 2000


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes:
        title (str): Its heading; the first one of a page needs none.
        answer (Sequence[str]): Lines that stand out.
        plots (Sequence[Plot]): Figures.
        tables (Sequence[TableText]): Tables: title, headers, rows, and the number of columns that hold names.
        folded (Sequence[tuple[str, Sequence[TableText]]]): Tables that a click shows, under what they are.
        notes (Sequence[str]): Lines of a list.
        code (Sequence[str]): Commands.
    """

    title: str = ''
    answer: Sequence[str] = ()
    plots: Sequence[Plot] = ()
    tables: Sequence[TableText] = ()
    folded: Sequence[tuple[str, Sequence[TableText]]] = ()
    notes: Sequence[str] = ()
    code: Sequence[str] = ()


def page(
    title: str, about: str, sections: Iterable[Section], *, cdn: bool = False, refresh_s: int | None = None
) -> str:
    """Returns a page as HTML, which is the same for the same content.

    Args:
        title (str): Its title.
        about (str): A line below it.
        sections (Iterable[Section]): What it shows; those that are empty are left out.
        cdn (bool): Whether the reader's browser loads plotly from its makers' network, in place of the 5 MB that are
            otherwise in the page. Default: ``False``.
        refresh_s (int | None): Seconds after which a browser reads it again. Default: ``None``, never.

    Raises:
        UserError: If plotly is not installed.
    """
    try:
        from plotly.offline import get_plotlyjs, get_plotlyjs_version
    except ImportError as error:
        raise UserError("a page needs plotly: pip install 'composer_clr[report]'") from error
    shown = [section for section in sections if any(value for name, value in vars(section).items() if name != 'title')]
    plotly, script = get_plotlyjs(), _asset('page.js')
    source = _CDN.format(get_plotlyjs_version())
    loaded = f'<script>{plotly}</script>'
    if cdn:
        loaded = f'<script src="{source}" integrity="{_digest(plotly)}" crossorigin="anonymous"></script>'
    policy = {
        'default-src': "'none'",
        'script-src': f"'{_digest(script)}' {source if cdn else repr(_digest(plotly))}",
        'style-src': "'unsafe-inline'",
        'img-src': 'data: blob:',
    }
    return Template(_asset('page.html')).substitute(
        policy='; '.join(' '.join(rule) for rule in policy.items()),
        version=__version__,
        refresh='' if refresh_s is None else f'<meta http-equiv="refresh" content="{refresh_s}">\n',
        title=_html(title),
        style=_asset('page.css'),
        about=_html(about),
        sections='\n'.join(map(_section, shown)),
        figures=_json([plot.values for section in shown for plot in section.plots]),
        plotly=loaded,
        script=script,
    )


def _asset(name: str) -> str:
    return files('composer_clr.report').joinpath(name).read_text('utf-8')


def _digest(script: str) -> str:
    return f'sha384-{b64encode(sha384(script.encode()).digest()).decode()}'


def _json(values: object) -> str:
    """Returns values as JSON that ends no script.

    Example:
        >>> print(_json(['</script>']))
        ["\\u003c/script\\u003e"]
    """
    return json.dumps(values, allow_nan=False).replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')


def _html(text: str) -> str:
    return escape(printable(text))


def _section(section: Section) -> str:
    parts = [
        f'<h2>{_html(section.title)}</h2>' if section.title else '',
        _list(section.answer, 'answer'),
        *map(_figure, section.plots),
        *map(_table, section.tables),
        _list(section.notes, 'note'),
        *(_folded(what, tables) for what, tables in section.folded),
        f'<pre>{"<br>".join(map(_html, section.code))}</pre>' if section.code else '',
    ]
    return '\n'.join(['<section>', *filter(None, parts), '</section>'])


def _folded(what: str, tables: Sequence[TableText]) -> str:
    shown = ''.join(map(_table, tables))
    return f'<details><summary>{_html(what)}</summary>{shown}</details>' if shown else ''


def _list(lines: Sequence[str], name: str) -> str:
    return f'<ul class="{name}">{"".join(f"<li>{_html(line)}</li>" for line in lines)}</ul>' if lines else ''


def _figure(plot: Plot) -> str:
    name = plot.values['id']
    choices = {
        'axis': plot.axes,
        'scale': {'log': 'log', 'linear': 'linear'},
        'intervals': {'shown': '95% intervals', 'hidden': 'none'} if plot.has_intervals else {},
    }
    groups = [
        f'<span role="group" aria-label="{kind}">{"".join(_button(name, kind, *one) for one in of_kind.items())}</span>'
        for kind, of_kind in choices.items()
        if len(of_kind) > 1
    ]
    drawn = f'<div class="plot" id="{name}" role="img" aria-label="{_html(f"{plot.title}: {plot.said}")}"></div>'
    caption = f'<figcaption>{_html(plot.title)}</figcaption>'
    return f'<figure><div class="buttons">{"".join(groups)}</div>{caption}{drawn}</figure>'


def _button(figure: str, kind: str, choice: str, name: str) -> str:
    return f'<button type="button" data-figure="{figure}" data-{kind}="{choice}">{_html(name)}</button>'


def _table(table: TableText) -> str:
    title, headers, rows, names = table
    # A column without a cell, such as the GPU-hours of runs that do not record their ranks, is left out.
    kept = [column for column in range(len(headers)) if any(row[column] for row in rows)]
    if not kept:
        return ''

    def cell(text: str, column: int, tag: str) -> str:
        kind = 'long' if len(text) > _LONG else 'name' if column < names else ''
        kind = f' class="{kind}"' if kind else ''
        scope = ' scope="col"' if tag == 'th' else ''
        return f'<{tag}{kind}{scope}>{_html(text)}</{tag}>'

    lines = [
        f'<tr>{"".join(cell(row[column], column, tag) for column in kept)}</tr>'
        for tag, row in (('th', headers), *(('td', row) for row in rows[:_MOST_ROWS]))
    ]
    if len(rows) > _MOST_ROWS:
        title = f'{title}; the first {_MOST_ROWS:,} of {len(rows):,} rows'
    # A table that is wider than the page moves alone, also by keys.
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{_html(title)}"><table><caption>{_html(title)}'
        f'</caption><thead>{lines[0]}</thead><tbody>{"".join(lines[1:])}</tbody></table></div>'
    )
