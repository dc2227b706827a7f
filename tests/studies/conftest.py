"""A browser that several test modules look at pages with."""

import shutil
import sys
from collections.abc import Iterator

import pytest

from tests.browser import Browser


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine: chromium, chromium-browser and google-chrome are not in PATH")
    if sys.platform == "win32":
        pytest.skip("DevTools' pipe needs file descriptors 3 and 4")
    browser = Browser(program, tmp_path_factory.mktemp("browser") / "home")
    yield browser
    browser.close()
