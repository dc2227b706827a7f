"""The page as a real browser shows it: whole on a phone, on a desk, in the dark and on paper."""

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from calmix.data.rows import Unusual
from calmix.studies.comparison.compared import read_comparison
from calmix.studies.comparison.mistakes import Content, Mistakes, Picture, WrongAnswer

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
]
# DevTools' pipe reads from file descriptor 3 and writes to 4
EXEC = """import fcntl, os, sys
ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])"""


class Browser:
    """Headless Chromium, spoken to in the DevTools protocol over its pipe: JSON messages that end in a zero byte."""

    def __init__(self, program: str, home: Path) -> None:
        (read, self._write), (self._read, write) = os.pipe(), os.pipe()
        command = [program, *FLAGS, f"--user-data-dir={home}", "about:blank"]
        with open(home.with_suffix(".log"), "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", EXEC, str(read), str(write), *command],
                pass_fds=(read, write),
                stdout=log,
                stderr=log,
            )
        os.close(read)
        os.close(write)
        self._rest, self._number, self.events = b"", 0, list[dict[str, Any]]()
        self._session: dict[str, str] = {}
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = {"sessionId": self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            self(f"{domain}.enable")

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command; events that come meanwhile are kept."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters, **self._session}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return answer["result"]

    def open(self, page: Path, width: int, dark: bool = False, medium: str = "screen") -> None:
        """Load the page anew; `events` then holds what happened meanwhile."""
        size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self("Emulation.setDeviceMetricsOverride", **size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", media=medium, features=[scheme])
        self.events.clear()
        self("Page.navigate", url=page.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:
        """What a JavaScript expression is on the page."""
        found = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"]["value"]

    def screenshot(self) -> bytes:
        """The whole page as PNG."""
        shot = self("Page.captureScreenshot", captureBeyondViewport=True)
        return base64.b64decode(shot["data"])

    def pdf(self) -> bytes:
        """As printed on A4, whatever the size of the window."""
        self("Emulation.clearDeviceMetricsOverride")
        self("Emulation.setEmulatedMedia", media="", features=[])
        return base64.b64decode(
            self("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, printBackground=True)["data"]
        )

    def close(self) -> None:
        self("Browser.close")
        os.close(self._write)
        os.close(self._read)
        self.process.wait(timeout=30)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "Chromium ended"
            self._rest += chunk
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: chromium, chromium-browser and google-chrome are not in PATH")
    if sys.platform == "win32":
        pytest.skip("DevTools' pipe needs file descriptors 3 and 4")
    browser = Browser(program, tmp_path_factory.mktemp("browser") / "home")
    yield browser
    browser.close()


@pytest.fixture(scope="module", params=["classification", "regression"])
def page(request: pytest.FixtureRequest, finish: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Long names, so that width is tried; more methods than one pair of axes bears."""
    folder = tmp_path_factory.mktemp("page")
    labels = ["erm", "mixup", *(f"sk_mixup(tau_max={i}.25, remember=True)" for i in range(3)), "x" * 90]
    beyond = request.param == "classification"
    finish(folder, labels, task=request.param, beyond=beyond, hostile="<script>a</script> " + "y" * 120)
    found = read_comparison(folder)
    return replace(found, mistakes=mistakes() if beyond else None).write_report(folder)


def mistakes() -> Mistakes:
    """Of long names, with pictures and unusual values."""
    answers = [WrongAnswer(10**6 + row, "y" * 120, "<b>z", 0.95, 3, 3, 18, 18, 0.95) for row in range(6)]
    unusual = [Unusual(f"{'c' * 29}{place}", "v" * 30, "category", 0, 0.01) for place in range(3)]
    content = Content(unusual, Picture((3, 1, 2), base64.b64encode(bytes(range(6))).decode()))
    return Mistakes("erm", "image", "Images are counted from 0.", 3, 99, answers, contents=[content] * len(answers))


LOOKS: dict[str, dict[str, Any]] = {
    "phone": {"width": 400},
    "small phone": {"width": 320},
    "phone in the dark": {"width": 400, "dark": True},
    "desk": {"width": 1280},
    "tablet": {"width": 800},
    "paper": {"width": 700, "medium": "print"},
}


def test_the_page_is_whole_everywhere(browser: Browser, page: Path):
    for look, settings in LOOKS.items():
        browser.open(page, **settings)
        images = browser.value("[...document.images].map(image => [image.complete, image.naturalWidth])")
        assert len(images) > 3
        assert all(complete and width > 0 for complete, width in images), look
        wide, shown = browser.value("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= shown == settings["width"], f"{look}: the page scrolls sideways, {wide} px in {shown}"
        said = [event for event in browser.events if event["method"] in {"Runtime.consoleAPICalled", "Log.entryAdded"}]
        assert not said, look
        asked = [event for event in browser.events if event["method"] == "Network.requestWillBeSent"]
        addresses = {event["params"]["request"]["url"].split(":")[0] for event in asked}
        assert addresses == {"file", "data"}, f"{look}: {addresses}"


def test_the_dark_page_is_dark_and_the_printed_one_is_not(browser: Browser, page: Path):
    def paper() -> int:
        colour = browser.value("getComputedStyle(document.body).backgroundColor")  # rgb(r, g, b)
        return sum(map(int, colour.removeprefix("rgb(").removesuffix(")").split(",")))

    browser.open(page, 1000)
    assert paper() > 600
    browser.open(page, 1000, dark=True)
    assert paper() < 150
    browser.open(page, 1000, dark=True, medium="print")
    assert paper() > 600
    assert browser.pdf().startswith(b"%PDF")


def test_photographs_keep_their_colours_in_the_dark(browser: Browser, page: Path):
    found = (
        "[...document.querySelectorAll('figure')].map(one => [one.className, getComputedStyle(one.firstChild).filter])"
    )
    browser.open(page, 1000, dark=True)
    filters = dict(browser.value(found))
    assert filters[""].startswith("invert")
    assert filters.get("photographs", "none") == "none"
    assert ("photographs" in filters) == ("Most confident mistakes" in browser.value("document.body.innerText"))


def test_what_is_folded_is_open_on_paper(browser: Browser, page: Path):
    tables = "[...document.querySelectorAll('details table')]"
    shown = f"{tables}.map(table => table.checkVisibility({{contentVisibilityAuto: true}}))"
    high = "document.querySelector('details').getBoundingClientRect().height"
    browser.open(page, 700)
    assert browser.value(high) < 120
    browser.open(page, 700, medium="print")
    assert browser.value(high) > 200
    assert all(browser.value(shown))


def test_on_a_phone_diagrams_keep_their_size_and_tables_say_that_they_scroll(browser: Browser, page: Path):
    browser.open(page, 390)
    sizes = browser.value("[...document.images].map(image => [image.clientWidth, +image.getAttribute('width')])")
    assert min(shown / drawn for shown, drawn in sizes if drawn < 500) > 0.85
    scrolled = browser.value(
        "(() => {const box = document.querySelector('.scroll'); const name = box.querySelector('tbody th');"
        "const [left, shadow] = [name.getBoundingClientRect().left, getComputedStyle(box).backgroundImage];"
        "box.scrollLeft = 80; return [box.scrollLeft, name.getBoundingClientRect().left - left, shadow]})()"
    )
    assert scrolled[:2] == [80, 0]
    assert "linear-gradient" in scrolled[2]


def test_cards_beside_each_other_are_of_equal_height(browser: Browser, page: Path):
    browser.open(page, 1280)
    cards = browser.value(
        "[...document.querySelectorAll('figure')].map(one => one.getBoundingClientRect())"
        ".map(box => [box.top, box.height])"
    )
    rows: dict[float, set[float]] = {}
    for top, height in cards:
        rows.setdefault(top, set()).add(round(height))
    assert len(rows) < len(cards)
    assert all(len(heights) == 1 for heights in rows.values())
