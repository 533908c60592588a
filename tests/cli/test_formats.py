"""Tables as Markdown and LaTeX: no name breaks them."""

import pytest
from rich.markup import escape
from rich.table import Table

from composer_clr.cli.formats import latex, markdown

NAMES = ['a|b', '[red]x[/red]', '50% & $\\frac{1}{2}$', '# no heading', 'a_b*c', '<script>']


def table_of(name: str) -> Table:
    table = Table('method', title=escape(name))
    table.add_column('gain', justify='right')
    table.add_row(escape(name), '1')
    return table


@pytest.mark.parametrize('name', NAMES)
def test_markdown_has_as_many_cells_in_every_row(name):
    title, _, *rows, _, note = markdown(table_of(name), [escape(name)]).splitlines()
    assert rows[1] == '|:---|---:|'
    assert [row.replace('\\|', '').count('|') for row in rows] == [3, 3, 3]
    assert title.startswith('**')
    assert note.startswith('- ')
    assert '<' not in note.replace('\\<', '')


@pytest.mark.parametrize('name', NAMES)
def test_latex_escapes_what_it_reads_as_a_command(name):
    lines = latex(table_of(name), [escape(name)]).splitlines()
    (row,) = [line for line in lines if line.endswith(r'& 1 \\')]
    for special in '&%$#_':
        assert row.removesuffix(r' & 1 \\').count(special) == row.count(f'\\{special}') or special == '$'
    assert all(line.startswith('%') for line in lines[:2])
