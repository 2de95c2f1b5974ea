"""The site: it builds without a network, nothing on it is broken or fetched from elsewhere, and a phone can show it."""

import subprocess
import sys
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
# The pages that a reader opens; the reference of `ecglib` has a page a module, all alike.
NAMES = [
    "index",
    "README.ko",
    "RESULTS",
    "GLOSSARY",
    "docs/teaching",
    "docs/running",
    "docs/own_record",
    "docs/faults",
    "docs/licences",
    "docs/map",
    "docs/api/ecglib.beatgan.losses",
    *(f"papermill_runs/desk/{path.stem}" for path in sorted((ROOT / "notebooks").glob("*.ipynb"))),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning of Sphinx is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html"]
    folders = ["-c", "docs", "-d", folder / "doctrees", ".", folder / "html"]
    built = subprocess.run([*command, *folders], cwd=ROOT, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return folder / "html"


@cache
def soup(path):
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@cache
def anchors(path):
    return {tag["id"] for tag in soup(path).find_all(id=True)}


def test_every_link_and_picture_leads_to_a_file_and_every_anchor_exists(site):
    broken = []
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 50
    for page in pages:
        for tag in soup(page).find_all(["a", "img", "link", "script"]):
            parts = urlsplit(unquote(tag.get("href") or tag.get("src") or ""))
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (page.parent / parts.path).resolve() if parts.path else page
            if not target.exists():
                broken.append((page.name, parts.path))
            elif tag.name == "a" and target.suffix == ".html" and parts.fragment not in {"", *anchors(target)}:
                broken.append((page.name, f"{target.name}#{parts.fragment}"))
    assert broken == []


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        for tag in soup(page).find_all(["img", "link", "script", "iframe"]):
            address = tag.get("src") or (tag.get("href") if tag.get("rel") != ["canonical"] else None) or ""
            assert urlsplit(address).scheme in ("", "data"), (page.name, address)
    for style in site.rglob("*.css"):
        text = style.read_text(encoding="utf-8")
        assert "url(http" not in text and "@import" not in text, style.name


def test_every_figure_has_a_text_and_formulas_need_no_script(site):
    for name in NAMES:
        page = soup(site / f"{name}.html")
        for picture in page.find_all("img"):
            assert len(picture.get("alt", "")) > 10 and ".png" not in picture["alt"], (name, picture)
    assert soup(site / "papermill_runs/desk/03_kd_student.html").find("math", display="block")


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", NAMES)
def test_a_browser_shows_it_without_an_error_and_without_scrolling_sideways(site, browser, name, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    errors = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("requestfailed", lambda request: errors.append(f"not loaded: {request.url}"))
    page.goto((site / f"{name}.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("[...document.images].filter(one => one.complete && !one.naturalWidth).length") == 0
    assert errors == []
    page.close()
