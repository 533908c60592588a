"""The commands on curves: ask and export."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from composer_clr.cli.options import (
    AllSeeds,
    Baseline,
    CurveAxis,
    CurveKinds,
    CurveMethods,
    JsonFile,
    LowerIsBetter,
    Metric,
    Peak,
    Runs,
    Strict,
    TableFormat,
    chosen,
    notes_on_stderr,
    read_curves,
    report,
    write_curves,
    write_json,
)
from composer_clr.cli.tables import (
    Table,
    check_format,
    curve_names,
    direction,
    marked,
    marks,
    metric_value,
    open_ends,
    read_duration,
    readable_duration,
    show,
    unit_of,
    with_interval,
)
from composer_clr.curves.axes import COUNTS, PLURALS, UNITS, Axis, check_axis, count_labels
from composer_clr.curves.curve import CurveError

if TYPE_CHECKING:
    from composer_clr.study.ask import Answers
    from composer_clr.study.reach import Answer

__all__ = ['ask', 'export']

T = TypeVar('T')

_PREFIXES = {'': 1.0, 'k': 1e3, 'K': 1e3, 'M': 1e6, 'G': 1e9, 'B': 1e9, 'T': 1e12}
_COUNT = re.compile(r'((?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?)\s*([kKMGBT]?)\s*(ep|ba|sp|tok)')


def ask(
    runs: Runs,
    reach: Annotated[
        list[str] | None, typer.Option(help='Time to this value, such as 0.75 or 75%; may be repeated.')
    ] = None,
    within: Annotated[
        list[str] | None,
        typer.Option(
            help='Best value within this time, 3600 (seconds), 90min or 2h, or count, 300Mtok; may be repeated.'
        ),
    ] = None,
    axis: CurveAxis = None,
    frontier: Annotated[bool, typer.Option('--frontier', help='List the points that no other point beats.')] = False,
    metric: Metric = None,
    baseline: Baseline = 'baseline',
    methods: CurveMethods = None,
    kinds: CurveKinds = None,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    all_seeds: AllSeeds = False,
    table_format: TableFormat = 'text',
    json_file: JsonFile = None,
    strict: Strict = False,
) -> None:
    """Time to a value, speedup over the baseline, and best value within a time, for every curve, with intervals."""
    from composer_clr.study.ask import answer, answers_record

    check_format(table_format)
    if not (reach or within or frontier):
        raise CurveError('no question: pass --reach VALUE, --within TIME or --frontier')
    curves = read_curves(runs, strict, axis)
    answers = answer(
        chosen(curves, methods, kinds, beside=[baseline]),
        metric,
        reach=reach or (),
        within=[_number('--within', budget, _budget) for budget in within or ()],
        axis=axis,  # type: ignore[arg-type]
        baseline=baseline,
        peak=peak,
        lower_is_better=lower_is_better,
        all_seeds=all_seeds,
        strict=strict,
    )
    study = answers.study
    if frontier:
        check_axis(study.runs, 'time')
    write_json(json_file, answers_record(answers))
    report([*(f'left out: {error}' for error in study.left_out), *(w for w in study.warnings if w != answers.warning)])
    tables = [*_reached(answers), *_within(answers), *([_frontier(answers)] if frontier else [])]
    for i, table in enumerate(tables, start=1):
        notes = [*_answers_notes(answers), *open_ends(tables)] if i == len(tables) else []
        show(table, notes, json_file, form=table_format)


def _reached(answers: Answers) -> Iterator[Table]:
    """Yields a table per value: when each curve reaches it, and how many times sooner than the baseline's."""
    study = answers.study
    times = [found.value for one in answers.curves for found in one.reached if not math.isnan(found.value)]
    unit = unit_of(max(times, default=0.0))
    for i, value in enumerate(answers.reach):
        headers = ['method', 'kind', 'time' if answers.axis == 'time' else PLURALS[answers.axis]]
        speedups = (
            any(one.speedups[i] for one in answers.curves) and len({one.curve.method for one in answers.curves}) > 1
        )
        # Counts stand first where times are not comparable.
        counted = any(one.reached_counts for one in answers.curves)
        if counted:
            headers.insert(2, PLURALS[study.axis])
        rows = []
        for one in answers.curves:
            unlike = one.unlike_times if answers.axis == 'time' else None
            row = [one.curve.method, one.curve.kind]
            if counted:
                row.append(_answer(one.reached_counts[i], lambda amount: _amount(amount, study.axis)))
            row.append(marked(_answer(one.reached[i], lambda amount: _amount(amount, answers.axis, unit)), unlike))
            if speedups:
                speedup = one.speedups[i]
                row.append(
                    '' if speedup is None else marked(_answer(speedup.answer, '{:.2f}'.format, missing=''), unlike)
                )
            rows.append([*row, str(one.reached[i].seeds)])
        shown = metric_value(study, value, digits=4)
        title = (
            f'{"time" if answers.axis == "time" else PLURALS[answers.axis]} to {study.metric} {shown} [95% interval]'
        )
        over = [f'speedup over {study.baseline}'] if speedups else []
        yield Table(title, [*headers, *over, 'seeds'], rows, 2)


def _within(answers: Answers) -> Iterator[Table]:
    """Yields a table per budget: the best value of each curve."""
    study = answers.study
    for i, (amount, axis) in enumerate(answers.within):
        rows = [
            [
                one.curve.method,
                one.curve.kind,
                marked(
                    _answer(one.values[i], lambda value: metric_value(study, value), missing='not measured'),
                    one.unlike_times if axis == 'time' else None,
                ),
                str(one.values[i].seeds),
            ]
            for one in answers.curves
        ]
        title = (
            f'best {study.metric} ({direction(study.lower_is_better)}) within {_amount(amount, axis)} [95% interval]'
        )
        yield Table(title, ['method', 'kind', 'value', 'seeds'], rows, 2)


def _frontier(answers: Answers) -> Table:
    """Returns a row per point that no other point beats, by time."""
    study = answers.study
    unit = unit_of(max(point.time_s for point in answers.frontier))
    rows = [
        [
            point.method,
            point.kind,
            '' if i == 0 else 'decided' if point.decided else 'undecided',
            readable_duration(point.time_s, unit),
            count_labels([point.count], study.axis)[0],
            metric_value(study, point.value),
        ]
        for i, point in enumerate(answers.frontier)
    ]
    headers = ['method', 'kind', 'beats all sooner', 'time', PLURALS[study.axis], 'value']
    return Table(f'frontier, {study.metric} ({direction(study.lower_is_better)})', headers, rows, 3)


def _answers_notes(answers: Answers) -> list[str]:
    """Returns why figures are not comparable or missing, and the measured range of each curve without an answer."""
    study, methods = answers.study, list(dict.fromkeys(one.curve.method for one in answers.curves))
    unlike = [one.unlike_times for one in answers.curves]
    notes = [*marks(unlike), *([answers.warning] if answers.warning not in (None, *unlike) else []), *study.notes]
    if answers.reach and len(methods) > 1 and study.baseline not in methods:
        named = f'no run is of the baseline {study.baseline!r}, choose one of {", ".join(methods)} with --baseline'
        notes.append(f'no speedups: {named}')
    for one in answers.curves:
        if any(found.state != 'reached' for found in (*one.reached, *one.values)):
            counted = answers.axis != 'time' or any(axis != 'time' for _, axis in answers.within)
            axis = one.curve.axis if counted else 'time'
            at, values = one.curve.positions(axis), study.values(one.curve).value
            first, last = (_amount(end(at), axis) for end in (min, max))
            low, high = (metric_value(study, end(values)) for end in (min, max))
            notes.append(f'{one.curve}: measured from {first} to {last}, from {low} to {high}')
    open_ = [
        str(one.curve)
        for one in answers.curves
        if any((found.low, found.high) == (0, math.inf) for found in (*one.reached, *one.speedup_answers))
    ]
    if open_:
        notes.append(f'no interval, which would go beyond both ends of the curve: {curve_names(open_)}')
    one_seed = [str(one.curve) for one in answers.curves if one.curve.has.sum() == 1]
    if one_seed:
        all_of_them = len(one_seed) == len(answers.curves)
        notes.append('one seed, so no interval' + ('' if all_of_them else f': {curve_names(one_seed)}'))
    return notes


def _answer(found: Answer, spelled: Callable[[float], str], *, missing: str = 'not reached') -> str:
    if math.isnan(found.value):
        return missing
    text = with_interval(found.value, found.low, found.high, spelled)
    return text if found.relation == '=' else f'{found.relation} {text}'


def _amount(amount: float, axis: str, unit: str | None = None) -> str:
    """Returns seconds, or a count that may lie between points, to three digits."""
    if axis == 'time':
        return readable_duration(amount, unit)
    return f'{count_labels([float(f"{amount:.3g}")], "token")[0]} {UNITS[axis]}'


def export(
    runs: Runs,
    output: Annotated[Path, typer.Option('--output', '-o', help='The CSV to write; - is standard output.')] = Path(
        'curves.csv'
    ),
    strict: Strict = False,
) -> None:
    """Write runs as one long CSV, a row per point, which every command can read."""
    from composer_clr.curves.files import read_sources
    from composer_clr.study.pooling import mixed_curves

    with notes_on_stderr():
        curves, errors = read_sources(runs, strict=strict)
    mixed = mixed_curves(curves)
    if mixed and strict:
        raise mixed[0]
    report([f'a CSV keeps no settings: {error}' for error in mixed])
    write_curves(output, curves, errors, strict=strict)


def _budget(text: str) -> tuple[float, Axis]:
    """Returns an amount and its axis: ``300Mtok`` is 3e8 tokens, ``1.5h`` 5400 seconds."""
    if match := _COUNT.fullmatch(text.strip()):
        count = float(match[1]) * _PREFIXES[match[2]]
        if 0 < count < math.inf:
            return count, next(axis for axis in COUNTS if UNITS[axis] == match[3])
    return read_duration(text), 'time'


def _number(option: str, text: str, read: Callable[[str], T]) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise CurveError(f'{option} {text}: {error}') from error
