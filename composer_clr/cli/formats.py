"""The tables of the commands as Markdown and LaTeX, for a page or a paper."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from rich.table import Table
from rich.text import Text

from composer_clr.curves.curve import CurveError

__all__ = ['FORMATS', 'check_format', 'latex', 'markdown']

_LATEX = str.maketrans(
    {
        '\\': r'\textbackslash{}',
        '&': r'\&',
        '%': r'\%',
        '$': r'\$',
        '#': r'\#',
        '_': r'\_',
        '{': r'\{',
        '}': r'\}',
        '[': '{[}',  # at the start of a row it would be an argument of the row before
        '~': r'\textasciitilde{}',
        '^': r'\textasciicircum{}',
        '<': r'\textless{}',
        '>': r'\textgreater{}',
        '±': r'$\pm$',
        '×': r'$\times$',
        '≤': r'$\leq$',
        '≥': r'$\geq$',
    }
)
# A number with its sign: a hyphen is not a minus.
_SIGNED = re.compile(r'(?<![\w.$)-])([+-][0-9][0-9.]*)(?![\w.])')
_MARKDOWN = str.maketrans({mark: f'\\{mark}' for mark in r'\`*_{}[]<>#|~$'})


def check_format(form: str) -> None:
    """Refuses a format that tables are not written in.

    Raises:
        CurveError: If the name is unknown.
    """
    if form not in ('text', *FORMATS):
        raise CurveError(f'--format {form}: choose one of text, {", ".join(FORMATS)}')


def markdown(table: Table, notes: Sequence[str]) -> str:
    """Returns a table as Markdown: its title, a pipe table, and a list of notes.

    Example:
        >>> table = Table('method', title='gain')
        >>> table.add_row('a_b')
        >>> print(markdown(table, ['one seed']))
        **gain**
        <BLANKLINE>
        | method |
        |:---|
        | a\\_b |
        <BLANKLINE>
        - one seed
    """
    header, *rows = _cells(table)
    rules = ['---:' if column.justify == 'right' else ':---' for column in table.columns]
    lines = [f'| {" | ".join(cell.translate(_MARKDOWN) for cell in row)} |' for row in [header, *rows]]
    lines.insert(1, f'|{"|".join(rules)}|')
    title = [f'**{_plain(table.title).translate(_MARKDOWN)}**', ''] if table.title else []
    listed = ['', *(f'- {_plain(note).translate(_MARKDOWN)}' for note in notes)] if notes else []
    return '\n'.join([*title, *lines, *listed])


def latex(table: Table, notes: Sequence[str]) -> str:
    r"""Returns a table as a LaTeX ``tabular`` for the package ``booktabs``; title and notes are comments.

    Example:
        >>> table = Table('method', 'gain')
        >>> table.add_row('a_b', '-1%')
        >>> print(latex(table, []))
        % \usepackage{booktabs}
        \begin{tabular}{ll}
        \toprule
        method & gain \\
        \midrule
        a\_b & $-1$\% \\
        \bottomrule
        \end{tabular}
    """
    header, *rows = (' & '.join(map(_latex_cell, row)) + r' \\' for row in _cells(table))
    columns = ''.join('r' if column.justify == 'right' else 'l' for column in table.columns)
    comments = [f'% {_plain(line)}' for line in [*([table.title] if table.title else []), *notes]]
    comments.append(r'% \usepackage{booktabs}')
    start = [rf'\begin{{tabular}}{{{columns}}}', r'\toprule', header, r'\midrule']
    return '\n'.join([*comments, *start, *rows, r'\bottomrule', r'\end{tabular}'])


FORMATS: dict[str, Callable[[Table, Sequence[str]], str]] = {'markdown': markdown, 'latex': latex}


def _latex_cell(text: str) -> str:
    text = text.replace('<=', '≤').replace('>=', '≥')
    return _SIGNED.sub(r'$\1$', text.translate(_LATEX))


def _cells(table: Table) -> list[list[str]]:
    columns = [[_plain(column.header), *map(_plain, column.cells)] for column in table.columns]
    return [list(row) for row in zip(*columns, strict=True)]


def _plain(text: object) -> str:
    return Text.from_markup(str(text)).plain.replace('\n', ', ')
