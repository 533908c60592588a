"""The page of a study: which sections it has, and what each says, as the commands say it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from composer_clr.cli.compare import comparison_notes, mean_tables, point_tables
from composer_clr.cli.equivalent import equivalent_tables
from composer_clr.cli.forecast import forecast_lines
from composer_clr.cli.options import amounts
from composer_clr.cli.page_tables import (
    cost_tables,
    difference_texts,
    one_method_lines,
    points_table,
    value_texts,
    verdict_tables,
)
from composer_clr.cli.tables import direction, open_ends
from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.figures.labels import metric_label
from composer_clr.figures.panels import shown_axis
from composer_clr.figures.plane import Key, Plane
from composer_clr.report.made_by import machines, runs_table, settings_table, shared_settings
from composer_clr.report.page import Section, page
from composer_clr.report.plots import curves_plot, gaps_plot, improvements_plot
from composer_clr.study.alignment import Alignment
from composer_clr.study.compare import Comparison, compare
from composer_clr.study.differences import Differences
from composer_clr.study.equivalent import Equivalents
from composer_clr.study.findings import findings, verdict_lines
from composer_clr.study.forecast import forecasts
from composer_clr.study.table import Study

__all__ = ['study_page']

T = TypeVar('T')

# Beside time and what a study counts.
_OTHER_AXES = ('epoch', 'token')
_EVERY_POINT = 'Every point'


def study_page(
    curves: Sequence[TradeoffCurve],
    metric: str | None = None,
    *,
    alignment: Alignment,
    title: str,
    forecast: bool = False,
    sigma: float | None = None,
    equivalent: bool = False,
    unread: Sequence[str] = (),
    commands: Sequence[str] = (),
    cdn: bool = False,
    refresh_s: int | None = None,
    strict: bool = False,
    **options: Any,
) -> tuple[str, list[str]]:
    """Returns the page of a study; and what else to say: what is left out of it, and what is not comparable.

    Raises:
        CurveError: If no curve can be drawn; with ``strict``, if one cannot, or cannot be compared.
        UserError: If plotly is not installed.
    """
    study = Study.of(curves, metric, axis=alignment.axis, strict=strict, **options)
    compared, why = _unless_refused(partial(compare, study, alignment, strict=strict), strict)
    placed, lengths = None, Section()
    if equivalent:
        placed, refused = _unless_refused(partial(Equivalents.of, study, alignment, strict=strict), strict)
        lengths = _lengths(study, _gaps(compared), placed, refused)
    planes = _planes(curves, metric, study if placed is None else placed.beside(), alignment.axis, options)
    found = forecasts(study, sigma) if forecast else []
    lines = forecast_lines(found)
    drawn = {(one.method, one.kind): (one, line) for one, line in zip(found, lines, strict=True) if not one.refused}
    left_out = [f'left out: {error}' for error in study.left_out]
    sections = [
        _answer(study, compared, why),
        Section(
            title='Curves',
            plots=[curves_plot(planes, value_texts, drawn)],
            notes=[*study.warnings, *study.notes] if compared is None else (),
            folded=[(_EVERY_POINT, [points_table(study)])],
        ),
        Section(title='One more doubling', notes=lines),
        *(_differences(study, compared, planes) if compared is not None else ()),
        lengths,
        *_made_by(study, [*unread, *left_out], commands),
    ]
    about = f'{metric_label(study.metric)} ({study.metric}), {direction(study.lower_is_better)}; {amounts(study.runs)}'
    return page(title, about, sections, cdn=cdn, refresh_s=refresh_s), [*left_out, *study.warnings]


def _unless_refused(find: Callable[[], T], strict: bool) -> tuple[T | None, str]:
    """Returns what a function returns, or why it refuses to."""
    try:
        return find(), ''
    except CurveError as error:
        if strict:
            raise
        return None, str(error)


def _planes(
    curves: Sequence[TradeoffCurve], metric: str | None, study: Study, axis: str | None, options: Mapping[str, Any]
) -> dict[str, Plane]:
    """Returns the axes that the curves can be drawn against: the one named, else the usual one of figures, first."""
    first = shown_axis(study, axis)  # type: ignore[arg-type]
    studies = {name: study for name in (first, study.axis, 'time') if name != 'time' or study.is_timed}
    for other in _OTHER_AXES:
        if other not in studies:
            of_other, _ = _unless_refused(partial(Study.of, curves, metric, axis=other, strict=False, **options), False)
            if of_other is not None and of_other.curves.keys() == study.curves.keys():
                studies[other] = of_other
    return {name: Plane(of_axis, name) for name, of_axis in studies.items()}  # type: ignore[arg-type]


def _answer(study: Study, compared: Comparison | None, why: str) -> Section:
    if compared is None:
        refusal = f'no comparison: {why}'
        if len(study.curves) > 1:
            return Section(answer=[refusal])
        (curve,) = study.curves.values()
        return Section(answer=value_texts(study, curve.count, study.values(curve)), notes=[refusal])
    found = findings(compared)
    verdicts = [*verdict_tables(study, found)]
    return Section(
        answer=verdict_lines(compared) or one_method_lines(study, found),
        folded=[('Verdicts with their intervals', verdicts)] if verdicts else (),
    )


def _gaps(compared: Comparison | None) -> dict[Key, Differences]:
    kinds = {} if compared is None else compared.kinds
    return {(method, kind): one.gap for kind, of_kind in kinds.items() for method, one in of_kind.methods.items()}


def _differences(study: Study, compared: Comparison, planes: Mapping[str, Plane]) -> Iterator[Section]:
    """Yields what ``compare`` shows: improvements, gaps and costs."""
    found, gaps, plots = findings(compared), _gaps(compared), []
    over = {(method, kind): one for kind, of in compared.kinds.items() for method, one in of.over_baseline.items()}
    if over:
        by_axis: dict[str, dict[Key, Differences | None]] = {
            study.axis: {key: one.at_equal_counts for key, one in over.items()}
        }
        if study.is_timed:
            by_axis['time'] = {key: one.at_equal_time for key, one in over.items()}
        plots.append(improvements_plot(planes, by_axis, difference_texts))
    if gaps:
        plots.append(gaps_plot(planes[study.axis], gaps, difference_texts))
    means, points = [*mean_tables(compared, found)], [*point_tables(study, found)]
    yield Section(
        title='Improvements and gaps' if over and gaps else 'Improvements' if over else 'Gaps to standard runs',
        plots=plots,
        tables=means[::-1],  # the improvements first
        notes=[*open_ends([*means, *points]), *comparison_notes(compared, found)],
        folded=[(_EVERY_POINT, points)],
    )
    yield Section(title='Cost', tables=[*cost_tables(compared)])


def _lengths(study: Study, gaps: Mapping[Key, Differences], placed: Equivalents | None, refused: str) -> Section:
    title = 'Equivalent lengths'
    if placed is None:
        return Section(title=title, notes=[refused])
    means, *points = equivalent_tables(study, gaps, placed.gaps, points=True)
    return Section(title=title, tables=[means], notes=placed.lines(), folded=[(_EVERY_POINT, points)])


def _made_by(study: Study, left_out: Sequence[str], commands: Sequence[str]) -> Iterator[Section]:
    yield Section(title='Left out', notes=left_out)
    known = any(curve.run.settings for curve in study.runs)
    yield Section(
        title='What made the curves',
        notes=() if known else ['the records hold no settings'],
        tables=[settings_table(study), machines(study)],
        folded=[('Settings', shared_settings(study)), ('Runs', [runs_table(study.runs)])],
    )
    yield Section(title='Commands', code=commands)
