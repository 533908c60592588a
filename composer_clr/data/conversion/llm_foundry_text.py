"""Writes text for LLM Foundry without a hub: ``python -m composer_clr.data.conversion.llm_foundry_text [FOLDER]``.

The sources of Python's standard library become MDS shards of tokens, ``FOLDER/train`` and ``FOLDER/val``, and a
tokenizer trained on the first, ``FOLDER/tokenizer``. Requires packages that LLM Foundry installs: ``streaming``,
``tokenizers`` and ``transformers``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from composer_clr.data.standard_library import standard_library_files

__all__ = ['main', 'write_text']

_END = '<|endoftext|>'


def write_text(folder: Path, sequence_length: int = 128, vocabulary: int = 2048) -> dict[str, int]:
    """Writes both splits and the tokenizer, and returns the number of sequences per split; lengths are in tokens."""
    from streaming import MDSWriter
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f'{folder}: is not empty: name another folder')
    files = {split: standard_library_files(held_out=split == 'val') for split in ('train', 'val')}
    texts = {name: [path.read_text(encoding='utf-8', errors='replace') for path in of] for name, of in files.items()}
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    options: dict[str, Any] = {'vocab_size': vocabulary, 'special_tokens': [_END], 'show_progress': False}
    trainer = trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), **options)
    tokenizer.train_from_iterator(texts['train'], trainer)
    names = dict.fromkeys(('bos_token', 'eos_token', 'unk_token', 'pad_token'), _END)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder / 'tokenizer')
    written = {}
    for split, sources in texts.items():
        tokens = np.concatenate([encoding.ids for encoding in tokenizer.encode_batch(sources)]).astype(np.int64)
        written[split] = len(tokens) // sequence_length
        with MDSWriter(out=str(folder / split), columns={'tokens': 'bytes'}) as shards:
            for row in tokens[: written[split] * sequence_length].reshape(-1, sequence_length):
                shards.write({'tokens': row.tobytes()})
    return written


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the text and prints the number of its sequences."""
    usage = 'python -m composer_clr.data.conversion.llm_foundry_text'
    parser = argparse.ArgumentParser(usage, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, nargs='?', default=Path('text'), help='new or empty; default: text')
    folder = parser.parse_args(arguments).folder
    try:
        written = write_text(folder)
    except (ImportError, OSError, ValueError) as error:
        print(f'llm_foundry_text: {error}', file=sys.stderr)
        return 2
    print(f'{folder}: ' + ', '.join(f'{count} sequences in {split}/' for split, count in written.items()))
    return 0


if __name__ == '__main__':
    sys.exit(main())
