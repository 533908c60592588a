"""The command that compares methods and kinds of curve: compare."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from composer_clr.cli.equivalent import equivalent_tables
from composer_clr.cli.options import (
    Align,
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
    Tolerance,
    chosen,
    read_curves,
    report,
    with_averaged,
    write_json,
)
from composer_clr.cli.tables import (
    Table,
    check_format,
    curve_names,
    direction,
    marked,
    marks,
    number,
    open_ends,
    plus_minus,
    readable_duration,
    show,
    show_lines,
    with_interval,
)
from composer_clr.curves.axes import PLURALS, UNITS, count_labels
from composer_clr.curves.curve import CurveError
from composer_clr.curves.metrics import difference_unit, in_points
from composer_clr.curves.names import STANDARD
from composer_clr.curves.stops import stop_notes
from composer_clr.utils.errors import listed

if TYPE_CHECKING:
    from composer_clr.study.compare import Comparison
    from composer_clr.study.findings import Finding
    from composer_clr.study.table import Study

__all__ = ['compare', 'comparison_notes', 'mean_tables', 'point_tables']

_MOST_NOTES = 16
_DIFFERENCES = ('gap', 'improvement', 'improvement_at_equal_time')
_TWO, _THREE = (partial(number, digits=digits) for digits in (2, 3))


def compare(
    runs: Runs,
    metric: Metric = None,
    baseline: Baseline = 'baseline',
    methods: CurveMethods = None,
    kinds: CurveKinds = None,
    points: Annotated[bool, typer.Option('--points', help='Show the figures at every point too.')] = False,
    align: Align = 'interpolate',
    axis: CurveAxis = None,
    tolerance: Tolerance = 0.05,
    peak: Peak = False,
    lower_is_better: LowerIsBetter = None,
    all_seeds: AllSeeds = False,
    resolve: Annotated[
        float | None,
        typer.Option(min=1e-9, help='Number of seeds with which a difference of so many points is found, such as 0.1.'),
    ] = None,
    equivalent: Annotated[
        bool,
        typer.Option(
            '--equivalent', help='Gaps of cyclic points at the lengths of the standard runs that they stand for.'
        ),
    ] = False,
    table_format: TableFormat = 'text',
    json_file: JsonFile = None,
    strict: Strict = False,
) -> None:
    """Compare methods with the baseline, and every kind of curve with the standard one if there is one.

    First a line per budget says which methods are better or worse, then follow the means over the points.
    """
    from composer_clr.study.alignment import Alignment
    from composer_clr.study.compare import compare as compare_study
    from composer_clr.study.equivalent import Equivalents
    from composer_clr.study.findings import findings, verdict_lines
    from composer_clr.study.record import record
    from composer_clr.study.table import Study

    check_format(table_format)
    if resolve is not None and not math.isfinite(resolve):
        raise CurveError(f'--resolve {resolve}: must be a finite number')
    alignment = Alignment(align, axis, tolerance)  # type: ignore[arg-type]
    curves = with_averaged(read_curves(runs, strict, axis), metric)
    study = Study.of(
        chosen(curves, methods, kinds, beside=[baseline], beside_kinds=[STANDARD]),
        metric,
        axis=axis,
        peak=peak,
        baseline=baseline,
        lower_is_better=lower_is_better,
        all_seeds=all_seeds,
        strict=strict,
    )
    report([f'left out: {error}' for error in study.left_out])
    placed = Equivalents.of(study, alignment, strict=strict) if equivalent else None
    try:
        compared = compare_study(study, alignment, strict=strict)
    except CurveError as error:
        if placed is None:
            raise
        write_json(json_file, placed.record())
        show_lines([*placed.lines(), f'no comparison: {error}'], json_file, form=table_format)
        return
    write_json(json_file, record(compared, resolve=resolve) | (placed.record() if placed else {}))
    show_lines(verdict_lines(compared), json_file, form=table_format)
    found = findings(compared)
    tables = [*mean_tables(compared, found), *(point_tables(study, found) if points else ())]
    for i, table in enumerate(tables, start=1):
        notes = _first([*open_ends(tables), *comparison_notes(compared, found, resolve)]) if i == len(tables) else []
        show(table, notes, json_file, form=table_format)
    if placed is not None:
        measured = {(name, kind): one.gap for kind, of in compared.kinds.items() for name, one in of.methods.items()}
        for table in equivalent_tables(study, measured, placed.gaps, points=points) if placed.gaps else ():
            show(table, [], json_file, form=table_format)
        without = [f'without a standard curve there: {curve_names(placed.left_out)}'] if placed.left_out else []
        show_lines([*placed.lines(), *without], json_file, form=table_format)


def mean_tables(compared: Comparison, found: Sequence[Finding]) -> Iterator[Table]:
    """Yields the means over the points: of gaps to the standard curves, and of improvements over the baseline."""
    study = compared.study
    digits = 3 if in_points(study.metric, study.scale) else 4
    at = {(one.method, one.kind, one.quantity): one for one in found if math.isnan(one.at)}

    def cell(key: tuple[str, str], quantity: str, spelled: Callable[[float], str] | None = None) -> str:
        if (one := at.get((*key, quantity))) is None:
            return ''
        if spelled is None:
            return plus_minus(one.value, one.low, one.high, digits)
        return with_interval(one.value, one.low, one.high, spelled)

    better = direction(study.lower_is_better)
    unit = f'{study.metric} ({better}), in {difference_unit(study.metric, study.scale)}'
    with_standard = {
        (method, kind): one for kind, of_kind in compared.kinds.items() for method, one in of_kind.methods.items()
    }
    if with_standard:
        headers = ['method', 'kind', 'mean gap', 'seeds', 'cosine', f'cost, {UNITS[study.axis]}', 'cost, time']
        rows = [
            [
                *key,
                cell(key, 'mean_gap', _THREE if study.is_ratio else None),
                str(at[(*key, 'mean_gap')].seeds),
                cell(key, 'cosine', _THREE),
                number(one.cost.counted_ratio, 3),
                marked(cell(key, 'cost_ratio', _TWO), one.unlike_times),
            ]
            for key, one in with_standard.items()
        ]
        what = f'{study.metric} ({better}), as a ratio' if study.is_ratio else f'{unit}, ± half of the 95% interval'
        yield Table(f'gap to standard runs, {what}; cost: separate runs over one', headers, rows, 2)
    over = {
        (method, kind): one for kind, of_kind in compared.kinds.items() for method, one in of_kind.over_baseline.items()
    }
    if over:
        rows = [
            [
                *key,
                cell(key, 'mean_improvement_of_all') or 'the curves do not overlap',
                marked(cell(key, 'mean_improvement_at_equal_time'), one.unlike_times),
                str(at[(*key, 'mean_improvement')].seeds) if one.at_equal_counts else '',
            ]
            for key, one in over.items()
        ]
        unit = unit if not study.is_ratio else f'{study.metric} ({better}), in logarithms'
        headers = ['method', 'kind', f'mean at equal {PLURALS[study.axis]}', 'at equal time', 'seeds']
        yield Table(f'improvement over {study.baseline}, {unit}, ± half of the 95% interval', headers, rows, 2)


def point_tables(study: Study, found: Sequence[Finding]) -> Iterator[Table]:
    """Yields a row per method, kind and point: its gap; its improvements and its speedup over the baseline."""
    over = {'improvement': 'improvement', 'improvement_at_equal_time': 'at equal time', 'speedup': 'speedup'}
    for title, quantities in (('gap to standard runs', {'gap': 'gap'}), (f'over {study.baseline}', over)):
        if any(one.quantity in quantities for one in found):
            yield _points_of(study, found, f'{title}, at every point', quantities)


def _points_of(study: Study, found: Sequence[Finding], title: str, quantities: Mapping[str, str]) -> Table:
    digits = 2 if in_points(study.metric, study.scale) else 4
    at = {(one.method, one.kind, one.at, one.quantity): one for one in found if one.quantity in quantities}
    keys = list(dict.fromkeys(key[:3] for key in at))
    labels = count_labels([key[2] for key in keys], study.axis)

    def cell(name: str, one: Finding | None) -> str:
        if one is None:
            return ''
        ends = one.value, one.low, one.high
        if name == 'speedup':
            relation = f'{one.note} ' if one.note in ('<=', '>=') else ''
            return relation + with_interval(*ends, _TWO)
        return with_interval(*ends, _THREE) if name == 'gap' and study.is_ratio else plus_minus(*ends, digits)

    rows = [
        [*key[:2], label, *(cell(name, at.get((*key, name))) for name in quantities)]
        for key, label in zip(keys, labels, strict=True)
    ]
    return Table(title, ['method', 'kind', PLURALS[study.axis], *quantities.values()], rows, 2)


def comparison_notes(compared: Comparison, found: Sequence[Finding], resolve: float | None = None) -> list[str]:
    """Returns what the tables do not say: seeds, pairing, agreement, decided crossings and rankings."""
    from composer_clr.study.verdicts import decided_crossings, tiers

    study, several = compared.study, len(compared.kinds) > 1
    both = [one for kind in compared.kinds.values() for one in (*kind.methods.values(), *kind.over_baseline.values())]
    unlike = [one.unlike_times for one in both]
    notes = [
        *marks(unlike),
        *(() if resolve is None else _resolving(found, resolve)),
        *(warning for warning in study.warnings if warning not in unlike),
        *study.notes,
        *stop_notes(study.runs),
    ]
    for kind, of_kind in compared.kinds.items():
        where = f'{kind}: ' if several else ''
        if of_kind.formula_cost_ratio is not None:
            notes.append(f'{where}cost by the formula: {of_kind.formula_cost_ratio:.3f}')
        taus = [one for one in found if (one.kind, one.quantity) == (kind, 'tau')]
        if taus and len(of_kind.methods) > 2:  # of two methods, the gaps say more
            said = [f'{_count(study, one.at)}: {with_interval(one.value, one.low, one.high, _TWO)}' for one in taus]
            notes.append(f"{where}agreement of the methods' rankings (Kendall's tau): {listed(said, 6)}")
        for method, over in of_kind.over_baseline.items():
            for axis, crossings in over.crossings.items():
                spelled = readable_duration if axis == 'time' else lambda budget: f'{budget:.4g} {PLURALS[study.axis]}'
                for one in decided_crossings(over.verdicts, crossings, method):
                    budget = with_interval(one.budget, one.low, one.high, spelled)
                    notes.append(f'{where}{method} and {study.baseline}: {one.better} is better from {budget} on')
        rankings: dict[str, list[str]] = {}
        # Of one method, the verdicts say the same.
        of_methods = {method: curve for (method, its_kind), curve in study.curves.items() if its_kind == kind}
        for count, groups in tiers(of_methods, of_kind.ranking).items() if len(of_methods) > 2 else ():
            ranking = ' > '.join(' = '.join(tied) for tied in groups)
            rankings.setdefault(ranking, []).append(_count(study, count))
        notes.extend(
            f'{where}ranking at {listed(at)} {PLURALS[study.axis]}: {ranking}' for ranking, at in rankings.items()
        )
        for why in dict.fromkeys(of_kind.skipped.values()):
            methods = [method for method, its in of_kind.skipped.items() if its == why]
            notes.append(f'{where}{listed(methods, 6)}: not compared, {why}')
    notes.extend(f'{kind}: not compared with standard runs, {why}' for kind, why in compared.left_out.items())
    means = [one for one in found if one.quantity.startswith('mean_')]
    over_points: dict[str, dict[tuple[int, int], list[str]]] = defaultdict(lambda: defaultdict(list))
    for one in means:
        if one.quantity == 'mean_improvement' and one.points < one.of_points:
            digits = 3 if in_points(study.metric, study.scale) else 4
            there = plus_minus(one.value, one.low, one.high, digits)
            notes.append(
                f'{one.method}, {one.kind}: at equal time over {one.points} of {one.of_points} points, at which the '
                f'mean at equal {PLURALS[study.axis]} is {there}'
            )
        elif one.points:
            over_points[one.quantity][one.points, one.of_points].append(f'{one.method}, {one.kind}')
    for quantity, by_points in over_points.items():
        for (points, of_points), names in by_points.items():
            if points < of_points:
                of = f' ({curve_names(names)})' if len(by_points) > 1 else ''
                notes.append(f'{quantity.replace("_", " ")}: over {points} of {of_points} points{of}')
    one_seed = list(dict.fromkeys(f'{one.method}, {one.kind}' for one in means if one.seeds < 2))
    if one_seed:
        all_of_them = all(one.seeds < 2 for one in means)
        notes.append('one seed, so no interval' + ('' if all_of_them else f': {curve_names(one_seed)}'))
    notes.extend(_of_equal_seeds(study, found))
    pairing: dict[str, dict[str, None]] = {}
    for one in found:
        if one.quantity == 'gap' and one.note:
            pairing.setdefault(one.note, {})[_count(study, one.at)] = None
    notes.extend(f'standard runs {how} at {listed(list(counts))}' for how, counts in pairing.items())
    return list(dict.fromkeys(notes))


def _first(notes: list[str]) -> list[str]:
    if len(notes) <= _MOST_NOTES:
        return notes
    more = f'{len(notes) - _MOST_NOTES:,} more notes are not shown: --json FILE writes all of them'
    return [*notes[:_MOST_NOTES], more]


def _resolving(found: Sequence[Finding], resolve: float) -> Iterator[str]:
    """Yields the number of seeds with which a mean difference of a given size would be found."""
    from composer_clr.study.estimates import seeds_to_resolve

    for quantity in ('mean_gap', 'mean_improvement'):
        for one in (one for one in found if one.quantity == quantity):
            seeds = seeds_to_resolve(one.deviations, resolve)
            needed = 'not known from one seed, train two or more' if seeds is None else f'{seeds} seeds'
            what = f'{one.method}, {one.kind}, {quantity.replace("_", " ")}'
            yield f'{what}: to find a difference of {resolve:g} in 4 of 5 studies: {needed}'


def _of_equal_seeds(study: Study, found: Sequence[Finding]) -> Iterator[str]:
    """Yields a note that names the differences without an interval, since they are the same for all seeds."""
    alike: dict[str, list[str]] = {}
    for one in found:
        quantity = one.quantity.removeprefix('mean_')
        if one.seeds > 1 and quantity in _DIFFERENCES and math.isnan(one.low):
            at = 'mean' if math.isnan(one.at) else _count(study, one.at)
            alike.setdefault(f'{one.method}, {one.kind}, {quantity.replace("_", " ")}', []).append(at)
    if alike:
        named = curve_names([f'{name} ({listed(at, 6)})' for name, at in alike.items()])
        yield f'the seeds do not differ, so no interval: {named}'


def _count(study: Study, count: float) -> str:
    return count_labels([count], study.axis)[0]
