"""What may change on a resume: runs made longer, and settings that differ from those of the recorded points."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from composer import Callback, Event
from composer.algorithms import EMA, LabelSmoothing
from composer.loss import soft_cross_entropy
from composer.optim import CosineAnnealingWithWarmupScheduler, DecoupledSGDW, PolynomialWithWarmupScheduler
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader

from composer_clr import AnytimeScheduler, CyclicCosineScheduler
from tests.helpers.launcher import launch
from tests.helpers.recorded_runs import Stop, StopAfter, curve, doubling, snapshot
from tests.helpers.trainers import classifier, loader

pytestmark = pytest.mark.filterwarnings(
    # Composer's, of a checkpoint made at an epoch's last batch.
    'ignore:No batches were trained for global rank 0:UserWarning',
    'ignore:The ``compute`` method of metric MulticlassAccuracy was called before:UserWarning',
    'ignore:max_duration=.*stops:UserWarning',
    # Composer's, of what the checkpoint does not hold; ours comes after it.
    'ignore:.* is not in the state_dict:UserWarning',
)


@pytest.fixture
def trainer(make_trainer):
    """A Trainer that saves after every epoch, and resumes."""

    def make(folder: str = 'out', callbacks=(), **changes):
        model = classifier()
        arguments = {
            'model': model,
            'optimizers': torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9),
            'schedulers': doubling(),
            'callbacks': [snapshot(folder=folder, autoresume=True, **changes.pop('snapshot', {})), *callbacks],
            'save_folder': f'{folder}-own',
            'save_interval': '1ep',
            'save_overwrite': True,
            'autoresume': True,
        }
        return make_trainer(**{**arguments, **changes})

    return make


def standard() -> CosineAnnealingWithWarmupScheduler:
    return CosineAnnealingWithWarmupScheduler('1ep', '1dur')


def without_times(folder: str = 'out'):
    return [(p.cycle, p.batch, p.epoch, p.lr, p.metrics, p.checkpoint, p.own_decay) for p in curve(folder).points]


def weights(path: str) -> dict[str, torch.Tensor]:
    return torch.load(path, weights_only=True)['state']['model']


def same_weights(*paths: str) -> bool:
    first, second = map(weights, paths)
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize('first', ['4ep', '35ba'], ids=['at-a-trough', 'within-an-epoch'])
def test_one_more_doubling_is_the_undisturbed_longer_run(trainer, first):
    whole = trainer('whole', max_duration='8ep')
    whole.fit()
    trainer(max_duration=first).fit()
    longer = trainer(max_duration='8ep')
    longer.fit()
    assert without_times() == without_times('whole')
    assert [p.batch for p in curve().points] == [20, 40, 80]
    assert curve().run.changes == []
    assert all(same_weights(f'out/{p.checkpoint}', f'whole/{p.checkpoint}') for p in curve().points)
    final = whole.state.model.state_dict()
    assert all(torch.equal(value, final[name]) for name, value in longer.state.model.state_dict().items())


def test_a_standard_run_made_longer_gets_a_second_point(trainer):
    trainer(schedulers=standard(), max_duration='4ep').fit()
    first = curve().points[0]
    longer = trainer(schedulers=standard(), max_duration='8ep')
    with pytest.warns(UserWarning, match="continues at batch 40 .*max_duration='4ep', now '8ep'.*the curve records"):
        longer.fit()
    points = curve().points
    assert [(p.cycle, p.batch, p.epoch, p.own_decay) for p in points] == [(0, 40, 4.0, True), (1, 80, 8.0, False)]
    assert points[0].metrics == first.metrics
    assert points[0].wall_clock_train_s == first.wall_clock_train_s < points[1].wall_clock_train_s
    assert curve().run.changes == [{'batch': 40, 'changed': {'max_duration': ['4ep', '8ep']}}]
    assert {p.checkpoint for p in points} == {p.name for p in Path('out').glob('*.pt')}
    final = longer.state.model.state_dict()
    assert all(torch.equal(value, final[name]) for name, value in weights('out/cycle1-ba80.pt').items())


def test_a_standard_run_made_longer_before_its_end_says_so(trainer):
    with pytest.raises(Stop):
        trainer(schedulers=standard(), max_duration='4ep', callbacks=[StopAfter(25, Event.BATCH_START)]).fit()
    with pytest.warns(UserWarning, match='continues at batch 20 under other settings'):
        trainer(schedulers=standard(), max_duration='8ep').fit()
    assert [(p.cycle, p.batch) for p in curve().points] == [(0, 80)]
    assert curve().run.changes[0]['batch'] == 20


def ends(*troughs: str) -> CyclicCosineScheduler:
    return CyclicCosineScheduler(cycle_ends=list(troughs), t_warmup='1ep')


def network(optimizer=torch.optim.SGD, groups: bool = False, loss=soft_cross_entropy, p: float | None = None, **passed):
    """Returns the model and the optimizer of a run."""
    model = classifier()
    model._loss_fn = loss
    if p is not None:
        model.module = torch.nn.Sequential(model.module, torch.nn.Dropout(p))
    parameters = [{'params': [one]} for one in model.parameters()] if groups else model.parameters()
    return {'model': model, 'optimizers': optimizer(parameters, **{'lr': 0.5, 'momentum': 0.9, **passed})}


def shuffled() -> DataLoader:
    return DataLoader(loader(40).dataset, 4, shuffle=True)


# What a run is resumed with after the usual one, or after one with the second settings, and all that is named;
# test_trainer_settings has the rest of what is compared.
CHANGES: dict[str, tuple[Any, ...]] = {
    'schedule': (
        {'schedulers': CyclicCosineScheduler('2ep', 3, '0ep', alpha_f=0.1), 'step_schedulers_every_batch': False},
        "schedule.t_0='1ep', now '2ep'; schedule.t_mult=2, now 3; schedule.t_warmup='1ep', now '0ep'; "
        'schedule.alpha_f=0.0, now 0.1; step_schedulers_every_batch=True, now False',
    ),
    'cycle_ends': ({'schedulers': ends('2ep', '5ep', '8ep')}, "cycle_ends=None, now ['2ep', '5ep', '8ep']"),
    'run': (
        {
            'train_dataloader': loader(40, batch_size=2),
            'algorithms': LabelSmoothing(0.1),
            'snapshot': {'kind': 'other', 'peak_window': '1ep'},
        },
        "data.batch_size=4, now 2; method='baseline', now 'LS'; kind='cyclic', now 'other'; "
        "peak_window='0ep', now '1ep'",
    ),
    'network': (
        {**network(p=0.5, lr=0.1), 'algorithms': EMA('20ba')},
        {**network(p=0.1), 'algorithms': EMA('4ba')},
        "model.structure=; optimizer.lr=0.5, now 0.1; EMA.half_life='4ba', now '20ba'",
    ),
}
_TRAINED: list[Path] = []


@pytest.fixture
def usual(trainer, tmp_path_factory):
    """Puts a run of four epochs into the folder, trained once for all tests."""
    if not _TRAINED:
        trainer(max_duration='4ep').fit()
        _TRAINED.append(tmp_path_factory.mktemp('usual') / 'run')
        shutil.copytree('.', _TRAINED[0], symlinks=True)
    else:
        shutil.copytree(_TRAINED[0], '.', symlinks=True, dirs_exist_ok=True)


@pytest.mark.parametrize('change', CHANGES)
def test_other_settings_are_refused_before_the_first_batch(trainer, request, change):
    changes, *usually, named = CHANGES[change]
    if usually:
        trainer(max_duration='4ep', **usually[0]).fit()
    else:
        request.getfixturevalue('usual')
    before = Path('out/curve.json').read_text()
    second = trainer(max_duration='8ep', **changes)
    remedy = "train under another run_name, or set on_change='continue'"
    with pytest.raises(ValueError, match=remedy) as error:
        second.fit()
    assert all(one in str(error.value) for one in named.split('; '))
    assert '\n' not in str(error.value)
    assert second.state.timestamp.batch == 40
    assert Path('out/curve.json').read_text() == before


def test_what_is_no_matter_is_silent(trainer, usual):
    trainer(
        max_duration='8ep',
        seed=None,
        device_train_microbatch_size=4,
        eval_interval='1ep',
        eval_dataloader=loader(40, batch_size=10, seed=1),
        snapshot={'metrics': ['eval/MulticlassAccuracy'], 'save_weights': False, 'on_nan': 'continue'},
    ).fit()
    assert [p.batch for p in curve().points] == [20, 40, 80]
    assert curve().run.changes == []


def test_another_pace_is_recorded_with_its_time(trainer, usual):
    same = DataLoader(loader(40).dataset, 4, num_workers=1)
    trainer(max_duration='8ep', train_dataloader=same).fit()
    (change,) = curve().run.changes
    assert (change['batch'], change['pace'], change['changed']['loader.num_workers']) == (40, True, [0, 1])
    times = [p.wall_clock_train_s for p in curve().points]
    assert times[1] <= change['wall_clock_train_s'] < times[2]
    assert [p.batch for p in curve().points] == [20, 40, 80]


def test_what_the_checkpoint_replaces_is_named_in_one_warning(trainer):
    trainer(max_duration='4ep', **network(DecoupledSGDW)).fit()
    others = network(DecoupledSGDW, lr=0.1, momentum=0.8, weight_decay=1e-3)
    with pytest.warns(UserWarning, match='resumed with the settings of the checkpoint') as caught:
        trainer(max_duration='8ep', seed=18, snapshot={'on_change': 'continue'}, **others).fit()
    message = next(str(one.message) for one in caught if 'resumed with' in str(one.message))
    for replaced in ('optimizer.lr=0.5 (not 0.1)', 'optimizer.momentum=0.9 (not 0.8)', 'seed=17 (not 18)'):
        assert replaced in message
    # As nothing has changed in training, the record says what it was trained with.
    assert curve().run.changes == []
    settings = curve().run.settings
    assert settings is not None
    assert (settings['optimizer.lr'], curve().run.seed) == (0.5, 17)


def test_another_seed_is_named_and_is_the_checkpoints(trainer, usual):
    with pytest.warns(UserWarning, match=r'not those passed now: seed=17 \(not 18\)'):
        trainer(max_duration='8ep', seed=18).fit()
    assert (curve().run.seed, curve().run.changes) == (17, [])


class DecayGrows(Callback):
    def batch_start(self, state, logger):
        for group in state.optimizers[0].param_groups:
            group['weight_decay'] = 0.001 * state.timestamp.batch.value


def warmup_then_cosine(optimizer) -> lr_scheduler.LRScheduler:
    parts = [lr_scheduler.LinearLR(optimizer, 0.1, 1.0, 5), lr_scheduler.CosineAnnealingLR(optimizer, 45)]
    return lr_scheduler.SequentialLR(optimizer, parts, [5])


@pytest.mark.parametrize(
    'scheduler',
    [lambda optimizer: lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=50), warmup_then_cosine],
    ids=['OneCycleLR', 'SequentialLR'],
)
@pytest.mark.filterwarnings('ignore:The epoch parameter in `scheduler.step:UserWarning')
def test_what_a_callback_or_a_scheduler_of_torch_changes_is_not_the_users(trainer, scheduler):
    for duration in ('3ep', '4ep'):
        model = classifier()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        changes = {'schedulers': scheduler(optimizer), 'snapshot': {'scheduler': ['2ep', '4ep']}}
        trainer(model=model, optimizers=optimizer, max_duration=duration, callbacks=[DecayGrows()], **changes).fit()
    run = curve().run
    assert run.changes == []
    assert (run.settings or {})['optimizer.weight_decay'] == 0
    assert [p.batch for p in curve().points] == [20, 40]


def test_from_another_runs_checkpoint_the_rate_is_that_runs(trainer, usual):
    with pytest.warns(UserWarning, match=r'not those passed now: optimizer.lr=0.5 \(not 0.1\)'):
        trainer('second', run_name='second', load_path='out-own/ep4-ba40-rank0.pt', **network(lr=0.1)).fit()
    assert (curve('second').run.settings or {})['optimizer.lr'] == 0.5


def test_another_run_in_one_trainer_is_refused_too(trainer):
    run = trainer(max_duration='4ep')
    run.fit()
    with pytest.raises(ValueError, match='data.batch_size=4, now 2'):
        run.fit(duration='4ep', train_dataloader=loader(40, batch_size=2))


@pytest.mark.filterwarnings("ignore:training ended at batch 120, before the trough at '8ep'")
def test_or_recorded_when_asked_to_continue(trainer, usual):
    changes = {'train_dataloader': loader(40, batch_size=2), 'snapshot': {'on_change': 'continue'}}
    with pytest.warns(UserWarning, match='continues at batch 40 under other settings .data.*loader_length=10, now 20'):
        trainer(max_duration='8ep', **changes).fit()
    # Composer counts on from epoch 4: four more epochs of 20 batches. The schedule's troughs are at 40, 80 and 160.
    assert [(p.cycle, p.batch) for p in curve().points] == [(0, 20), (1, 40), (2, 80)]
    (change,) = curve().run.changes
    assert change == {'batch': 40, 'changed': {'data.loader_length': [10, 20], 'data.batch_size': [4, 2]}}


def test_troughs_of_another_schedule_are_all_recorded_after_the_change(trainer, usual):
    changes = {'schedulers': CyclicCosineScheduler(cycle_ends=['3ep', '5ep', '6ep', '8ep'])}
    with pytest.warns(UserWarning, match='under other settings'):
        trainer(max_duration='8ep', snapshot={'on_change': 'continue'}, **changes).fit()
    assert [(p.cycle, p.batch) for p in curve().points] == [(0, 20), (1, 40), (2, 50), (3, 60), (4, 80)]


@pytest.mark.parametrize(
    ('before', 'after'),
    [(ends('2ep', '4ep'), ends('2ep', '4ep', '5ep', '8ep')), (doubling(), CyclicCosineScheduler('10ba', 2.0, '10ba'))],
    ids=['troughs-to-come', 'other-words-for-the-same'],
)
def test_what_changes_nothing_that_was_trained_is_silent(trainer, before, after):
    trainer(max_duration='4ep', schedulers=before).fit()
    trainer(max_duration='8ep', schedulers=after).fit()
    assert [p.batch for p in curve().points][:2] == [20, 40]
    assert [p.batch for p in curve().points][-1] == 80
    assert curve().run.changes == []


def test_a_cycle_whose_end_moves_under_way_is_refused(trainer):
    trainer(max_duration='3ep', schedulers=ends('2ep', '4ep')).fit()
    with pytest.raises(ValueError, match=r"cycle_ends=\['2ep', '4ep'\], now \['2ep', '8ep'\]"):
        trainer(max_duration='8ep', schedulers=ends('2ep', '8ep')).fit()


def test_from_another_runs_checkpoint_the_curve_starts_empty(trainer):
    trainer('first', max_duration='4ep').fit()
    left_s = curve('first').points[-1].wall_clock_train_s
    trainer('second', max_duration='8ep', run_name='second', load_path='first-own/ep4-ba40-rank0.pt').fit()
    run = curve('second').run
    assert [(p.cycle, p.batch) for p in curve('second').points] == [(2, 80)]
    assert run.parent is not None
    assert (run.parent['run_name'], run.parent['batch']) == ('run', 40)
    assert left_s < run.parent['wall_clock_train_s'] < curve('second').points[0].wall_clock_train_s
    trainer('second', max_duration='16ep', run_name='second').fit()
    assert [(p.cycle, p.batch) for p in curve('second').points] == [(2, 80), (3, 160)]
    assert curve('second').run.parent == run.parent


# Checkpoints from before an argument of the scheduler was recorded, or existed.


@pytest.fixture
def leave_out(monkeypatch):
    """Has checkpoints leave arguments out of the run's schedule, or all settings."""
    from composer_clr.recording.run_state import RunState

    plain = RunState.as_plain

    def leave_out(*names: str, settings: bool = False) -> None:
        def without(self):
            state = plain(self)
            if state['curve'] is not None:
                curve = json.loads(state['curve'])
                for name in names:
                    del curve['run']['schedule'][name]
                if settings:
                    del curve['run']['settings']
                state['curve'] = json.dumps(curve)
            return state

        monkeypatch.setattr(RunState, 'as_plain', without)

    return leave_out


def polynomial(alpha_f: float = 0.0) -> PolynomialWithWarmupScheduler:
    return PolynomialWithWarmupScheduler('1ep', power=2.0, alpha_f=alpha_f)


@pytest.mark.parametrize(
    ('scheduler', 'names'),
    [
        (doubling, ['alpha_f', 't_warmup', 't_mult', 'ssr']),
        (lambda: AnytimeScheduler(['2ep', '4ep', '8ep'], t_warmup='1ep'), ['rate', 'ssr']),
    ],
)
def test_an_argument_that_a_checkpoint_leaves_out_is_at_its_default(trainer, leave_out, scheduler, names):
    leave_out(*names)
    trainer(max_duration='4ep', schedulers=scheduler()).fit()
    trainer(max_duration='8ep', schedulers=scheduler()).fit()
    assert [p.batch for p in curve().points] == [20, 40, 80]
    assert curve().run.changes == []


@pytest.mark.parametrize(
    ('before', 'after', 'name', 'match'),
    [
        (doubling(), CyclicCosineScheduler('1ep', 2, '1ep', alpha_f=0.1), 'alpha_f', 'alpha_f=0.0, now 0.1'),
        (
            AnytimeScheduler(['2ep', '4ep'], t_warmup='1ep'),
            AnytimeScheduler(['2ep', '4ep', '8ep'], t_warmup='1ep', rate='1/sqrt', a='1ep'),
            'rate',
            "rate='constant', now '1/sqrt'; schedule.a=None, now '1ep'",
        ),
        (polynomial(), polynomial(alpha_f=0.1), 'alpha_f', 'alpha_f=0.0, now 0.1'),
    ],
)
def test_and_any_other_value_is_refused(trainer, leave_out, before, after, name, match):
    leave_out(name)
    trainer(max_duration='4ep', schedulers=before).fit()
    with pytest.raises(ValueError, match=match):
        trainer(max_duration='8ep', schedulers=after).fit()


def test_a_checkpoint_without_settings_is_compared_as_far_as_it_goes(trainer, leave_out):
    leave_out(settings=True)
    trainer(max_duration='4ep').fit()
    for changes, match in ({'train_dataloader': loader(60)}, 'samples=40, now 60'), ({'algorithms': EMA()}, 'EMA'):
        with pytest.raises(ValueError, match=match):
            trainer(max_duration='8ep', **changes).fit()
    trainer(max_duration='8ep').fit()
    assert [p.batch for p in curve().points] == [20, 40, 80]


# Ranks, each with a batch size of its own.

ON_RANKS = """
import sys
import torch
from composer import Trainer
from composer.utils import dist
from torch.utils.data import DataLoader, DistributedSampler, Subset
from tests.helpers.trainers import classifier, loader
from tests.helpers.recorded_runs import doubling, snapshot

def on_ranks(images, batch_size, seed=0):
    dataset = loader(images, seed=seed).dataset
    if 'own-part' in sys.argv:
        part = Subset(dataset, range(dist.get_global_rank(), images, dist.get_world_size()))
        # Composer asks for such a sampler on several ranks.
        return DataLoader(part, batch_size, sampler=DistributedSampler(part, num_replicas=1, rank=0, shuffle=False))
    return DataLoader(dataset, batch_size, sampler=dist.get_sampler(dataset))

dist.initialize_dist('cpu')
model = classifier()
trainer = Trainer(
    model=model,
    run_name='run',
    seed=17,
    train_dataloader=on_ranks(64, int(sys.argv[1])),
    eval_dataloader=on_ranks(40, 20, seed=1),
    optimizers=torch.optim.SGD(model.parameters(), lr=0.5),
    schedulers=doubling(),
    callbacks=snapshot(autoresume=True),
    max_duration=sys.argv[2],
    progress_bar=False,
    save_folder='own',
    save_overwrite=True,
    autoresume=True,
)
try:
    trainer.fit()
except ValueError as error:
    sys.exit(str(error))
trainer.close()
"""


@pytest.mark.slow
def test_another_batch_size_per_rank_is_refused_unless_the_total_is_the_same(tmp_path):
    (tmp_path / 'run.py').write_text(ON_RANKS)
    assert launch(2, 'run.py', '16', '2ep', folder=tmp_path).returncode == 0
    halved = launch(2, 'run.py', '8', '4ep', folder=tmp_path)
    assert halved.returncode == 1
    assert 'data.batch_size=32, now 16' in halved.stderr
    assert launch(1, 'run.py', '32', '4ep', folder=tmp_path).returncode == 0
    run, points = curve(tmp_path / 'out').run, curve(tmp_path / 'out').points
    assert [(p.batch, p.sample) for p in points] == [(4, 128), (8, 256)]
    assert (run.world_size, run.training['batch_size'], [p.world_size for p in points]) == (1, 32, [2, 1])
    assert [(change['batch'], change['changed']['world_size']) for change in run.changes] == [(4, [2, 1])]


@pytest.mark.slow
def test_ranks_that_have_their_own_data_resume_together(tmp_path):
    (tmp_path / 'run.py').write_text(ON_RANKS)
    for duration in ('2ep', '4ep'):
        launched = launch(2, 'run.py', '16', duration, 'own-part', folder=tmp_path)
        assert launched.returncode == 0, launched.stderr
    assert [p.batch for p in curve(tmp_path / 'out').points] == [4, 8]
    assert curve(tmp_path / 'out').run.changes == []
