from pathlib import Path

import pytest
from omegaconf import OmegaConf

from composer_clr.curves.settings import flat
from composer_clr.recipes.load import load_recipe, shipped_recipes
from composer_clr.recipes.schema import RecipeError
from tests.helpers.recipes import MINIMAL

YAMLS = Path(__file__).parents[2] / 'yamls'


def value_at(values, key):
    for part in key.split('.'):
        values = values[part]
    return values


@pytest.fixture
def minimal(tmp_path: Path) -> str:
    (tmp_path / 'mine.yaml').write_text(MINIMAL)
    return str(tmp_path / 'mine.yaml')


@pytest.mark.parametrize('name', shipped_recipes())
def test_a_shipped_recipe_is_as_omegaconf_merges_and_fills_it_in(name):
    overrides = [
        'data.path=/d',
        'optimizer.lr=1e-3',
        'algorithms.MixUp.alpha=0.3',
        'run_name=${seed}-lr${optimizer.lr}',
    ]
    chain = [OmegaConf.load(YAMLS / f'{name}.yaml')]
    while 'base' in chain[0]:
        chain.insert(0, OmegaConf.load(YAMLS / f'{chain[0].base}.yaml'))
    merged = OmegaConf.merge(OmegaConf.create({'seed': 17}), *chain, OmegaConf.from_dotlist(overrides))
    recipe = load_recipe(name, overrides).plain()
    for key, value in flat(OmegaConf.to_container(merged, resolve=True)).items():  # type: ignore[arg-type]
        assert value_at(recipe, key) in (value, str(value)), key


def test_a_file_of_ones_own_and_overrides(minimal):
    recipe = load_recipe(minimal, ['seed=5', 'optimizer.arguments.momentum=0.9', 'algorithms.MixUp.alpha=0.2'])
    assert (recipe.run_name, recipe.seed, recipe.optimizer.arguments) == ('mine', 5, {'momentum': 0.9})
    assert recipe.algorithms == {'MixUp': {'alpha': 0.2}}
    assert recipe.snapshot.folder == '{run_name}/pareto'


def test_overrides_reach_what_refers_to_them():
    recipe = load_recipe('quickstart/digits', ['schedule.kind=standard', 'max_duration=4ep', 'seed=3'])
    assert recipe.run_name == 'digits-baseline-standard-4ep-seed3'


@pytest.mark.parametrize(
    ('override', 'match'),
    [
        ('sed=3', "sed=3: unknown key 'sed'.*did you mean 'seed'"),
        ('schedule.t0=8ep', "unknown key 'schedule.t0'.*did you mean 't_0'"),
        ('seed=many', 'seed=many: must be a valid integer'),
        ('seed=true', 'seed=true: must be a valid integer'),
        ('lr=0.1', "unknown key 'lr', did you mean 'optimizer.lr'"),
        ('optimizer={lr: 0.1, lr: 0.2}', "not valid YAML .the key 'lr' is there twice"),
        ('model.num_classes=1.5', 'model.num_classes=1.5: must be a valid integer'),
        ('snapshot.metrics=3', 'snapshot.metrics=3: must be a valid list'),
        ('schedule.kind=cylic', "schedule.kind=cylic: must be 'cyclic', 'standard', 'branch'"),
        ('model=3', 'model=3: must be a mapping of its keys'),
        ('model={num_classes: 1.5}', 'model.num_classes=1.5: must be a valid integer'),
        ('data.batch_size=[3]', 'must be a valid integer or a valid string'),
        ('seed', 'seed: must be key=value'),
        ('=3', '=3: must be key=value'),
        ('seed=[', 'seed=\\[: not valid YAML'),
        ('run_name=${nowhere}', r'\$\{nowhere\} names no key'),
        ('run_name=${sed}', r"\$\{sed\} names no key, did you mean 'seed'"),
        ('run_name=${run_name}', 'lead back to themselves'),
        ('max_duration=0ep', "max_duration='0ep' is not above 0"),
        ('max_duration=1e18ba', r"max_duration='1e18ba' is more than 2\*\*53"),
        (f'max_duration={"9" * 5000}ep', "max_duration='9+ep' is not a duration"),
        ('max_duration=long', "max_duration='long' is not a duration: write a whole number"),
    ],
)
def test_refused(minimal, override, match):
    with pytest.raises(RecipeError, match=match) as raised:
        load_recipe(minimal, [override])
    assert '\n' not in str(raised.value)


@pytest.mark.parametrize(
    ('kind', 'section', 'match'),
    [
        ('anytime', 'average={windw: 0.5}', "schedule.average: unknown key 'windw', did you mean 'window'"),
        ('anytime', 'average={window: 1.5}', 'schedule.average: window=1.5: must be a part of the time so far'),
        ('anytime', 'average={decay: sqrt}', "schedule.average: decay='sqrt': unknown decay, did you mean '1-sqrt'"),
        (
            'anytime',
            'average={half_life: 0.2, decay: cosine}',
            'schedule.average: half_life=0.2 replaces window and decay',
        ),
        (
            'schedule-free',
            'schedule_free={lrr: 1.0}',
            "schedule.schedule_free: .*unknown key 'optimizer.lrr', did you mean 'lr'",
        ),
        (
            'schedule-free',
            'schedule_free={lr: fast}',
            "_free: .*optimizer.lr='fast': must be a valid number",
        ),
        ('schedule-free', 'schedule_free={arguments: 3}', 'schedule.schedule_free: .*optimizer.arguments=3: must be'),
    ],
)
def test_the_section_of_a_kind_is_checked(kind, section, match):
    with pytest.raises(RecipeError, match=match) as raised:
        load_recipe('quickstart/digits', [f'schedule.kind={kind}', f'schedule.{section}'])
    assert '\n' not in str(raised.value)


def test_values_of_the_schedule_free_optimizer_have_their_types():
    recipe = load_recipe('quickstart/digits', ['schedule.kind=schedule-free', 'schedule.schedule_free.lr=2'])
    assert repr(recipe.schedule.schedule_free) == repr({'name': 'SGDScheduleFree', 'lr': 2.0})


def test_missing_values_are_named(tmp_path):
    (tmp_path / 'open.yaml').write_text(MINIMAL.replace('lr: 0.1', '').replace('kind: cyclic, ', ''))
    with pytest.raises(RecipeError, match=r'optimizer.lr, schedule.kind are required: pass optimizer.lr=VALUE'):
        load_recipe(str(tmp_path / 'open.yaml'))


@pytest.mark.parametrize(
    ('text', 'match'),
    [
        (MINIMAL + 'sedd: 1', "unknown key 'sedd'.*did you mean 'seed'"),
        ('model: [', 'not valid YAML'),
        ('!!python/object/apply:os.system [true]', 'not valid YAML .*tags'),
        ('run_name: &name a\nmax_duration: *name', 'not valid YAML .*aliases'),
        ('<<: {run_name: a}', "unknown key '<<'"),
        ('a: ' + '[' * 60_000, 'not valid YAML .nested deeper than 40 levels'),
        ('seed: 0x' + 'f' * 60_000, 'a number of more than 40 digits'),
        ('1: 2', "the key '1' must be a name"),
        ('- a list', 'bad.yaml: not a mapping'),
    ],
    ids=['unknown-key', 'broken', 'python-object', 'alias', 'merge', 'deep', 'digits', 'key', 'list'],
)
def test_bad_files(tmp_path, text, match):
    (tmp_path / 'bad.yaml').write_text(text)
    with pytest.raises(RecipeError, match=match):
        load_recipe(str(tmp_path / 'bad.yaml'))


def test_no_such_recipe():
    with pytest.raises(RecipeError, match="recipe 'quickstart/digit': unknown name.*did you mean 'quickstart/digits'"):
        load_recipe('quickstart/digit')
    with pytest.raises(RecipeError, match=r"'README.md': unknown name: name a shipped recipe, or a file that ends in"):
        load_recipe('README.md')
    with pytest.raises(RecipeError, match=r'nowhere.yaml: cannot be read'):
        load_recipe('nowhere.yaml')
