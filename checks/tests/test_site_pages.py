"""The site: built once, read file by file, then opened page by page in a real browser."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

import markdown
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from playwright.sync_api import ConsoleMessage, Page
from typer.testing import CliRunner

from checks import course
from checks.cli import app
from checks.doctor import find_chromium
from checks.errors import CourseError
from checks.tests import servers
from checks.tests.browser import browser
from checks.tests.conftest import require
from checks.website import build, bundle, highlight, lesson, messages, outputs, prose, recipes
from checks.website.lesson import Content

ENOUGH = 0.95  # of 1, in each of Lighthouse's categories
HEAVIEST = 400_000  # bytes of a page before any click, as a host like GitHub Pages sends it
SUB_PATH = "/dog-eared/"  # the site must not think that it is the root of its host

LESSONS = course.catalogue()
NAMES = [one.name for one in LESSONS]


# -- what was built ----------------------------------------------------------------------------
class Read(HTMLParser):
    """A page: its ids, its links, what each element with an id holds, and its head."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.ids: list[str] = []
        self.links: list[str] = []
        self.meta: dict[str, str] = {}
        self.title = ""
        self._in: list[str] = []
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in.append(tag)
        if "id" in given:
            self.ids.append(given["id"])
        self.links += [given[name] for name in ("href", "src") if given.get(name)]
        if tag == "meta":
            self.meta[given.get("name") or given.get("property", "")] = given.get("content", "")

    def handle_data(self, data: str) -> None:
        if self._in and self._in[-1] == "title" and not self.title:
            self.title = data


class Pieces(HTMLParser):
    """HTML as the list of what it consists of, so that two that show the same are equal.

    The site engine breaks lines between blocks; only inside `pre` would that be seen.
    """

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.pieces: list[Any] = []
        self._pre = 0
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._pre += tag == "pre"
        self.pieces.append((tag, tuple(sorted((name, value or name) for name, value in attrs))))

    def handle_endtag(self, tag: str) -> None:
        self._pre -= tag == "pre"
        self.pieces.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if not self._pre and "\n" in data and not data.strip():
            return
        if self.pieces and isinstance(self.pieces[-1], list):
            self.pieces[-1].append(data)
        else:
            self.pieces.append([data])


class Words(HTMLParser):
    """The text of HTML, spaces made one, and how often each tag opens."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: dict[str, int] = {}
        self._said: list[str] = []
        self.feed(source)
        self.close()

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._said).split())

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1

    def handle_data(self, data: str) -> None:
        self._said.append(data)


@dataclass
class Site:
    """The built site.

    Attributes:
        folder: Where it is.
        missing: What it could not be given.
    """

    folder: Path
    missing: tuple[str, ...]
    _texts: dict[str, str] = field(default_factory=dict)

    @cached_property
    def pages(self) -> dict[str, Read]:
        """Every page by its address below the root: `lessons/03_transactions/`."""
        found = sorted(self.folder.rglob("*.html"))
        return {self.address(path): Read(path.read_text(encoding="utf-8")) for path in found}

    def address(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix().removesuffix("index.html")

    def text(self, address: str) -> str:
        if address not in self._texts:
            path = self.folder / address
            file = path / "index.html" if address.endswith("/") or not address else path
            self._texts[address] = file.read_text(encoding="utf-8")
        return self._texts[address]

    def cell(self, name: str, identity: str) -> str:
        """The HTML of one cell, from its opening tag to its closing one."""
        whole = self.text(f"lessons/{name}/")
        start = whole.index(f'id="cell-{identity}"')
        start = whole.rindex("<div", 0, start)
        depth = 0
        for tag in re.finditer(r"<(/?)div\b", whole[start:]):
            depth += -1 if tag[1] else 1
            if depth == 0:
                return whole[start : start + tag.end() + 1]
        raise AssertionError(f"{identity} does not close")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The site as it is published; `test_serve_answers_and_stops` builds one without an address."""
    folder = tmp_path_factory.mktemp("site")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SITE_URL", f"https://pages.example{SUB_PATH}")
        built = build.build(folder)
        assert built.lessons == len(LESSONS)
        yield Site(folder, built.missing)


@pytest.fixture(scope="module")
def contents() -> dict[str, Content]:
    return {one.name: lesson.read(one) for one in LESSONS}


def test_every_link_and_anchor_leads_somewhere(site: Site) -> None:
    broken = []
    for address, page in site.pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = urlsplit(urljoin(SUB_PATH + address, link)).path.removeprefix(SUB_PATH)
            file = site.folder / unquote(target)
            if file.is_dir():
                file = file / "index.html"
            if not file.is_file():
                broken.append(f"{address}: {link}")
            elif parts.fragment and unquote(parts.fragment) not in _ids(site, file):
                broken.append(f"{address}: no {link}")
    assert broken == []


def _ids(site: Site, file: Path) -> list[str]:
    return site.pages[site.address(file)].ids


def test_no_id_is_there_twice(site: Site) -> None:
    twice = {
        address: [one for one in set(page.ids) if page.ids.count(one) > 1]
        for address, page in site.pages.items()
    }
    assert {address: ids for address, ids in twice.items() if ids} == {}


def test_every_page_introduces_itself(site: Site) -> None:
    titles = [page.title for page in site.pages.values()]
    assert len(set(titles) - {""}) >= len(titles) - 1  # 404 has the site's name
    descriptions = {}
    for address, page in site.pages.items():
        if address == "404.html":
            continue
        assert page.meta["viewport"]
        assert page.meta["og:title"]
        assert page.meta["og:image"].endswith("assets/social.png")
        descriptions[address] = page.meta["description"]
        assert page.meta["og:description"] == page.meta["description"]
    assert len(set(descriptions.values())) == len(descriptions)
    assert (site.folder / "assets" / "social.png").stat().st_size < 200_000
    assert (site.folder / "sitemap.xml").is_file()


@pytest.mark.parametrize("address", ["", "lessons/"], ids=["home", "list"])
def test_home_and_list_lead_to_every_lesson(site: Site, address: str) -> None:
    ways = [urljoin(f"/{address}", link) for link in site.pages[address].links]
    assert {f"/lessons/{name}/" for name in NAMES} <= set(ways)


@pytest.mark.parametrize("name", NAMES)
def test_a_lessons_page_has_all_of_its_lesson(
    name: str, site: Site, contents: dict[str, Content]
) -> None:
    content, page = contents[name], site.pages[f"lessons/{name}/"]
    island = re.search(r'id="de-lesson">(.*?)</script>', site.text(f"lessons/{name}/"))
    assert island
    data = json.loads(island[1])
    assert (data["lesson"], data["name"]) == (content.lesson.number, name)
    code = [cell for cell in content.cells if cell.role != "prose"]
    assert [cell["id"] for cell in data["cells"]] == [cell.id for cell in code]
    assert [cell["source"] for cell in data["cells"]] == [cell.shipped for cell in code]
    for cell in code:
        block = site.cell(name, cell.id)
        assert f'data-role="{cell.role}"' in block
        shown = re.search(r"<code>(.*?)</code>", block, re.DOTALL)
        assert shown
        assert _text(f"<pre>{shown[1]}</pre>").strip() == cell.shipped.strip()
    for entry in content.lesson.exercises:
        named = f"exercise-{entry.id.replace('.', '-').replace('_', '-')}"
        assert named in page.ids
        card = (
            site.text(f"lessons/{name}/").partition(f'id="{named}"')[2].partition("</section>")[0]
        )
        assert card.count('class="de-hint"') == len(entry.card.hints)
        assert card.count('class="de-solution"') == 1
        assert card.count('class="de-cell"') >= 2
        assert entry.solution.strip() in _text(card)
    for link in (f"{name}.ipynb", f"{name}.solved.ipynb"):
        assert f"../{link}" in page.links
        json.loads((site.folder / "lessons" / link).read_bytes())
    for _, version in content.versions:
        assert version in site.text(f"lessons/{name}/")
    assert {"FastAPI", "SQLAlchemy"} <= dict(content.versions).keys()


@pytest.mark.parametrize("name", NAMES)
def test_outputs_arrive_as_they_were_stored(
    name: str, site: Site, contents: dict[str, Content]
) -> None:
    compared = 0
    for cell in contents[name].cells:
        block = site.cell(name, cell.id) if cell.role in ("code", "check") else ""
        for output in cell.outputs if cell.role != "exercise" else ():  # a solution's own
            html = output.get("data", {}).get("text/html")
            if html is not None:
                bare = re.sub(r"<style>.*?</style>", "", "".join(html), flags=re.DOTALL)
                assert _within(Pieces(bare).pieces, Pieces(block).pieces), cell.id
                compared += 1
            elif output["output_type"] != "display_data":
                assert outputs.text(output).strip() in _text(block), cell.id
                compared += 1
    assert compared


def _within(inner: list[Any], outer: list[Any]) -> bool:
    return any(outer[at : at + len(inner)] == inner for at in range(len(outer) - len(inner) + 1))


def _text(html: str) -> str:
    return "".join("".join(one) for one in Pieces(html).pieces if isinstance(one, list))


def test_styles_of_outputs_stand_once(site: Site) -> None:
    for address in site.pages:
        if address.startswith("lessons/") and address != "lessons/":
            assert ".de-timeline{" not in site.text(address)
    style = (site.folder / "generated" / "outputs.css").read_text(encoding="utf-8")
    assert style.count(".de-timeline .answered{") == 1
    assert "[data-md-color-scheme=slate] .de-card" in style


@pytest.mark.parametrize("name", NAMES)
def test_prose_says_the_same_here_as_in_jupyter(name: str, contents: dict[str, Content]) -> None:
    """The notebook's Markdown is CommonMark; the site engine's is not, and is stricter."""
    extensions = ["tables", "admonition", "fenced_code"]
    for source in contents[name].prose:
        here = Words(markdown.markdown(prose.for_site(source, 0), extensions=extensions))
        there = Words(MarkdownIt("commonmark").enable("table").render(source))
        assert here.text == there.text.replace("Predict.", "Predict"), source
        for tag in ("li", "tr", "a", "code", "pre", "em"):
            assert here.tags.get(tag) == there.tags.get(tag), (tag, source)


def test_recipes_are_the_executed_cells(site: Site, contents: dict[str, Content]) -> None:
    page = site.text("recipes/")
    found = [recipe for content in contents.values() for recipe in recipes.find(content)]
    tagged = [c for one in contents.values() for c in one.cells if "recipe" in c.tags]
    assert len(found) == len(tagged) >= 3
    blocks = [
        _text(f"<pre>{block}</pre>").strip()
        for block in re.findall(r"<code>(.*?)</code>", page, re.DOTALL)
    ]
    for recipe in found:
        assert recipe.code.strip() in blocks


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_runs_on_its_own_or_says_what_it_stands_on(
    name: str, site: Site, contents: dict[str, Content], tmp_path: Path
) -> None:
    above = " ".join(cell.solved for cell in contents[name].cells if cell.role != "prose")
    for recipe in recipes.find(contents[name]):
        for needed in recipe.stands_on:
            assert re.search(rf"\b{needed}\b", above)
            assert f"<code>{needed}</code>" in site.text("recipes/")
        if recipe.file:
            assert f"the file <code>{recipe.file}</code> of a project" in site.text("recipes/")
        if recipe.stands_on or recipe.file:
            continue
        done = subprocess.run(
            [sys.executable, "-c", recipe.code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_every_message_met_has_its_entry(site: Site, contents: dict[str, Content]) -> None:
    page, text = site.pages["errors/"], _text(site.text("errors/"))
    met = messages.met(contents.values())
    rows = sum(
        one.count("\n| `")
        for content in contents.values()
        for one in content.prose
        if f"# {messages.TABLE}\n" in one
    )
    assert sum(len(one.told) for one in met) >= rows >= 15
    for one in met:
        assert one.anchor in page.ids
        assert (one.message.partition(": ")[2] or one.message) in text
        for content, _ in one.told:
            assert any(content.lesson.name in link for link in page.links)
    known = messages.remedies(course.root() / "site" / "errors.toml")
    assert known.keys() <= {one.message for one in met}, "an entry that no lesson meets"
    assert {one.message for one in met} <= known.keys(), "a message without its entry"


def test_where_a_message_was_met_is_no_message(contents: dict[str, Content]) -> None:
    """Of "`IntegrityError: ...`, at a `PATCH`" the last word is none."""
    met = messages.met(contents.values())
    told = [told for one in met for _, told in one.told]
    assert any(one.startswith("at a `PATCH`: the schema lets `null` in") for one in told)
    assert not [one.message for one in met if "PATCH" in one.also]


def test_some_messages_are_shown_as_an_output_had_them(contents: dict[str, Content]) -> None:
    seen = {one.message: [line for *_, line in one.seen] for one in messages.met(contents.values())}
    (stale,) = (one for one in seen if one.startswith("StaleDataError: UPDATE statement on table"))
    assert any("expected to update 1 row(s); 0 were matched." in line for line in seen[stale])


def test_a_remedy_that_lacks_something_is_named(tmp_path: Path) -> None:
    path = tmp_path / "errors.toml"
    path.write_text('[[error]]\nmessage = "Boom"\nmeans = "m"\ncause = "c"\n', encoding="utf-8")
    with pytest.raises(CourseError, match="'Boom' must have exactly cause, cure, means, message"):
        messages.remedies(path)


def test_the_catalogue_for_the_browser(site: Site) -> None:
    listed = json.loads((site.folder / "generated" / "catalogue.json").read_bytes())
    assert [one["name"] for one in listed] == NAMES
    ids = [exercise["exercise"] for one in listed for exercise in one["exercises"]]
    assert ids == [entry.id for one in LESSONS for entry in one.exercises]
    assert all((site.folder / one["page"] / "index.html").is_file() for one in listed)


def test_what_a_page_cannot_run_is_said(contents: dict[str, Content]) -> None:
    if "03_transactions" in contents:
        content = contents["03_transactions"]
        sources = {cell.id: cell.shipped for cell in content.cells}
        recorded = [sources[one] for one in content.recorded]
        assert any("with served(liar)" in one for one in recorded)
        assert any("import uvicorn" in one for one in recorded)
        assert len(recorded) < 6
    assert contents["00_start_here"].recorded == set()


def test_building_again_changes_nothing(site: Site) -> None:
    sources = [*_files(course.root() / "site" / "lessons")]
    before, written = _files(site.folder), [path.stat().st_mtime_ns for path in sources]
    build.build(site.folder)
    after = _files(site.folder)
    assert before.keys() == after.keys()
    assert [str(path) for path in before if before[path] != after[path]] == []
    assert [path.stat().st_mtime_ns for path in sources] == written


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_without_npm_nothing_offers_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "write", _no_npm)
    done = CliRunner().invoke(app, ["site", "build", "--out", str(tmp_path / "out"), "--strict"])
    assert done.exit_code == 1
    assert "There is no npm here." in done.output
    page = (tmp_path / "out" / "lessons" / NAMES[0] / "index.html").read_text(encoding="utf-8")
    assert "boot.mjs" not in page
    assert 'class="de-cell"' in page


def test_a_link_that_leads_nowhere_stops_the_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    unwanted = shutil.ignore_patterns("run", "tests", "__pycache__")
    for name in ("checks", "lessons", "solutions", "site"):
        shutil.copytree(course.root() / name, copy / name, ignore=unwanted)
    for name in ("mkdocs.yml", "requirements.txt"):
        shutil.copy(course.root() / name, copy / name)
    with (copy / "site" / "glossary.md").open("a", encoding="utf-8") as page:
        page.write("\n[gone](nowhere.md) and [gone](start.md#nowhere)\n")
    monkeypatch.setattr(course, "root", lambda: copy)
    monkeypatch.setattr(bundle, "write", _no_npm)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CourseError) as stopped:
        build.build(tmp_path / "out")
    assert "nowhere.md" in str(stopped.value)
    assert "#nowhere" in str(stopped.value)


def _no_npm(root: Path, docs: Path) -> None:
    raise bundle.BundleError("There is no npm here.")


def test_a_folder_with_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("three years", encoding="utf-8")
    with pytest.raises(CourseError, match="Name another folder with --out"):
        build.build(tmp_path)
    assert (tmp_path / "thesis.txt").read_text(encoding="utf-8") == "three years"


def test_nothing_unfinished_and_nothing_private_is_published(site: Site) -> None:
    names = {path.relative_to(site.folder).as_posix() for path in site.folder.rglob("*")}
    assert not [one for one in names if one.startswith(("overrides", "node_modules"))]
    assert not names & {"errors.toml", "home.py", "package.json", "package-lock.json"}


# -- in a browser ------------------------------------------------------------------------------
class Watched:
    """What a page asks for, what it weighs, and what its console complains of."""

    def __init__(self, page: Page) -> None:
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.weight = 0
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.asked.append(request.url))
        session = page.context.new_cdp_session(page)
        session.send("Network.enable")
        session.send("Network.setCacheDisabled", {"cacheDisabled": True})
        session.on("Network.loadingFinished", self._loaded)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _loaded(self, event: dict[str, Any]) -> None:
        self.weight += int(event["encodedDataLength"])


@pytest.fixture(scope="module")
def address(site: Site) -> Iterator[str]:
    with servers.static(site.folder, below=SUB_PATH) as address:
        yield address


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light on a phone", "dark on a desk"])
def test_every_page_opens_light_and_by_itself(site: Site, address: str, dark: bool) -> None:
    """No error in the console, nothing from elsewhere, under the bar, nothing wider than it."""
    wrong: list[str] = []
    with browser(width=1280 if dark else 390, dark=dark) as page:
        for name in site.pages:
            fresh = page.context.new_page()
            seen = Watched(fresh)
            fresh.goto(address + name, wait_until="networkidle")
            wide = fresh.evaluate("document.documentElement.scrollWidth - innerWidth")
            scheme = fresh.evaluate("document.body.dataset.mdColorScheme")
            fresh.close()
            assert scheme == ("slate" if dark else "default")
            found = [*seen.complaints, *(url for url in seen.asked if not _ours(url, address))]
            if seen.weight > HEAVIEST:
                found.append(f"{seen.weight:,} bytes")
            if wide > 0:
                found.append(f"{wide} pixels too wide")
            wrong += [f"{name or 'home'}: {one}" for one in found]
    assert not wrong, "\n".join(wrong)


def _ours(url: str, address: str) -> bool:
    return url.startswith((address, "data:"))


@pytest.mark.browser
def test_the_search_finds_a_message_without_a_network(address: str) -> None:
    with browser() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address, wait_until="networkidle")
        assert not [url for url in asked if "search_index" in url]
        page.keyboard.press("/")
        page.keyboard.type("PendingRollbackError")
        first = page.locator(".md-search-result__link").first
        first.wait_for()
        assert "errors/" in " ".join(
            link.get_attribute("href") or ""
            for link in page.locator(".md-search-result__link").all()
        )


@pytest.mark.browser
def test_the_palette_toggle_is_kept(address: str) -> None:
    with browser() as page:
        page.goto(address)
        page.get_by_title("Switch to dark").click()
        assert page.evaluate("document.body.dataset.mdColorScheme") == "slate"
        page.goto(f"{address}lessons/{NAMES[0]}/")
        assert page.evaluate("document.body.dataset.mdColorScheme") == "slate"


@pytest.mark.browser
def test_hints_open_one_by_one_from_the_keyboard(address: str) -> None:
    with browser() as page:
        page.goto(f"{address}lessons/{NAMES[0]}/")
        hints = page.locator("details.de-hint")
        assert not hints.first.locator("p").first.is_visible()
        hints.first.locator("summary").focus()
        page.keyboard.press("Enter")
        assert hints.first.locator("p").first.is_visible()
        assert not hints.nth(1).locator("p").first.is_visible()


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(site: Site, address: str, dark: bool) -> None:
    require(not site.missing, " ".join(site.missing))
    script = bundle.node_modules(course.root(), tests=True) / "axe-core" / "axe.min.js"
    lesson_pages = [f"lessons/{name}/" for name in NAMES[-1:]]
    with browser(width=1280, dark=dark) as page:
        for name in ["", "errors/", "start/", *lesson_pages]:
            page.goto(address + name, wait_until="networkidle")
            page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
            page.add_script_tag(path=str(script))
            found = page.evaluate("async () => (await axe.run()).violations")
            serious = [
                (one["id"], one["help"], [node["target"] for node in one["nodes"]][:3])
                for one in found
                if one["impact"] in ("serious", "critical")
            ]
            assert not serious, (name, serious)


@pytest.mark.browser
def test_lighthouse_is_content(site: Site, address: str) -> None:
    """The home page and the longest lesson's, on its phone and its slow network."""
    require(not site.missing, " ".join(site.missing))
    chromium = find_chromium()
    require(chromium, "Chromium is not installed; `checks doctor` tells how to get it.")
    longest = max(NAMES, key=lambda name: len(site.text(f"lessons/{name}/")))
    urls = [address, f"{address}lessons/{longest}/"]
    runner = str(Path(__file__).with_name("lighthouse.mjs"))
    packages = str(bundle.node_modules(course.root(), tests=True))
    done = subprocess.run(
        ["node", runner, packages, str(chromium), str(ENOUGH), *urls],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == urls
    short = [
        (url.removeprefix(address), name, category)
        for url, categories in found.items()
        for name, category in categories.items()
        if category["score"] < ENOUGH
    ]
    assert short == []


def test_serve_answers_and_stops() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    running = subprocess.Popen(
        [sys.executable, "-m", "checks.cli", "site", "serve", "--no-browser", "--port", str(port)],
        cwd=course.root(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert running.stdout
        said = next(line for line in running.stdout if "http://" in line)
        assert f"http://127.0.0.1:{port}/" in said
        assert b"Dog-Eared" in _asked(f"http://127.0.0.1:{port}/", running)
    finally:
        running.send_signal(signal.SIGINT)
        running.wait(30)
    assert running.returncode == 0


def _asked(url: str, running: subprocess.Popen[str]) -> bytes:
    """What a server answers as soon as it does."""
    while running.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return bytes(answer.read())
        except OSError:
            time.sleep(0.1)
    raise AssertionError("It stopped by itself.")


# -- whatever is in a cell ---------------------------------------------------------------------
@given(st.text())
def test_highlighting_changes_no_letter_of_the_code(code: str) -> None:
    shown = highlight.python(code)
    assert "\n" not in shown
    said = _text(shown)
    assert "".join(said.split()) == "".join(code.split())


@given(st.text(alphabet="`~ab\n"))
def test_no_backtick_in_the_code_closes_its_fence(code: str) -> None:
    block = prose.fence(code)
    made = markdown.markdown(block, extensions=["fenced_code"])
    assert made.count("<pre>") == 1
    assert "</pre>" in made[-20:]


@given(st.text())
def test_printed_text_is_shown_and_never_obeyed(said: str) -> None:
    drawn = outputs.draw([{"output_type": "stream", "name": "stdout", "text": said}])
    assert "\n" not in drawn.html
    assert "<script" not in drawn.html.lower()


@given(st.text(alphabet="ab#`~*-1.) \n"))
def test_prose_loses_nothing_on_its_way(source: str) -> None:
    assert "".join(prose.for_site(source, 0).split()) == "".join(source.split())
