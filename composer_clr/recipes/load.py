"""A training run as a YAML recipe: nested dataclasses, typed and checked before any data is read.

A recipe is one of the shipped YAML files, by name (``quickstart/digits``), or a path of one's own. ``key=value`` pairs
override it: ``schedule.kind=standard seed=18``. An unknown key, a wrong type or a missing value is refused. A recipe
that names another one as its ``base`` is that one with its own keys on top. A value may refer to another,
``${schedule.kind}``; ``${snapshot.method}``, where it is not given, is made of the algorithms: ``LS+MX``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from composer_clr.curves.methods import method_name
from composer_clr.curves.names import check_run_name
from composer_clr.recipes.untrusted_yaml import MAX_BYTES, check_plain, check_references
from composer_clr.schedule.shapes import cyclic_kind
from composer_clr.utils.errors import UserError
from composer_clr.utils.files import bounded_text
from composer_clr.utils.text import did_you_mean

__all__ = [
    'CheckpointRecipe',
    'DataRecipe',
    'EvaluationRecipe',
    'ModelRecipe',
    'OptimizerRecipe',
    'Recipe',
    'RecipeError',
    'ScheduleRecipe',
    'SnapshotRecipe',
    'load_recipe',
    'shipped_recipes',
]

# A wheel carries the YAMLs inside the package; in a checkout, and so in an editable install, they lie beside it.
_PACKAGE = Path(__file__).parent.parent
_YAMLS = next(folder for folder in (_PACKAGE / 'yamls', _PACKAGE.parent / 'yamls') if folder.is_dir())

KINDS = ('cyclic', 'standard', 'branch')
ON_NAN = ('stop', 'continue')
# Keys within keys: none is empty, and no list is reached into.
_KEY = re.compile(r'[^.\[\]]+(\.[^.\[\]]+){0,9}')


class RecipeError(UserError):
    """A recipe that cannot be run: the message names the key and what would be right, on one line."""


@dataclass
class ModelRecipe:
    """The network.

    Attributes:
        name (str): ``small_resnet``, or a torchvision classifier such as ``resnet50``.
        num_classes (int): Number of classes.
        arguments (dict): Further arguments of the network, by name.
    """

    name: str = MISSING
    num_classes: int = MISSING
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class DataRecipe:
    """The images.

    Attributes:
        name (str): ``digits``, or ``imagefolder`` for a folder with ``train/`` and ``val/`` and a folder for each
            class in either, or ``streaming`` for MDS shards of the same.
        path (str | None): The folder, for data that lie in one.
        batch_size (int): Training images a batch, over all ranks.
        eval_batch_size (int): Evaluation images a batch, over all ranks.
        num_workers (int): Loader processes a rank. Default: ``0``, the rank itself.
        arguments (dict): Further arguments of the data set, by name.
    """

    name: str = MISSING
    path: str | None = None
    batch_size: int = MISSING
    eval_batch_size: int = MISSING
    num_workers: int = 0
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class OptimizerRecipe:
    """The optimizer.

    Attributes:
        name (str): A class of ``composer.optim`` or ``torch.optim``. Default: ``'DecoupledSGDW'``.
        lr (float): Learning rate at the top of a cycle.
        weight_decay (float): Weight decay. Default: ``0.0``.
        arguments (dict): Further arguments of the optimizer, by name, such as ``momentum``.
    """

    name: str = 'DecoupledSGDW'
    lr: float = MISSING
    weight_decay: float = 0.0
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass
class ScheduleRecipe:
    """The learning rate over time. Times are time strings: ``8ep``, ``500ba``, ``0.1dur``.

    Attributes:
        kind (str): ``cyclic``: cosine cycles, a point of the curve at each trough. ``standard``: one cosine from the
            end of the warmup to the end of training, one point. ``branch``: the standard run of a schedule with
            ``t_hold``, which saves a checkpoint where each shorter one leaves it, and may be started from one
            (``checkpoint.load_path``). Nothing else differs between them.
        t_warmup (str): Length of the linear warmup. Default: ``'0ba'``.
        t_0 (str | None): Period of the first cycle.
        t_mult (float): Period of a cycle over that of the one before. Default: ``2.0``.
        alpha_f (float): What each decay ends at, as a part of ``optimizer.lr``. Default: ``0.0``.
        cycle_ends (list[str] | None): The troughs, in place of ``t_0`` and ``t_mult``.
        shape (str): How a cycle decays: ``cosine``, ``linear``, ``1-sqrt`` or ``triangle``. The standard run of a
            shape is one cycle of it, from the end of the warmup to the end of training. Default: ``'cosine'``.
        peak_decay (float | list[float] | str | None): What the peak is multiplied by at every restart, or at each in
            turn; ``sqrt`` makes it one over the square root of the period. Default: ``None``, every peak is 1.
        t_rewarmup (str | float | None): Length of a linear rise after each restart: a time, or a part of each cycle.
        t_hold (str | float | None): Length of a constant part before each decay: a time, or a part of each cycle, such
            as ``0.9``. With it the cyclic run's curve is of the kind ``wsd-s``.
    """

    kind: str = MISSING
    t_warmup: str = '0ba'
    t_0: str | None = None
    t_mult: float = 2.0
    alpha_f: float = 0.0
    cycle_ends: list[str] | None = None
    shape: str = 'cosine'
    peak_decay: Any = None
    t_rewarmup: str | float | None = None
    t_hold: str | float | None = None

    @property
    def curve_kind(self) -> str:
        """The kind of curve that the run draws, as its record has it."""
        return cyclic_kind(self.t_hold) if self.kind == 'cyclic' else self.kind


@dataclass
class EvaluationRecipe:
    """Evaluation.

    Attributes:
        interval (str): How often to evaluate beside the troughs, such as ``1ep``. Default: ``'0ep'``, not at all.
    """

    interval: str = '0ep'


@dataclass
class SnapshotRecipe:
    """The points of the curve; see :class:`~composer_clr.ParetoSnapshot`.

    Attributes:
        folder (str): Where ``curve.json`` and the snapshots go. Default: ``'{run_name}/pareto'``.
        metrics (list[str] | None): The metrics to record. Default: ``None``, all.
        directions (dict[str, str]): ``max`` or ``min``, by metric, where the name does not tell.
        save_weights (bool): Whether to save the weights at each trough. Default: ``True``.
        peak_window (str): How far before a trough its best value is looked for. Default: ``'0ep'``.
        method (str | None): Name of the method. Default: ``None``, made of the algorithms.
        kind (str | None): Name of the kind of curve, by which curves are told apart and compared with the standard
            one. Default: ``None``, ``schedule.kind``, or ``wsd-s`` for a cyclic run with ``t_hold``.
        overwrite (bool): Whether a new run may replace the curve of an earlier one. Default: ``False``.
        on_nan (str): ``stop`` or ``continue`` after the trough at which training has diverged. Default: ``'stop'``.
        log_artifact (bool): Whether to log each snapshot to Weights & Biases as an artifact. Default: ``False``.
    """

    folder: str = '{run_name}/pareto'
    metrics: list[str] | None = None
    directions: dict[str, str] = field(default_factory=dict)
    save_weights: bool = True
    peak_window: str = '0ep'
    method: str | None = None
    kind: str | None = None
    overwrite: bool = False
    on_nan: str = 'stop'
    log_artifact: bool = False


@dataclass
class CheckpointRecipe:
    """The Trainer's own checkpoints, from which a run is resumed.

    Attributes:
        folder (str | None): Where they go. Default: ``None``, none are written.
        interval (str): How often. Default: ``'1ep'``.
        keep (int): How many of the newest to keep; -1 keeps all. Default: ``1``.
        autoresume (bool): Whether to go on from the newest in the folder, and to write over those that a killed run
            left half made. Default: ``False``.
        load_path (str | None): A checkpoint to start from. It is unpickled: load only what you trust.
    """

    folder: str | None = None
    interval: str = '1ep'
    keep: int = 1
    autoresume: bool = False
    load_path: str | None = None


@dataclass
class Recipe:
    """A training run, whole.

    Attributes:
        run_name (str): Name of the run, and of its folder.
        base (str | None): The recipe that this one is a variation of, by name, or by path from this one's folder.
        seed (int): Seed of the weights and of all that is drawn while training; the order of the images is that of
            Composer's sampler, the same for every seed. Default: ``17``.
        max_duration (str): How long to train: ``512ep``.
        precision (str | None): ``fp32``, ``amp_fp16`` or ``amp_bf16``. Default: ``None``, Composer's own choice.
        device_train_microbatch_size (int | str | None): Images that a rank takes at a time, which is what batch norm
            sees; ``auto``: as many as a GPU's memory holds. Default: ``None``, its batch.
        compile (bool): Whether to compile the network with ``torch.compile``. Default: ``False``.
        progress_bar (bool): Whether to draw Composer's progress bar. Default: ``True``.
        model (ModelRecipe): The network.
        data (DataRecipe): The images.
        optimizer (OptimizerRecipe): The optimizer.
        schedule (ScheduleRecipe): The learning rate over time.
        algorithms (dict): Composer's algorithms and ours by class name, each with its arguments, in order:
            ``{MixUp: {alpha: 0.2}, LabelSmoothing: {smoothing: 0.1}}``. ``false`` in place of the arguments leaves out
            one that the base has; so for callbacks and loggers. ``in_cycles: true`` makes one go by the cycles rather
            than by the whole run; see :class:`~composer_clr.InCycles`.
        evaluation (EvaluationRecipe): Evaluation.
        snapshot (SnapshotRecipe): The points of the curve.
        callbacks (dict): Composer's callbacks and :class:`~composer_clr.TroughAverage` by class name, each with its
            arguments: ``{SpeedMonitor: {}}``.
        loggers (dict): Composer's loggers by class name, each with its arguments: ``{WandBLogger: {project: clr}}``.
        checkpoint (CheckpointRecipe): The Trainer's own checkpoints.
    """

    run_name: str = MISSING
    base: str | None = None
    seed: int = 17
    max_duration: str = MISSING
    precision: str | None = None
    device_train_microbatch_size: int | str | None = None
    compile: bool = False
    progress_bar: bool = True
    model: ModelRecipe = field(default_factory=ModelRecipe)
    data: DataRecipe = field(default_factory=DataRecipe)
    optimizer: OptimizerRecipe = field(default_factory=OptimizerRecipe)
    schedule: ScheduleRecipe = field(default_factory=ScheduleRecipe)
    algorithms: dict[str, Any] = field(default_factory=dict)
    evaluation: EvaluationRecipe = field(default_factory=EvaluationRecipe)
    snapshot: SnapshotRecipe = field(default_factory=SnapshotRecipe)
    callbacks: dict[str, Any] = field(default_factory=dict)
    loggers: dict[str, Any] = field(default_factory=dict)
    checkpoint: CheckpointRecipe = field(default_factory=CheckpointRecipe)

    @property
    def curve_kind(self) -> str:
        """The kind of curve that the run draws, as its record has it."""
        return self.snapshot.kind or self.schedule.curve_kind


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe and check it against its schema.

    Args:
        name (str): A shipped recipe (``'quickstart/digits'``) or the path of a YAML file.
        overrides (Sequence[str]): ``key=value`` pairs, values in YAML's notation.

    Raises:
        RecipeError: If there is no such recipe, or a key is unknown, a value has the wrong type or is missing.

    Example:
        >>> load_recipe('quickstart/digits', ['schedule.kind=standard', 'max_duration=4ep']).run_name
        'digits-baseline-standard-4ep-seed17'
    """
    config = OmegaConf.structured(Recipe)
    for source, own_keys in _with_bases(name):
        with _errors_of(source):
            config = OmegaConf.merge(config, own_keys)
    for override in overrides:
        key, equals, value = override.partition('=')
        if not equals or not _KEY.fullmatch(key):
            raise RecipeError(f'{override!r} is not key=value, such as schedule.kind=standard')
        with _errors_of(override):
            _check(check_plain, value, override)
            config = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
    with _errors_of(name):
        _check(check_references, OmegaConf.to_container(config), name)
        if config.snapshot.method is None:
            chosen = (algorithm for algorithm, choice in config.algorithms.items() if choice is not False)
            config.snapshot.method = method_name(chosen)
        missing = sorted(OmegaConf.missing_keys(config))
        if missing:
            raise RecipeError(f'{name} leaves {", ".join(missing)} open: give {missing[0]}=VALUE')
        recipe = OmegaConf.to_object(config)
    assert isinstance(recipe, Recipe)
    if recipe.schedule.kind not in KINDS:
        raise RecipeError(f'schedule.kind={recipe.schedule.kind!r}: a schedule is either of {", ".join(KINDS)}')
    if recipe.snapshot.on_nan not in ON_NAN:
        raise RecipeError(f"snapshot.on_nan={recipe.snapshot.on_nan!r}: give 'stop' or 'continue'")
    try:
        check_run_name(recipe.run_name)
    except ValueError as error:
        raise RecipeError(str(error)) from error
    return recipe


def shipped_recipes() -> list[str]:
    """Names of the recipes that come with the package.

    Example:
        >>> 'quickstart/digits' in shipped_recipes()
        True
    """
    return sorted(path.relative_to(_YAMLS).with_suffix('').as_posix() for path in _YAMLS.rglob('*.yaml'))


def _with_bases(name: str) -> list[tuple[str, Any]]:
    """The keys of a recipe's own file, after those of the recipes that it is a variation of, each with its name."""
    chain: list[tuple[str, Any]] = []
    paths = [_path_of(name, Path())]
    while True:
        with _errors_of(name):
            text = _text(name, paths[-1])
            _check(partial(check_plain, mapping=True), text, name)
            own_keys = OmegaConf.create(text)
            # First of all: to ask for a key is to follow its references.
            _check(check_references, OmegaConf.to_container(own_keys), name)
        chain.insert(0, (name, own_keys))
        base = own_keys.get('base') if isinstance(own_keys, DictConfig) else None
        if base is None:
            return chain
        paths.append(_path_of(str(base), paths[-1].parent))
        if paths[-1] in paths[:-1]:
            raise RecipeError(f'{name}: base={base!r} leads back to itself')
        name = str(base)


def _path_of(name: str, folder: Path) -> Path:
    if name in shipped_recipes():
        return _YAMLS / f'{name}.yaml'
    if Path(name).suffix in ('.yaml', '.yml'):
        return (folder / name).resolve()
    raise RecipeError(f'there is no recipe {name!r}{did_you_mean(name, shipped_recipes())}')


def _text(name: str, path: Path) -> str:
    try:
        return bounded_text(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        raise RecipeError(f'{name}: cannot be read ({error})') from error


def _check(check: Callable[[Any], None], value: Any, source: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise RecipeError(f'{source}: {error}') from error


@contextmanager
def _errors_of(source: str) -> Iterator[None]:
    """Tell an error of the YAML or of its types in one line that names where it is."""
    try:
        yield
    except (ConfigKeyError, ConfigAttributeError) as error:
        known = list(getattr(error.object_type, '__dataclass_fields__', ()))
        raise RecipeError(f'{source}: unknown key {error.full_key!r}{did_you_mean(str(error.key), known)}') from error
    except OmegaConfBaseException as error:
        what = str(error).partition('\n')[0]
        raise RecipeError(f'{source}: {error.full_key}: {what}') from error
    except RecipeError:
        raise
    except YAMLError as error:
        raise RecipeError(f'{source}: not valid YAML ({" ".join(str(error).split())})') from error
    except (TypeError, ValueError) as error:
        raise RecipeError(f"{source}: not a mapping of the recipe's keys ({error})") from error
