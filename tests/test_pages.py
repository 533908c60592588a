"""The pages of the project: their links lead somewhere, their commands are ones that the command line takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.main import get_command

from composer_clr.cli.app import app
from composer_clr.recipes.load import load_recipe, shipped_recipes
from tests.helpers.markdown import code_blocks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ('README.md', 'yamls/README.md', 'yamls/llm_foundry/README.md', 'tests/README.md')]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r'^#+ (.*)$', re.sub(r'^```.*?^```', '', page.read_text(), flags=re.M | re.S), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    links = re.findall(r'\]\(([^)\s]+)\)', page.read_text())
    for link in links:
        if '://' in link:
            continue
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def commands() -> Iterator[list[str]]:
    """Yields the words of every command in a block of shell that starts a line, ``&&`` or a pipe."""
    for page in PAGES:
        for block in code_blocks(page, 'sh'):
            text = re.sub(r'[ ]+#.*$', '', block.replace('\\\n', ' '), flags=re.MULTILINE)
            lexer = shlex.shlex(text, posix=True, punctuation_chars=';|&\n')
            lexer.whitespace, lexer.whitespace_split = ' \t', True
            words: list[str] = []
            for token in lexer:
                if set(token) <= set(';|&\n'):
                    yield words
                    words = []
                else:
                    words.append(token)
            yield words


@pytest.mark.parametrize('words', [words for words in commands() if words], ids=' '.join)
def test_commands_are_taken(words):
    program, *rest = words
    if program == 'composer-clr':
        COMMANDS[rest[0]].make_context(rest[0], rest[1:])
    elif 'composer_clr.train' in words:
        name, *overrides = words[words.index('composer_clr.train') + 1 :]
        assert name in shipped_recipes()
        load_recipe(name, [word for word in overrides if not word.startswith('--')])


def test_the_readme_is_short():
    assert len(PAGES[0].read_text().split()) <= 1500
