"""Images in MDS shards: the pixels of the ImageFolder, exact evaluation, the same order after a resume."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch
from composer import Trainer
from composer.models import ComposerClassifier
from composer.utils import reproducibility
from PIL import Image
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms.functional import pil_to_tensor

from composer_clr.data.conversion.convert import Conversion, convert_images
from composer_clr.data.imagefolder import imagefolder_dataspecs
from composer_clr.data.images import EvalTransform, ImageFolderDataset
from composer_clr.training.models import SmallResNet
from tests.helpers.launcher import launch
from tests.helpers.loaders import end, end_workers
from tests.helpers.photographs import write_folder
from tests.helpers.trainers import trainers

pytest.importorskip('streaming', reason='the extra streaming is not installed')
from streaming import MDSWriter

from composer_clr.data.streaming import ShardImages, StreamedImages, crop_seed, streaming_dataspecs

SMALL: dict[str, Any] = {'num_workers': 0, 'train_size': 32, 'eval_resize': 36, 'eval_size': 32}


@pytest.fixture(scope='module')
def shards(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Writes the same images, byte for byte, in shards of ten."""
    folder = tmp_path_factory.mktemp('shards') / 'mds'
    convert_images(images, folder, Conversion(short_side=400, shard_images=10), 1, lambda done, total: None)
    return folder


def copy_of(shards: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(shards, tmp_path / 'copy'))


def rewritten(folder: Path, split: str, **keys: object) -> None:
    index = json.loads((folder / split / 'index.json').read_text())
    (folder / split / 'index.json').write_text(json.dumps({**index, **keys}))


def foreign(folder: Path, columns: dict[str, str], samples: list[dict[str, object]]) -> Path:
    """Writes shards as another program does, without names of classes."""
    for split in ('train', 'val'):
        with MDSWriter(columns=columns, out=str(folder / split)) as writer:
            for sample in samples:
                writer.write(sample)
    return folder


def test_evaluation_pixels_and_labels_are_those_of_the_folder(images, shards):
    streamed = ShardImages(shards / 'val', EvalTransform(36, 32))
    folder = ImageFolderDataset(images / 'val', EvalTransform(36, 32))
    usual = ImageFolder(str(images / 'val'), transforms.Compose([transforms.Resize(36), transforms.CenterCrop(32)]))
    assert len(streamed) == len(folder) == 33
    for (image, label), (same, number), (reference, of) in zip(streamed, folder, usual, strict=True):  # type: ignore[arg-type]
        assert torch.equal(image, same)
        assert label == number == of
        assert (image.int() - pil_to_tensor(reference).int()).abs().float().mean() <= 0.5


def test_training_pixels_are_torchvisions(images, shards):
    reproducibility.seed_all(5)
    train, _ = streaming_dataspecs(shards, 8, 8, **SMALL)
    data = train.dataloader.dataset  # type: ignore[union-attr]
    assert isinstance(data, StreamedImages)
    files = {Path(path).read_bytes(): (path, label) for path, label in ImageFolder(str(images / 'train')).samples}
    usual = transforms.Compose([transforms.RandomResizedCrop(32), transforms.RandomHorizontalFlip()])
    seen = []
    for number in range(48):
        shard, within = data.spanner[number]
        path, label = files[data.shards[shard][within]['x']]
        before = torch.get_rng_state()
        image, streamed_label = data[number]
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(crop_seed(data.shuffle_seed, -1, number))
        reference = pil_to_tensor(usual(Image.open(path).convert('RGB')))
        assert (image.int() - reference.int()).abs().float().mean() <= 0.5
        assert streamed_label == label
        seen.append(path)
    assert len(set(seen)) == 48
    assert [label for _, label in sorted(files.values())] != [files[data.shards[0][0]['x']][1]] * 48


def epochs(shards: Path, seed: int, num_workers: int, count: int = 2) -> list[list[tuple[torch.Tensor, ...]]]:
    train, _ = streaming_dataspecs(shards, 8, 8, seed=seed, **{**SMALL, 'num_workers': num_workers})
    assert len(train.dataloader) == 6  # type: ignore[arg-type]
    assert train.num_samples == 48
    epochs = [[tuple(batch) for batch in train.dataloader] for _ in range(count)]
    end_workers(train)
    return epochs


def test_an_epoch_has_each_image_once_in_an_order_and_crops_of_its_own(shards):
    first, second = epochs(shards, 1, 0)
    (again, _), (other, _) = epochs(shards, 1, 0), epochs(shards, 2, 0)
    for batches in (first, second, again, other):
        assert torch.cat([labels for _, labels in batches]).bincount().tolist() == [16, 16, 16]
    assert all(torch.equal(x, same) for (x, _), (same, _) in zip(first, again, strict=True))
    for different in (second, other):
        assert not any(torch.equal(x, another) for (x, _), (another, _) in zip(first, different, strict=True))


def test_loader_processes_do_not_change_what_is_trained_on(shards):
    for alone, with_workers in zip(epochs(shards, 1, 0), epochs(shards, 1, 2), strict=True):
        for (x, y), (same_x, same_y) in zip(alone, with_workers, strict=True):
            assert torch.equal(x, same_x)
            assert torch.equal(y, same_y)


def trained(make_trainer: Any, shards: Path, num_workers: int, **overrides: Any) -> Trainer:
    reproducibility.seed_all(3)
    model = ComposerClassifier(SmallResNet(depth=8, num_classes=3), num_classes=3)
    train, held_out = streaming_dataspecs(shards, 8, 16, num_classes=3, **{**SMALL, 'num_workers': num_workers})
    trainer: Trainer = make_trainer(
        model=model,
        train_dataloader=train,
        eval_dataloader=held_out,
        optimizers=torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9),
        **{'max_duration': '3ep', **overrides},
    )
    trainer.fit()
    return trainer


@pytest.fixture(scope='module')
def whole(shards, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights of a run that nothing interrupts."""
    with trainers(tmp_path_factory.mktemp('whole')) as make:
        return trained(make, shards, 0).state.model.state_dict()


def resumed(make_trainer: Any, shards: Path, num_workers: int, *stops: str) -> dict[str, torch.Tensor]:
    """Returns the weights of a run that is stopped, and resumed from the checkpoint of that time, once or more."""
    start: dict[str, Any] = {}
    for stop in stops:
        save = {'save_folder': stop, 'save_interval': stop, 'max_duration': stop}
        trained(make_trainer, shards, num_workers, **save, **start)
        start = {'load_path': f'{stop}/latest-rank0.pt'}
    trainer = trained(make_trainer, shards, num_workers, **start)
    assert (int(trainer.state.timestamp.batch), int(trainer.state.timestamp.sample)) == (18, 144)
    return trainer.state.model.state_dict()


@pytest.mark.parametrize(
    ('num_workers', 'stops'),
    [
        pytest.param(1, ['9ba'], id='mid-epoch-with-workers'),
        # The second checkpoint is from the end of the epoch of the first resume.
        pytest.param(0, ['9ba', '2ep'], id='twice'),
    ],
)
def test_a_resumed_run_is_the_one_that_would_have_been(shards, whole, make_trainer, num_workers, stops):
    weights = resumed(make_trainer, shards, num_workers, *stops)
    assert all(torch.equal(value, whole[name]) for name, value in weights.items())


def test_a_part_of_the_evaluation_set_is_spread_over_the_classes(images, shards):
    for make, folder in ((streaming_dataspecs, shards), (imagefolder_dataspecs, images)):
        _, held_out = make(folder, 8, 8, eval_images=9, **SMALL)
        assert torch.cat([y for _, y in held_out.dataloader]).bincount().tolist() == [3, 3, 3]
        with pytest.raises(ValueError, match=r'eval_images=34: must be between 1 and 33'):
            make(folder, 8, 8, eval_images=34, **SMALL)


def test_shards_are_fetched_from_a_remote(shards, tmp_path):
    train, held_out = streaming_dataspecs(tmp_path / 'local', 8, 8, 0, 3, str(shards), 32, 36, 32, seed=1)
    # Evaluation shards are fetched before training, training shards during it.
    assert len(list((tmp_path / 'local/val').glob('*.mds'))) == 4
    assert not list((tmp_path / 'local/train').glob('*.mds'))
    fetched = [tuple(batch) for batch in train.dataloader]
    for (x, y), (same_x, same_y) in zip(fetched, epochs(shards, 1, 0, 1)[0], strict=True):
        assert torch.equal(x, same_x)
        assert torch.equal(y, same_y)
    assert torch.cat([y for _, y in held_out.dataloader]).bincount().tolist() == [11, 11, 11]


def test_what_a_remote_lacks_is_refused_before_training(shards, tmp_path):
    with pytest.raises(ValueError, match=r'/nowhere/train: its index cannot be read'):
        streaming_dataspecs(tmp_path / 'local', 8, 8, remote=str(tmp_path / 'nowhere'), **SMALL)
    copy = copy_of(shards, tmp_path)
    (copy / 'val/shard.00002.mds').unlink()
    with pytest.raises(ValueError, match=r'/copy/val/shard\.00002\.mds cannot be fetched'):
        streaming_dataspecs(tmp_path / 'other', 8, 8, remote=str(copy), **SMALL)


def test_a_broken_image_in_the_middle_of_an_epoch_is_named(images, tmp_path):
    files = [file.read_bytes() for file in sorted((images / 'train/class1').iterdir())]
    files[11] = files[11][:900]
    samples: list[dict[str, object]] = [{'x': file, 'y': 0} for file in files]
    folder = foreign(tmp_path / 'foreign', {'x': 'bytes', 'y': 'int'}, samples)
    train, held_out = streaming_dataspecs(folder, 4, 4, **{**SMALL, 'num_workers': 1})
    for data in (train, held_out):
        loaded = iter(data.dataloader)
        with pytest.raises(OSError, match=r'image 11 of .*/shard\.00000\.mds: not a readable image \(.*truncated'):
            list(loaded)
        end(loaded)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


REFUSED = {
    'no-index': (lambda at: (at / 'train/index.json').unlink(), {}, r'/train/index\.json: no such file: composer-clr'),
    'no-val': (lambda at: shutil.rmtree(at / 'val'), {}, r'/val/index\.json: no such file'),
    'no-json': (lambda at: (at / 'val/index.json').write_text('{'), {}, r'val/?.*index'),
    'no-images': (lambda at: rewritten(at, 'train', shards=[]), {}, r'/train has no images'),
    'shard-missing': (
        lambda at: (at / 'train/shard.00003.mds').unlink(),
        {},
        r'/train/shard\.00003\.mds is missing, which index\.json names',
    ),
    'shard-cut-off': (
        lambda at: truncate(at / 'train/shard.00001.mds'),
        {},
        r'shard\.00001\.mds has \d+ bytes, \d+ by',
    ),
    'num-classes-too-small': (None, {'num_classes': 2}, r'num_classes=2: .*/train has 3 classes'),
    'classes-differ': (lambda at: rewritten(at, 'val', classes=['a', 'b', 'c']), {}, r'classes differ'),
    'less-than-a-batch': (None, {'batch_size': 49}, r'/train has 48 images, fewer than a batch of 1 x 49'),
    'other-columns': (None, {'columns': ('image', 'label')}, r"columns=\['image', 'label'\] must be images .*'x'"),
    'labels-for-images': (None, {'columns': ('y', 'x')}, r"columns=\['y', 'x'\] must be images"),
}


@pytest.mark.parametrize('case', REFUSED)
def test_refused_before_an_image_is_read(case, shards, tmp_path):
    damage, arguments, message = REFUSED[case]
    copy = copy_of(shards, tmp_path)
    if damage:
        damage(copy)
    with pytest.raises(ValueError, match=message):
        streaming_dataspecs(copy, **{'batch_size': 8, 'eval_batch_size': 8, **arguments})


def test_shards_of_others_are_read_and_their_labels_checked(images, tmp_path):
    files = sorted((images / 'train/class1').iterdir())
    # As Streaming's own converter of ImageNet names them.
    columns = {'i': 'int', 'x': 'jpeg', 'y': 'int'}
    with ExitStack() as opened:
        pictures = [opened.enter_context(Image.open(file)) for file in files]
        samples: list[dict[str, object]] = [{'i': n, 'x': picture, 'y': n % 3} for n, picture in enumerate(pictures)]
        folder = foreign(tmp_path / 'foreign', columns, samples)
    train, held_out = streaming_dataspecs(folder, 8, 8, num_classes=3, **SMALL)
    assert sum(len(y) for _, y in train.dataloader) == 16
    same = ImageFolderDataset(images / 'train', EvalTransform(36, 32))
    assert torch.equal(next(iter(held_out.dataloader))[0][0], same[16][0])
    train, held_out = streaming_dataspecs(folder, 8, 8, num_classes=2, **SMALL)
    for data in (train, held_out):
        with pytest.raises(
            ValueError, match=r'image \d+ of .*shard\.00000\.mds is of class 2: must be below num_classes=2'
        ):
            list(data.dataloader)


def test_two_ranks_share_an_epoch_evaluate_each_image_once_and_refuse_different_files(images, shards, tmp_path):
    rewritten(copy_of(shards, tmp_path), 'train', note='another')
    write_folder(tmp_path / 'other/train', classes=3, images=17, size=(75, 60))
    write_folder(tmp_path / 'other/val', classes=3, images=11, size=(75, 60))
    (tmp_path / 'script.py').write_text(
        dedent(f"""
        import torch
        from composer import Trainer
        from composer.models import ComposerClassifier
        from composer.utils import dist
        from composer_clr.data.imagefolder import imagefolder_dataspecs
        from composer_clr.data.streaming import streaming_dataspecs

        class First(torch.nn.Module):
            def forward(self, images):
                return torch.tensor([[1.0, 0.0, 0.0]]).expand(len(images), 3)

        def check(make, good, other):
            try:
                make((good, other)[dist.get_global_rank()], 8, 8, 0)
            except ValueError as error:
                print(error)
            train, held_out = make(good, 8, 10, 0, 3, train_size=32, eval_resize=36, eval_size=32)
            for epoch in range(2):
                trained = torch.cat([labels for _, labels in train.dataloader]).bincount(minlength=3)
                dist.all_reduce(trained)
                print('epoch', len(train.dataloader), trained.tolist())
            trainer = Trainer(model=ComposerClassifier(First(), num_classes=3), progress_bar=False)
            trainer.eval(held_out)
            print('accuracy', float(trainer.state.eval_metric_values['MulticlassAccuracy']))

        check(imagefolder_dataspecs, {str(images)!r}, {str(tmp_path / 'other')!r})
        check(streaming_dataspecs, {str(shards)!r}, {str(tmp_path / 'copy')!r})
        """)
    )
    done = launch(2, 'script.py', folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f'ranks 0 and 1 see different files in {images}/train: 48 and 51 images' in done.stdout
    assert 'ranks 0 and 1 see different shards in train/index.json: 48 and 48 images' in done.stdout
    assert done.stdout.count('epoch 3 [16, 16, 16]') == 4
    # 33 images do not divide by two: the one that fills up, of class 0, would make it 12 of 34.
    accuracies = [float(rest.split()[0]) for rest in done.stdout.split('accuracy')[1:]]
    assert accuracies == pytest.approx([11 / 33] * 2, abs=1e-6)
