"""Tables: no name breaks them, and they fit whatever is in them."""

import math

import pytest

from composer_clr.cli.tables import WIDTH, Table, open_ends, show, with_interval

NAMES = ['a|b', '[red]x[/red]', '50% & $\\frac{1}{2}$', '# no heading', 'a_b*c', '<script>', '\x1b[2J', 'a\nb']


def written(capsys, table: Table, form: str, *notes: str, **options) -> list[str]:
    show(table, notes, form=form, **options)
    return capsys.readouterr().out.removesuffix('\n\n').splitlines()


@pytest.mark.parametrize('name', NAMES)
def test_a_name_is_literal_in_every_format(capsys, name):
    table = Table(name, ['method', 'gain'], [[name, '-1.00 ±0.10'], ['b', '[1, 2]']])
    *_, row, other, note = written(capsys, table, 'text', name)
    assert row.endswith('-1.00 ±0.10')
    assert other.split() == ['b', '[1,', '2]']
    assert note.isprintable()
    title, _, _, rule, row, _, _, note = written(capsys, table, 'markdown', name)
    assert (title[:2], note[:2]) == ('**', '- ')
    assert rule.replace('-', '') == '|:|:|'
    assert row.replace('\\|', '').count('|') == 3
    assert '<' not in row.replace('\\<', '')
    *comments, _, top, _, head, mid, row, other, bottom, _ = written(capsys, table, 'latex', name)
    assert all(line.startswith('% ') for line in comments)
    assert (top, mid, bottom) == (r'\begin{tabular}{lr}', r'\midrule', r'\bottomrule') or '&' in head
    assert '$-$1.00 $\\pm$0.10' in row
    assert '{[}1, 2]' in other
    cell = row.rpartition('&')[0]
    assert all(cell.count(special) == cell.count(f'\\{special}') for special in '&%#_')


@pytest.mark.parametrize('name', ['x' * 300, 'method'])
@pytest.mark.parametrize('numbers', [1, 6])
def test_a_table_fits(capsys, name, numbers):
    cells = ['+0.12 ±0.45'] * numbers
    rows = [[f'{name}{i}', f'cyclic-{name}', *cells] for i in range(3)]
    lines = written(capsys, Table('a title ' * 30, ['method', 'kind', *['number'] * numbers], rows, 2), 'text')
    assert max(map(len, lines)) <= WIDTH
    assert [line.split()[0][-1] for line in lines[-3:]] == ['0', '1', '2']


def test_of_many_rows_the_first_and_the_last_are_shown(capsys):
    rows = [[str(i), 'x'] for i in range(2000)]
    lines = written(capsys, Table('', ['n', 'x'], rows, 0), 'text', most=10)
    assert [line.split()[0] for line in lines[2:13]] == [*'01234', '...', '1995', '1996', '1997', '1998', '1999']
    assert lines[-1] == '1,990 rows are not shown: --json FILE writes all of them'


def test_an_interval_that_is_open_at_both_ends_is_not_shown_and_the_curve_is_named(call, tmp_path, capsys):
    """Of a curve of one point, the time to a value within its interval may be any."""
    rows = [f'cyclic,A,{seed},4,40,{0.5 + seed / 100}' for seed in (1, 2, 3)]
    (tmp_path / 'one.csv').write_text('\n'.join(['kind,method,seed,epoch,wall_clock_train_s,acc', *rows]) + '\n')
    assert call('ask', str(tmp_path / 'one.csv'), '--reach', '0.52') == 0
    *_, row, note, _ = capsys.readouterr().out.splitlines()
    assert row.split() == ['A', 'cyclic', '40', 's', '3']
    assert note == 'no interval, which would go beyond both ends of the curve: A, cyclic'


class TestOnATerminal:
    ROWS = Table(
        'gap to standard runs, eval/MulticlassAccuracy (more is better)', ['method', 'gain'], [['x' * 90, '+1']]
    )

    @pytest.mark.parametrize(('columns', 'width'), [('20', 60), ('72', 72), ('300', WIDTH)])
    def test_tables_and_notes_fit(self, capsys, monkeypatch, columns, width):
        monkeypatch.setenv('COLUMNS', columns)
        monkeypatch.setattr('sys.stdout.isatty', lambda: True)
        lines = written(capsys, self.ROWS, 'text', 'one two ' * 20)
        assert max(map(len, lines)) <= width
        assert ' '.join(' '.join(lines).split()).endswith(('one two ' * 20).strip())
        assert lines[-1].startswith('  one') or lines[-1].startswith('  two')

    def test_elsewhere_a_note_is_one_line(self, capsys, monkeypatch):
        monkeypatch.setenv('COLUMNS', '60')
        assert written(capsys, self.ROWS, 'text', 'one two ' * 20)[-1] == 'one two ' * 20


def test_an_open_end_of_an_interval_is_explained():
    cells = [with_interval(2.0, *ends, str) for ends in ((1.0, math.inf), (0.0, 3.0), (1.0, 3.0))]
    tables = [Table('', ['a', 'b'], [['x', cell]]) for cell in cells]
    assert [len(open_ends([one])) for one in tables] == [1, 1, 0]
    assert len(open_ends(tables)) == 1
