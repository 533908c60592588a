"""The schema of recipes: one dataclass per section, with types and defaults.

A recipe is data, but the run that it describes writes files and can execute code. Look at these keys of a stranger's
recipe before running it:

* ``checkpoint.load_path``, and ``checkpoint.folder`` with ``checkpoint.autoresume``: the checkpoint is unpickled, and a
  pickle can execute any code.
* ``callbacks`` and ``loggers``: any of Composer's, which write files where their arguments say, upload them, and log
  in to services. ``callbacks.LoadCheckpoint`` unpickles, and is refused.
* ``snapshot.folder``, ``checkpoint.folder`` and ``data.path``: folders, or object stores, that the run writes to, or
  downloads shards to. ``model.arguments.weights`` downloads torchvision's weights.
* Names with a colon, ``mine:network``: functions and classes of the modules that you name with ``--code``, which the
  recipe may call with any arguments. It cannot name other modules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import MISSING, asdict, field, fields, replace
from functools import cache
from inspect import cleandoc
from json import dumps
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import ConfigDict, Field, Strict
from pydantic.dataclasses import dataclass

from composer_clr.curves.names import shaped_kind
from composer_clr.utils.errors import UserError

__all__ = [
    'KINDS',
    'CheckpointRecipe',
    'DataRecipe',
    'EvaluationRecipe',
    'Key',
    'ModelRecipe',
    'OptimizerRecipe',
    'Recipe',
    'RecipeError',
    'ScheduleRecipe',
    'SnapshotRecipe',
    'explained_keys',
    'key_defaults',
    'recipe_keys',
]

Kind = Literal['cyclic', 'standard', 'branch', 'anytime', 'schedule-free']
KINDS: tuple[str, ...] = get_args(Kind)
# Neither a text nor a truth value is a number.
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Seed = Annotated[int, Strict(), Field(ge=0, lt=2**32)]
_CONFIG = ConfigDict(extra='forbid', coerce_numbers_to_str=True)


class RecipeError(UserError):
    """A recipe that cannot be run; the message names the key, the value and the remedy, on one line."""


@dataclass(kw_only=True, config=_CONFIG)
class ModelRecipe:
    """The network and its loss. Its name decides the family of the recipe, image classifier or language model.

    Attributes:
        name (str): An image classifier, ``small_resnet`` or one of torchvision such as ``resnet50``; a language model,
            ``small_transformer``; or, with ``--code mine.py``, your own, ``mine:network``: a class or function that
            returns a ``ComposerModel``, or a torch module, which is trained as one of the data's family.
        num_classes (int | None): Number of classes; required for image classifiers, and for them only. Your own network
            gets it if it takes an argument of this name.
        loss (str | None): Of an image classifier ``soft_cross_entropy`` or ``binary_cross_entropy_with_logits``, of a
            language model ``cross_entropy``. Default: ``None``, the first of the family.
        arguments (dict): Further arguments of the network, by name.
    """

    name: str
    num_classes: Whole | None = None
    loss: str | None = None
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, config=_CONFIG)
class DataRecipe:
    """The data, of the network's family.

    Attributes:
        name (str): Images: ``digits``; ``cifar10``; ``imagefolder``, a folder with ``train/`` and ``val/``, each with
            one folder per class; or ``streaming``, MDS shards of the same. Text: ``standard_library``, bytes of the
            sources of Python's standard library. With ``--code mine.py`` your own, ``mine:loaders``: a function of
            ``batch_size`` and ``eval_batch_size``, per rank, that returns a training and an evaluation loader or
            ``DataSpec``. It also gets ``path`` and ``num_workers`` where they are set, and ``seed``, ``num_classes``
            and ``sequence_length`` if it takes them.
        path (str | None): The folder of the data, where there is one.
        sequence_length (int | None): Tokens per sample; required for language models, and for them only.
        batch_size (int | str): Training samples per batch, over all ranks; of text also in tokens, ``2048tok``.
        eval_batch_size (int | str): Evaluation samples per batch, over all ranks; likewise.
        num_workers (int): Loader processes per rank. Default: ``0``, the rank's own process.
        timeout_s (float): Longest wait for a batch from loader processes before the run fails, in seconds; 0 for no
            limit. Default: ``600.0``.
        arguments (dict): Further arguments of the data set, by name, such as ``train_size`` and ``eval_size``; a
            wrong one is answered with all of them.
    """

    name: str
    path: str | None = None
    sequence_length: Whole | None = None
    batch_size: Whole | str
    eval_batch_size: Whole | str
    num_workers: Whole = 0
    timeout_s: Number = 600.0
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, config=_CONFIG)
class OptimizerRecipe:
    """The optimizer.

    Attributes:
        name (str): A class of ``composer.optim`` or ``torch.optim``; or your own, ``mine:Optimizer``. Default:
            ``'DecoupledSGDW'``.
        lr (float): Learning rate at the top of a cycle.
        weight_decay (float): Weight decay. Default: ``0.0``.
        arguments (dict): Further arguments of the optimizer, by name, such as ``momentum``; ``null`` removes one of
            the base's.
    """

    name: str = 'DecoupledSGDW'
    lr: Number
    weight_decay: Number = 0.0
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True, config=_CONFIG)
class ScheduleRecipe:
    """The learning rate over time. Times are time strings: ``8ep``, ``500ba``, ``0.1dur``.

    Attributes:
        kind (str): ``cyclic``: cosine cycles, a point of the curve at each trough. ``standard``: one cosine from the
            end of the warmup to the end of training, one point. ``branch``: the standard run of a schedule with
            ``t_hold``, which saves a checkpoint where each shorter run branches off, and may start from one
            (``checkpoint.load_path``). ``anytime``: no decay; a point of averaged weights at each mark.
            ``schedule-free``: no decay either; a schedule-free optimizer, a point at each mark. Nothing else differs
            between them.
        t_warmup (str): Length of the linear warmup. Default: ``'0ba'``.
        t_0 (str | None): Period of the first cycle.
        t_mult (float): Period of a cycle over that of the one before. Default: ``2.0``.
        alpha_f (float): End of each decay, as a fraction of ``optimizer.lr``. Default: ``0.0``.
        cycle_ends (list[str] | None): The troughs, in place of ``t_0`` and ``t_mult``.
        shape (str): How a cycle decays: ``cosine``, ``linear``, ``1-sqrt`` or ``triangle``. The standard run of a
            shape is one cycle of it, from the end of the warmup to the end of training. Default: ``'cosine'``.
        peak_decay (float | list[float] | str | None): Factor of the peak at every restart, or at each in turn;
            ``sqrt`` makes the peak one over the square root of the period. Default: ``None``, every peak is 1.
        t_rewarmup (str | float | None): Length of a linear rise after each restart: a time, or a fraction of each
            cycle.
        t_hold (str | float | None): Length of a constant part before each decay: a time, or a fraction of each cycle,
            such as ``0.9``. It makes the cyclic run's curve one of the kind ``wsd-s``.
        marks (list[str] | dict | None): Times of the points of an ``anytime`` or ``schedule-free`` run: a list;
            ``{first: 4ep, last: 64ep, ratio: 2}``; or ``{first: 4ep, last: 64ep, n: 50}``, evenly in log time. Default:
            ``None``, the troughs of the cyclic run.
        rate (str): The rate of such a run, ``constant`` or ``1/sqrt``. Default: ``'constant'``.
        a (str | None): With ``1/sqrt``, the time in which the rate falls to 0.71 of its peak. Default: ``None``.
        average (dict): Arguments of :class:`~composer_clr.AnytimeAverage` in an ``anytime`` run, such as
            ``{window: 0.25}``.
        schedule_free (dict): Keys of ``optimizer`` that differ in a ``schedule-free`` run, such as
            ``{name: SGDScheduleFree, lr: 1.0}``. Default: ``{}``, none.
    """

    kind: Kind
    t_warmup: str = '0ba'
    t_0: str | None = None
    t_mult: Number = 2.0
    alpha_f: Number = 0.0
    cycle_ends: list[str] | None = None
    shape: str = 'cosine'
    peak_decay: Any = None
    t_rewarmup: str | Number | None = None
    t_hold: str | Number | None = None
    marks: Any = None
    rate: str = 'constant'
    a: str | None = None
    average: dict[str, Any] = field(default_factory=dict)
    schedule_free: dict[str, Any] = field(default_factory=dict)

    @property
    def curve_kind(self) -> str:
        """The kind of the run's curve, as recorded in it."""
        return shaped_kind(self.kind, vars(self))

    def of_run(self) -> ScheduleRecipe:
        """Returns the schedule that the run follows: for a standard run or a branch, one cycle to the end."""
        if self.kind not in ('standard', 'branch'):
            return self
        return replace(self, t_0=None, t_mult=2.0, cycle_ends=['1dur'])


@dataclass(kw_only=True, config=_CONFIG)
class EvaluationRecipe:
    """Evaluation.

    Attributes:
        interval (str): How often to evaluate besides the troughs, such as ``1ep``. Default: ``'0ep'``, never.
    """

    interval: str = '0ep'


@dataclass(kw_only=True, config=_CONFIG)
class SnapshotRecipe:
    """The points of the curve; see :class:`~composer_clr.ParetoSnapshot`.

    Attributes:
        folder (str): Where ``curve.json`` and the snapshots go. Default: ``'{run_name}/pareto'``.
        metrics (list[str] | None): The metrics to record. Default: ``None``, all.
        directions (dict[str, str]): ``max`` or ``min``, whichever is best, by metric, where its name implies the
            other. Default: ``{}``, by the words of its name.
        save_weights (bool): Whether to save the weights at each trough. Default: ``True``.
        peak_window (str): How long before a trough its best value may lie. Default: ``'0ep'``.
        method (str | None): Name of the method. Default: ``None``, the names of the algorithms.
        kind (str | None): Kind of the curve, by which curves are grouped and compared with the standard one. Default:
            ``None``, ``schedule.kind``, or ``wsd-s`` for a cyclic run with ``t_hold``.
        overwrite (bool): Whether a new run may replace the curve of an earlier one. Default: ``False``.
        on_nan (str): ``stop`` or ``continue`` after the trough at which training has diverged. Default: ``'stop'``.
        on_change (str): ``refuse`` or ``continue`` a run that is resumed with other settings. Default: ``'refuse'``.
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
    on_nan: Literal['stop', 'continue'] = 'stop'
    on_change: Literal['refuse', 'continue'] = 'refuse'
    log_artifact: bool = False


@dataclass(kw_only=True, config=_CONFIG)
class CheckpointRecipe:
    """The Trainer's own checkpoints, from which runs resume.

    Attributes:
        folder (str | None): Folder of the checkpoints. Default: ``None``, none are written.
        interval (str): How often to write one: ``1ep``, or ``60s``, at the next end of an epoch. Default: ``'1ep'``.
        keep (int): How many of the newest to keep; -1 keeps all. With 1, a checkpoint that a power cut damages has no
            older one to resume from; 2 keeps one. Default: ``1``.
        autoresume (bool): Whether to resume from the newest in the folder, and to overwrite incomplete ones that a
            killed run left. Default: ``False``.
        load_path (str | None): A checkpoint to start from. It is unpickled: load only files that you trust.
    """

    folder: str | None = None
    interval: str = '1ep'
    keep: Whole = 1
    autoresume: bool = False
    load_path: str | None = None


@dataclass(kw_only=True, config=_CONFIG)
class Recipe:
    """A training run.

    Attributes:
        run_name (str): Name of the run, and of its folder.
        base (str | None): The recipe that this one varies, by name, or by path relative to this one's folder.
        seed (int): Seed of the weights, of the order of the training samples, and of all other random numbers.
            Default: ``17``.
        max_duration (str): How long to train: ``512ep``.
        precision (str | None): ``fp32``, ``amp_fp16`` or ``amp_bf16``. Default: ``None``, Composer's own choice.
        device_train_microbatch_size (int | str | None): Samples per microbatch and rank, over which batch norm
            normalises; ``auto``: as many as fit in the GPU's memory. Default: ``None``, the rank's whole batch.
        compile (bool): Whether to compile the network with ``torch.compile``. Default: ``False``.
        progress_bar (bool): Whether to show Composer's progress bar. Default: ``True``.
        model (ModelRecipe): The network.
        data (DataRecipe): The data.
        optimizer (OptimizerRecipe): The optimizer.
        schedule (ScheduleRecipe): The learning rate over time.
        algorithms (dict): Algorithms of Composer and of this package by class name, with their arguments, in order:
            ``{MixUp: {alpha: 0.2}, LabelSmoothing: {smoothing: 0.1}}``. ``false`` in place of the arguments removes one
            of the base's, here and for callbacks and loggers. ``in_cycles: true`` makes one follow the cycles rather
            than the whole run; see :class:`~composer_clr.InCycles`. Your own are ``mine:Algorithm``.
        evaluation (EvaluationRecipe): Evaluation.
        snapshot (SnapshotRecipe): The points of the curve.
        callbacks (dict): Composer's callbacks, :class:`~composer_clr.TroughAverage` and
            :class:`~composer_clr.FastCycles` by class name, each with its arguments: ``{SpeedMonitor: {}}``. Your own
            are ``mine:Callback``.
        loggers (dict): Composer's loggers by class name, each with its arguments: ``{WandBLogger: {project: clr}}``.
        checkpoint (CheckpointRecipe): The Trainer's own checkpoints.
        code (dict): Modules of your own, which ``--code mine.py`` names, and no recipe. Default: ``{}``, none.
    """

    run_name: str
    base: str | None = None
    seed: Seed = 17
    max_duration: str
    precision: str | None = None
    device_train_microbatch_size: Whole | str | None = None
    compile: bool = False
    progress_bar: bool = True
    model: ModelRecipe
    data: DataRecipe
    optimizer: OptimizerRecipe
    schedule: ScheduleRecipe
    algorithms: dict[str, Any] = field(default_factory=dict)
    evaluation: EvaluationRecipe = field(default_factory=EvaluationRecipe)
    snapshot: SnapshotRecipe = field(default_factory=SnapshotRecipe)
    callbacks: dict[str, Any] = field(default_factory=dict)
    loggers: dict[str, Any] = field(default_factory=dict)
    checkpoint: CheckpointRecipe = field(default_factory=CheckpointRecipe)
    code: dict[str, Any] = field(default_factory=dict)

    @property
    def curve_kind(self) -> str:
        """The kind of the run's curve, as recorded in it."""
        return self.snapshot.kind or self.schedule.curve_kind

    def plain(self) -> dict[str, Any]:
        """Returns what a curve keeps of the recipe, as nested plain values: of ``code`` the digests by module.

        That is without ``loggers``, whose arguments may be secret, and which change nothing.
        """
        kept = {name: value for name, value in asdict(self).items() if name != 'loggers'}
        return {**kept, 'code': {module: code.digest for module, code in self.code.items()}}


class Key(NamedTuple):
    """A key of recipes: its dotted name, its type, its default (``MISSING`` if it is required) and its meaning."""

    name: str
    type: str
    default: Any
    meaning: str


@cache
def recipe_keys() -> dict[str, Key]:
    """Returns every key of a recipe by its dotted name, as the classes above declare and document them.

    Example:
        >>> recipe_keys()['optimizer.weight_decay']
        Key(name='optimizer.weight_decay', type='float', default=0.0, meaning='Weight decay.')
    """
    return {key.name: key for key in _keys(Recipe, '')}


def key_defaults() -> dict[str, Any]:
    """Returns the default of every key that has one, by the key's dotted name."""
    return {name: key.default for name, key in recipe_keys().items() if key.default is not MISSING}


def explained_keys() -> str:
    """Returns the type, the default and the meaning of every key, as ``--keys`` prints them."""
    lines = []
    for name, kind, default, meaning in recipe_keys().values():
        shown = default if isinstance(default, str) else dumps(default, default=lambda _: None)
        lines.append(f'{name} ({kind}, {"required" if default is MISSING else f"default {shown}"})\n    {meaning}')
    return '\n'.join(lines)


_DOCUMENTED = re.compile(r'^    (\w+) \(([^)]+)\): (.+(?:\n {8}.+)*)', re.MULTILINE)
_MARKUP = re.compile(r':\w+:`~?(?:\w+\.)*(\w+)`|``(.*?)``')
_DEFAULT = re.compile(r' ?Default: ``[^`]*``(?:, ([^.]+))?\.')


def _keys(section: type, prefix: str) -> Iterator[Key]:
    documented = {name: (kind, text) for name, kind, text in _DOCUMENTED.findall(cleandoc(section.__doc__ or ''))}
    for one in fields(section):
        kind, text = documented[one.name]
        if kind.endswith('Recipe'):
            yield from _keys(globals()[kind], f'{prefix}{one.name}.')
            continue
        default = one.default if one.default_factory is MISSING else one.default_factory()
        meaning = _DEFAULT.sub(lambda found: f' By default: {found[1]}.' if found[1] else '', ' '.join(text.split()))
        meaning = _MARKUP.sub(lambda found: found[1] or found[2], meaning)
        yield Key(f'{prefix}{one.name}', kind, default, meaning)
