"""What each command prints for a small study, whole: written to ``golden/`` with ``COMPOSER_CLR_GOLDEN=write``.

The figures in them are those of tests/study; here it is asserted how they are shown.
"""

import os
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / 'golden'
WIDTH = 100
COMMANDS = {
    'compare': 'compare study.csv',
    'compare-points': 'compare study.csv --points --methods MX --resolve 0.1',
    'compare-one-seed': 'compare one.csv --kinds cyclic',
    'compare-perplexity': 'compare ppl.csv --points',
    'compare-markdown': 'compare study.csv --format markdown',
    'compare-latex': 'compare study.csv --format latex',
    'ask': 'ask study.csv --reach 65% --reach 0.95 --within 90min --within 40ep --frontier',
    'ask-latex': 'ask study.csv --reach 65% --format latex',
    'schedule': 'schedule quickstart/digits',
    'schedule-branch': 'schedule quickstart/digits schedule.kind=branch schedule.t_hold=0.8 max_duration=16ep',
    'schedule-anytime': 'schedule quickstart/digits schedule.kind=anytime max_duration=70ep',
    'schedule-from': 'schedule quickstart/digits --from 64ep',
    'schedule-budget': 'schedule quickstart/digits --budget 1500ep --methods 8',
    'sweep': 'sweep quickstart/digits max_duration=8ep --seeds 1,2 --launcher',
}


@pytest.mark.parametrize('name', COMMANDS)
def test_what_a_command_prints(name, call, three_seeds, capsys):
    table = (three_seeds / 'study.csv').read_text()
    of_one = [line for line in table.splitlines() if line.split(',')[2] in ('seed', '1')]
    (three_seeds / 'one.csv').write_text('\n'.join(of_one) + '\n')
    # A perplexity that grows with the accuracy, of two methods.
    (three_seeds / 'ppl.csv').write_text(
        '\n'.join(
            [
                table.splitlines()[0].replace('top1', 'eval/LanguagePerplexity'),
                *(
                    f'{line.rpartition(",")[0]},{2 / float(line.rpartition(",")[2]):.5f}'
                    for line in table.splitlines()[1:]
                    if ',A_b&c,' not in line
                ),
            ]
        )
    )
    words = [*COMMANDS[name].split(), *(['composer -n 2 -m'] if name == 'sweep' else [])]
    assert call(*words) == 0
    said = capsys.readouterr()
    assert said.err == ''
    if '--format' not in words:
        # Only lines of words are longer, which a terminal breaks.
        assert all(len(line) <= WIDTH for line in said.out.splitlines() if '  ' in line)
    if os.environ.get('COMPOSER_CLR_GOLDEN') == 'write':
        (GOLDEN / f'{name}.txt').write_text(said.out)
    assert said.out == (GOLDEN / f'{name}.txt').read_text()
