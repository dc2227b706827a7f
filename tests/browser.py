"""What must hold of every page as a real browser shows it: on a phone, on a desk, in the dark and on paper."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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


LOOKS: dict[str, dict[str, Any]] = {
    "phone": {"width": 400},
    "small phone": {"width": 320},
    "phone in the dark": {"width": 400, "dark": True},
    "desk": {"width": 1280},
    "tablet": {"width": 800},
    "paper": {"width": 700, "medium": "print"},
}


def is_whole_everywhere(browser: Browser, page: Path) -> None:
    for look, settings in LOOKS.items():
        browser.open(page, **settings)
        images = browser.value("[...document.images].map(image => [image.complete, image.naturalWidth])")
        assert len(images) > 1
        assert all(complete and width > 0 for complete, width in images), look
        wide, shown = browser.value("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide <= shown == settings["width"], f"{look}: the page scrolls sideways, {wide} px in {shown}"
        said = [event for event in browser.events if event["method"] in {"Runtime.consoleAPICalled", "Log.entryAdded"}]
        assert not said, look
        asked = [event for event in browser.events if event["method"] == "Network.requestWillBeSent"]
        addresses = {event["params"]["request"]["url"].split(":")[0] for event in asked}
        assert addresses == {"file", "data"}, f"{look}: {addresses}"


def is_dark_in_the_dark_and_not_on_paper(browser: Browser, page: Path) -> None:
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


def opens_what_is_folded_on_paper(browser: Browser, page: Path) -> None:
    tables = "[...document.querySelectorAll('details table')]"
    shown = f"{tables}.map(table => table.checkVisibility({{contentVisibilityAuto: true}}))"
    high = "document.querySelector('details').getBoundingClientRect().height"
    browser.open(page, 700)
    assert browser.value(high) < 120
    browser.open(page, 700, medium="print")
    assert browser.value(high) > 200
    assert all(browser.value(shown))


def keeps_diagrams_and_scrolls_tables_on_a_phone(browser: Browser, page: Path, wide: bool = True) -> None:
    """wide: some table needs more than the screen."""
    browser.open(page, 390)
    sizes = browser.value("[...document.images].map(image => [image.clientWidth, +image.getAttribute('width')])")
    assert min(shown / drawn for shown, drawn in sizes if drawn < 500) > 0.85
    if not wide:
        return
    scrolled = browser.value(
        "(() => {const box = [...document.querySelectorAll('.scroll')]"
        ".find(one => one.scrollWidth >= one.clientWidth + 80); const name = box.querySelector('tbody th');"
        "const [left, shadow] = [name.getBoundingClientRect().left, getComputedStyle(box).backgroundImage];"
        "box.scrollLeft = 80; return [box.scrollLeft, name.getBoundingClientRect().left - left, shadow]})()"
    )
    assert scrolled[:2] == [80, 0]
    assert "linear-gradient" in scrolled[2]


def has_cards_of_equal_height(browser: Browser, page: Path) -> None:
    browser.open(page, 1280)
    cards = browser.value(
        "[...document.querySelectorAll('figure')].map(one => one.getBoundingClientRect())"
        ".map(box => [box.top, box.height])"
    )
    rows: dict[float, set[float]] = {}
    for top, height in cards:
        rows.setdefault(top, set()).add(round(height))
    assert len(rows) < len(cards) or len(cards) < 3
    assert all(len(heights) == 1 for heights in rows.values())


LAWS = (
    is_whole_everywhere,
    is_dark_in_the_dark_and_not_on_paper,
    opens_what_is_folded_on_paper,
    keeps_diagrams_and_scrolls_tables_on_a_phone,
    has_cards_of_equal_height,
)
