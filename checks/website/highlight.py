"""Python as HTML, highlighted with as few elements as it takes: a page of code must stay light."""

from __future__ import annotations

from html import escape
from itertools import groupby

from pygments.lexers.python import PythonLexer
from pygments.token import STANDARD_TYPES, Token, _TokenType

# Names and punctuation make nine tenths of the elements and have the colour of the text anyway.
_COLOURED = (
    Token.Keyword,
    Token.Literal,
    Token.Comment,
    Token.Name.Decorator,
    Token.Name.Function,
    Token.Name.Class,
    Token.Name.Builtin,
    Token.Operator.Word,
)


def python(code: str) -> str:
    """A block of code, in the shape that the site engine gives to its own, in one line."""
    tokens = PythonLexer(stripnl=True, ensurenl=True).get_tokens(code)
    pieces = []
    for name, run in groupby(tokens, key=lambda token: _class(token[0])):
        text = escape("".join(text for _, text in run), quote=False)
        pieces.append(f'<span class="{name}">{text}</span>' if name else text)
    shown = "".join(pieces).replace("\n", "&#10;").replace("\t", "&#9;")
    return (
        f'<div class="language-python highlight"><pre><span></span><code>{shown}</code></pre></div>'
    )


def _class(token: _TokenType) -> str:
    if not any(token in coloured for coloured in _COLOURED):
        return ""
    if token in Token.Literal.String:
        return "s"
    if token in Token.Literal.Number:
        return "mi"
    return str(STANDARD_TYPES.get(token, ""))
