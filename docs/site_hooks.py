"""What the site's build adds to the pages: options and settings from the source, equations, records."""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import griffe
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parent
RECORDS = sorted((DOCS / "decisions").glob("[0-9]*.md"))
RECORDS_PAGE = "decisions/index.md"

INTRODUCTION = """# Decisions

Where two ways were open, a record says which one was taken, why, and with which figures. A record stays as it
was written. A later record may replace it, and then says so. Older records use the names of their time.

"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List every record under its page in the navigation."""
    for entry in config.nav or []:
        if isinstance(entry, dict) and entry.get("Decisions") == RECORDS_PAGE:
            entry["Decisions"] = [RECORDS_PAGE, *(f"decisions/{record.name}" for record in RECORDS)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page that lists the records, with one line for each."""
    files.append(File.generated(config, RECORDS_PAGE, content=INTRODUCTION + "\n".join(_record_lines())))
    return files


def _record_lines() -> Iterator[str]:
    for record in RECORDS:
        title = record.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        number, _, what = title.partition(". ")
        yield f"{number}. [{what}]({record.name})"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put a table into the place of marks such as ``<!-- options: VERB -->``."""
    return re.sub(rf"<!-- ({'|'.join(TABLES)}): ([\w -]+) -->", lambda m: TABLES[m[1]](m[2]), markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    r"""Turn equations, ``\( ... \)`` and ``\[ ... \]``, into MathML, and keep figures in tables whole."""

    def drawn(found: re.Match[str]) -> str:
        latex, display = html.unescape(found["latex"]), "block" if found["open"] == "[" else "inline"
        latex, _, number = latex.partition(r"\tag{")
        drawing = str(convert(latex.strip(), display=display))
        if not number:
            return drawing
        return f'<div class="equation">{drawing}<span>({number.rstrip("} ")})</span></div>'

    marked = r'<(?P<tag>span|div) class="arithmatex">\\(?P<open>[(\[])(?P<latex>.*?)\\[)\]]</(?P=tag)>'
    content = re.sub(marked, drawn, content, flags=re.DOTALL)
    return re.sub(r"<td[^>]*>.*?</td>", _unbroken, content, flags=re.DOTALL)


def _unbroken(cell: re.Match[str]) -> str:
    """Keep pairs such as ``94.3 / 94.4`` and ranges such as ``94.3 ± 0.1`` of a table on one line."""
    pairs = re.sub(r"(?<=>)([\d.]+) / ([\d.]+|–)(?=<)", "\\1&nbsp;/&nbsp;\\2", cell[0])
    return re.sub(r"([\d.]+) ± ([\d.]+)", "\\1&nbsp;±&nbsp;\\2", pairs)


def options_table(verb: str) -> str:
    """Arguments and options of a verb, such as ``fit`` or ``data inspect``, as the command line has them."""
    command = _command(verb)
    context = command.context_class(command)
    rows = []
    for each in command.params:
        name, text = each.get_help_record(context)
        text, _, extra = text.partition("  [")  # such as [default: 0] and [required]
        default = re.search(r"default: ([^;\]]+)", extra)
        shown = "**required**" if "required" in extra else f"`{default[1]}`" if default else ""
        rows.append((f"`{re.sub('[<>]', '', name)}`", shown, text))
    return _table(("option", "default", "what it does"), rows)


def keywords_table(name: str) -> str:
    """Keywords of ``understudy.fit`` with their types and defaults."""
    from understudy.model import FitCall

    rows = []
    for keyword, field in sorted(FitCall.model_fields.items(), key=lambda item: item[0] != "out"):
        shown = "required" if field.is_required() else repr(field.get_default(call_default_factory=True))
        kind = f"`{_type_name(field.annotation)}`<br>`{shown}`"
        text = plain_roles(" ".join((field.description or "").split()))
        rows.append((f"`{keyword}`", kind, text))
    return _table(("keyword", "type, default", "what it does"), rows)


def _type_name(annotation: Any) -> str:
    """``Literal["a", "b"] | None`` -> ``'a' | 'b' | None``."""
    if get_origin(annotation) is Literal:
        return " | ".join(map(repr, get_args(annotation)))
    if get_origin(annotation) in (Union, UnionType):
        return " | ".join(map(_type_name, get_args(annotation)))
    if annotation is NoneType:
        return "None"
    return (
        annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
    )


def verbs() -> list[str]:
    """Every verb of the command line, with those of a group as ``data inspect``."""
    return list(_verbs(_command("")))


def _verbs(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _verbs(command, f"{name} ")
        else:
            yield before + name


def _command(verb: str) -> Any:
    import typer

    from understudy.cli.app import app

    command: Any = typer.main.get_command(app)
    for name in verb.split():
        command = command.commands[name]
    return command


def settings_table(method: str) -> str:
    """Settings of a method: value by the paper's recipe, by the tuned one, and meaning."""
    from understudy.methods import METHODS, settings_for

    found = METHODS[method]
    paper, tuned = (dict(settings_for(method, found.recipes[name].settings)) for name in ("paper", "tuned"))
    meanings = {k: v for each in found.settings.__mro__ for k, v in _meanings(each).items()}
    if missing := set(paper) - set(meanings):
        raise ValueError(f"{found.settings.__name__} does not explain {', '.join(sorted(missing))}")
    rows = [
        (f"`{name}`", f"`{paper[name]}`", f"`{tuned[name]}`", text)
        for name, text in meanings.items()
        if name in paper
    ]
    return _table(("setting", "paper", "tuned", "meaning"), rows)


def _meanings(settings: type) -> dict[str, str]:
    """The ``Attributes:`` of a class, by name; several names of one line share its text."""
    text = inspect.cleandoc(settings.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for names, meaning in re.findall(r"^    ([\w, ]+): (.*(?:\n {8}.*)*)", text, flags=re.MULTILINE):
        for name in names.split(", "):
            found[name] = plain_roles(" ".join(meaning.split()))
    return found


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines: list[Sequence[str]] = [header, ("---",) * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


TABLES: dict[str, Callable[[str], str]] = {
    "keywords": keywords_table,
    "options": options_table,
    "settings": settings_table,
}
"""What a mark of a page becomes."""


def plain_roles(text: str) -> str:
    """``:func:`understudy.x.name``` -> a link to its place on the site where it has one, else its name."""

    def named(found: re.Match[str]) -> str:
        target = found[1].lstrip("~.")
        path = target if target.startswith("understudy.") else f"understudy.{target}"
        name = html.escape(target.rpartition(".")[2] if target.startswith("understudy.") else target)
        return f'<autoref optional identifier="{html.escape(path)}"><code>{name}</code></autoref>'

    return re.sub(r":(?:func|class|meth|data|mod|attr):`([^`]+)`", named, text)


class PlainRoles(griffe.Extension):
    """Docstrings name other parts by roles, which Markdown does not know."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Rewrite the docstring of every class, function, module and attribute.

        An ``Example:`` becomes ``Examples:``, which is what makes it code.
        """
        if obj.docstring:
            text = plain_roles(obj.docstring.value)
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", text, flags=re.MULTILINE)
