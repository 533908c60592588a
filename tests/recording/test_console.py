"""Composer's ConsoleLogger, which LLM Foundry uses by default: one line per point."""

import io

from composer.loggers import ConsoleLogger

from composer_clr import CyclicCosineScheduler, ParetoSnapshot


def no_tables(self, *arguments, **named):
    raise AssertionError('a table is printed again with every later line of the run')


def printed(make_trainer, *callbacks):
    stream = io.StringIO()
    make_trainer(
        schedulers=CyclicCosineScheduler('1ep', t_warmup='1ep'),
        max_duration='8ep',
        eval_interval='1ep',
        log_to_console=True,
        console_log_interval='1ba',
        console_stream=stream,
        callbacks=list(callbacks),
    ).fit()
    return stream.getvalue().splitlines()


def test_the_console_has_one_line_more_per_point(make_trainer, monkeypatch):
    monkeypatch.setattr(ConsoleLogger, 'log_table', no_tables)
    with_points = printed(make_trainer, ParetoSnapshot(folder='out', save_weights=False))
    lines = [line for line in with_points if 'pareto/' in line]
    assert [line.partition(', lr')[0].partition(', wall')[0] for line in lines] == [
        'pareto/point: cycle=0, epoch=2, batch=20',
        'pareto/point: cycle=1, epoch=4, batch=40',
        'pareto/point: cycle=2, epoch=8, batch=80',
    ]
    assert all('eval/MulticlassAccuracy=' in line for line in lines)
    assert len(with_points) == len(printed(make_trainer)) + len(lines)
