"""A page as a reader of its source finds it: headings, lists, tables, scripts, and the values of its figures."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

__all__ = ['Page']

_VOID = {'meta', 'link', 'br'}


class Page(HTMLParser):
    """The content of a page.

    ``texts`` has the text of every element that ends, by its tag, in the order in which they end; ``tables`` the rows
    of each table by its caption, the headings first; ``elements`` each tag that opens, with its attributes.
    """

    def __init__(self, html: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self._open: list[tuple[str, list[str]]] = []
        self._rows: list[list[str]] = []
        self.feed(html)
        self.close()
        assert not self._open, f'never closed: {self._open[-1][0]}'

    def all(self, tag: str) -> list[str]:
        return [text for its_tag, text in self.texts if its_tag == tag]

    @property
    def figures(self) -> dict[str, dict[str, Any]]:
        values = next(text for text in self.all('script') if text.startswith('['))
        return {figure['id']: figure for figure in json.loads(values)}

    def buttons(self, figure: str) -> list[str]:
        places = [attributes for tag, attributes in self.elements if tag == 'button']
        names = self.all('button')
        return [name for name, at in zip(names, places, strict=True) if at['data-figure'] == figure]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == 'br':
            self._open[-1][1].append('\n')
        if tag not in _VOID:
            self._open.append((tag, []))
        if tag == 'table':
            self._rows = []
        elif tag == 'tr':
            self._rows.append([])

    def handle_endtag(self, tag: str) -> None:
        opened, parts = self._open.pop()
        assert opened == tag, f'{opened} is closed as {tag}'
        text = ''.join(parts)
        self.texts.append((tag, text))
        if tag in ('td', 'th'):
            self._rows[-1].append(text)
        elif tag == 'caption':
            self.tables[text] = self._rows
        if self._open:
            self._open[-1][1].append(text)

    def handle_data(self, data: str) -> None:
        if self._open:
            self._open[-1][1].append(data)
