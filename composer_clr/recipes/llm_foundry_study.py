"""The runs of a study whose YAML is LLM Foundry's: the cyclic run, and a standard run to each of its troughs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from composer_clr.curves.curve import CurveError, TradeoffCurve
from composer_clr.curves.names import check_run_name
from composer_clr.recipes.planned_cycles import cycles_of
from composer_clr.recipes.schema import RecipeError, ScheduleRecipe
from composer_clr.recipes.untrusted_yaml import References, merged, read_mapping, read_override
from composer_clr.schedule.run_schedule import RunSchedule

__all__ = ['is_llm_foundry', 'llm_foundry_study']

_SCHEDULER = 'cyclic_cosine'
# One cycle to the end of training, in place of the YAML's cycles: bit for bit Composer's cosine with warmup.
_ONE_CYCLE = ('scheduler.t_0=null', 'scheduler.cycle_ends=[1dur]')
_SET = ('seed', 'max_duration')
_NEEDED = ('run_name', 'max_duration', 'scheduler', 'callbacks')


def is_llm_foundry(launcher: Sequence[str]) -> bool:
    """Returns whether a launcher's words start LLM Foundry, which has YAML files of its own.

    Example:
        >>> is_llm_foundry(['llmfoundry', 'train']), is_llm_foundry(['composer', '-n', '8', 'train/train.py'])
        (True, True)
        >>> is_llm_foundry(['composer', '-n', '8', '-m'])
        False
    """
    words = list(launcher)
    return bool(words) and (
        [Path(word).name for word in words[-2:]] == ['llmfoundry', 'train'] or Path(words[-1]).name == 'train.py'
    )


def llm_foundry_study(
    path: str,
    overrides: Sequence[str] = (),
    *,
    seeds: Sequence[int] = (17,),
    kinds: Sequence[str] = ('cyclic', 'standard'),
) -> Iterator[list[str]]:
    """Yields the YAML and the ``key=value`` arguments of each run that a comparison needs and that is not complete.

    The YAML's ``scheduler`` is ``cyclic_cosine``, with all times in the unit of ``max_duration``. Every run gets a
    name of its own, ``{run_name}-{kind}-{max_duration}-seed{seed}``; ``seed`` is LLM Foundry's own key, to
    which the YAML's other seeds refer.

    Raises:
        RecipeError: If the file cannot be read, its scheduler is another one, its callbacks have no
            ``pareto_snapshot``, or its troughs are not known before the run is built.
    """
    for override in overrides:
        if override.partition('=')[0] in _SET:
            raise RecipeError(
                f'{override}: a sweep sets {" and ".join(_SET)}: edit max_duration in {path}, use --seeds'
            )
    for kind in kinds:
        if kind not in ('cyclic', 'standard'):
            raise RecipeError(f'--kinds {kind}: a study of LLM Foundry runs has cyclic, standard or both')
    run_name, folder, cycles = _read(path, overrides)
    if cycles.cut is not None and 'cyclic' in kinds:
        warnings.warn(f'{path}: {cycles.cut}', UserWarning, stacklevel=2)
    others = [override for override in overrides if not override.startswith('run_name=')]
    durations = {'cyclic': [(cycles.end, cycles.troughs)], 'standard': [(t, [t]) for t in cycles.troughs]}
    for seed in seeds:
        for kind in kinds:
            for until, troughs in durations[kind]:
                name = f'{run_name}-{kind}-{until}{cycles.unit}-seed{seed}'
                arguments = [f'run_name={name}', f'seed={seed}', f'max_duration={until}{cycles.unit}', *others]
                if kind == 'standard':
                    arguments.extend(_ONE_CYCLE)
                if not _is_complete(folder.replace('{run_name}', name), len(troughs)):
                    yield [path, *arguments]


def _read(path: str, overrides: Sequence[str]) -> tuple[str, str, RunSchedule]:
    """Returns the name, the folder of the curve and the cycles of a configuration with overrides."""
    try:
        keys = merged([read_mapping(Path(path)), *map(read_override, overrides)])
        references = References(keys)
        name, duration, scheduler, callbacks = (references.filled(keys.get(key)) for key in _NEEDED)
    except (OSError, ValueError) as error:
        raise RecipeError(f'{path}: cannot be read as a configuration of LLM Foundry ({error})') from error
    if not isinstance(name, str):
        raise RecipeError(f'{path}: run_name={name!r}: must be the name that the runs of the study share')
    if not isinstance(scheduler, dict) or scheduler.pop('name', None) != _SCHEDULER:
        raise RecipeError(f'{path}: scheduler.name must be {_SCHEDULER}, which a standard run uses with one cycle')
    if not isinstance(callbacks, dict) or 'pareto_snapshot' not in callbacks:
        raise RecipeError(f'{path}: callbacks.pareto_snapshot is missing: without it the runs record no curve')
    folder = str((callbacks['pareto_snapshot'] or {}).get('folder', '{run_name}/pareto'))
    try:
        check_run_name(name)
        return name, folder, cycles_of(ScheduleRecipe(kind='cyclic', **scheduler), str(duration))
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(f'{path}: scheduler.{first["loc"][0]}: {first["msg"]}') from error
    except RecipeError:
        raise
    except ValueError as error:
        raise RecipeError(f'{path}: {error}') from error


def _is_complete(folder: str, points: int) -> bool:
    try:
        curve = TradeoffCurve.read(Path(folder))
    except CurveError:
        return False
    return len(curve.points) >= points or (bool(curve.points) and curve.points[-1].diverged)
