"""Bytes of the standard library's own sources: which files, which split, which sequences."""

import sysconfig
from pathlib import Path

import pytest
import torch

from composer_clr.data.conversion import llm_foundry_text
from composer_clr.data.standard_library import ByteSequences, standard_library_dataspecs, standard_library_files


def test_the_split_is_by_file_and_depends_on_the_path_alone(tmp_path):
    library = Path(sysconfig.get_path('stdlib'))
    train, held_out = (list(standard_library_files(held_out=split)) for split in (False, True))
    assert not set(train) & set(held_out)
    assert library / 'argparse.py' in train + held_out
    assert len(held_out) == pytest.approx(len(train) / 11, rel=0.5)
    # The same library elsewhere, with other text in its files.
    for path in train + held_out:
        copy = tmp_path / path.relative_to(library)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    for skipped in ('test/test_os.py', 'site-packages/torch.py', '_sysconfigdata__linux.py'):
        (tmp_path / skipped).parent.mkdir(exist_ok=True)
        (tmp_path / skipped).touch()
    for split, files in ((False, train), (True, held_out)):
        copies = standard_library_files(held_out=split, folder=tmp_path)
        assert [path.relative_to(tmp_path) for path in copies] == [path.relative_to(library) for path in files]


def test_every_byte_but_the_first_is_predicted_once():
    text = bytes(range(23))
    sequences = ByteSequences([text[:9], text[9:]], sequence_length=5)
    batches = [sequences[i] for i in range(len(sequences))]
    assert torch.cat([batch['input_ids'] for batch in batches]).tolist() == list(range(20))
    assert torch.cat([batch['labels'] for batch in batches]).tolist() == list(range(1, 21))


@pytest.mark.parametrize(
    ('texts', 'length', 'match'),
    [([b'abcd'], 4, 'sequence_length=4: must be less than the length of the text, 4'), ([b'a'], 0, 'at least 1')],
)
def test_a_text_without_a_sequence_is_refused(texts, length, match):
    with pytest.raises(ValueError, match=match):
        ByteSequences(texts, length)


def test_composer_counts_the_tokens_and_evaluation_is_spread_over_the_held_out_files():
    train, held_out = standard_library_dataspecs(4, 8, sequence_length=32, eval_sequences=16)
    batch = next(iter(train.dataloader))
    assert batch['input_ids'].shape == batch['labels'].shape == (4, 32)
    assert train.get_num_tokens_in_batch(batch) == 128
    assert sum(len(batch['labels']) for batch in held_out.dataloader) == 16
    with pytest.raises(ValueError, match='eval_sequences=0: must be between 1 and '):
        standard_library_dataspecs(4, 8, sequence_length=32, eval_sequences=0)


def test_a_python_without_sources_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(sysconfig, 'get_path', lambda name: str(tmp_path))
    with pytest.raises(ValueError, match=f'no Python sources in {tmp_path}'):
        standard_library_dataspecs(4, 8, sequence_length=32)


def test_the_help_of_the_text_for_llm_foundry_writes_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match='0'):
        llm_foundry_text.main(['--help'])
    assert 'usage: python -m composer_clr.data.conversion.llm_foundry_text' in capsys.readouterr().out
    assert not list(tmp_path.iterdir())
