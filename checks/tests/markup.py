"""Reading a page as a browser would, and holding it to what our pages consist of."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from html.parser import HTMLParser
from urllib.parse import urlsplit

_VOID = {"meta", "link", "br"}
_ALLOWED = {
    *("html", "head", "meta", "link", "title", "style", "body", "main", "section", "article"),
    *("div", "p", "h1", "h2", "h3", "ul", "ol", "li", "b", "i", "em", "strong", "span", "bdi"),
    *("a", "br", "code", "pre", "details", "summary", "table", "caption", "thead", "tbody"),
    *("tr", "th", "td", "figure", "figcaption", "svg", "desc", "rect", "text"),
}
_INLINE = {"b", "i", "em", "strong", "span", "bdi", "a", "code"}
_ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "rel", "href", "class", "id", "scope"),
    *("title", "open", "aria-hidden", "aria-label", "role", "tabindex"),
    *("x", "y", "width", "height", "rx", "text-anchor"),
}


class Page(HTMLParser):
    """A page, read. Reading one that is not well nested, or holds what ours never do, fails."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.styles: list[str] = []
        self.policy = ""
        self._words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))
        assert {link[1:] for link in self.links if link.startswith("#")} <= set(self.ids)
        (style,) = self.styles
        digest = b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert f"style-src 'sha256-{digest}'" in self.policy
        assert "default-src 'none'" in self.policy

    @property
    def text(self) -> str:
        """What is read on it, spaces made one."""
        return " ".join("".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        assert tag in _ALLOWED, tag
        if tag not in _INLINE:
            self._words.append(" ")
        if tag not in _VOID:
            self.open.append(tag)
        given = {name: value or "" for name, value in attrs}
        assert set(given) <= _ATTRIBUTES, given
        assert not any(name.startswith("on") for name in given)
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        if "id" in given:
            self.ids.append(given["id"])
        if "href" in given:
            if tag == "link":
                assert given["href"] == "data:,"
            else:
                self.links.append(given["href"])
                leads = urlsplit(given["href"])
                assert not (leads.scheme or leads.netloc), given["href"]
                assert not leads.path.startswith("/")
                assert ".." not in leads.path.split("/")

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.styles.append(data)
        else:
            self._words.append(data)

    def handle_startendtag(self, tag: str, attrs: Iterable[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data}")
