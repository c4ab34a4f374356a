"""A portal with two small models, and a real Chromium that visits it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.parts.blind_client import linear_model, publish, tree_model
from tests.parts.portal import PASSWORD, Portal

CHROMIUM = shutil.which("chromium")
BUILT = Path(__file__).parents[3] / "cloud/pericard_cloud/portal/static/portal/browser/client.js"


class Visit:
    """One browser context, and what was seen in it: requests, and violations that the console told of."""

    def __init__(self, context: Any, address: str) -> None:
        self.context, self.address = context, address
        self.requests: list[tuple[str, bytes]] = []
        self.complaints: list[str] = []
        context.on("request", lambda one: self.requests.append((one.url, one.post_data_buffer or b"")))
        self.page = context.new_page()
        self.page.on("console", self._told)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _told(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def go(self, path: str) -> Any:
        self.page.goto(self.address + path)
        return self.page

    def register(self, name: str) -> None:
        self.go("/register/")
        self.page.fill("input[name=name]", name)
        self.page.fill("input[name=password1]", PASSWORD)
        self.page.fill("input[name=password2]", PASSWORD)
        self.page.click("main button")
        self.page.wait_for_url("**/keys/")

    def ready(self) -> None:
        self.page.wait_for_selector("#predict:enabled, #make-keys:enabled")


@pytest.fixture(scope="session")
def portal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Portal]:
    folder = tmp_path_factory.mktemp("portal")
    publish(folder / "models", "small", tree_model())
    publish(folder / "models", "line", linear_model())
    started = Portal(folder)
    yield started
    started.stop()


# Ended with the last test of a module: Playwright has an event loop running for as long as it lasts, and no
# other test in the same process could run one of its own.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: tools/system-packages chromium")
    if not BUILT.exists():
        pytest.skip("the browser's client is not built: make browser-client")
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with api.sync_playwright() as driver:
        # Chromium's own sandbox does not start as root, which containers run tests as.
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Any, portal: Portal) -> Iterator[Callable[..., Visit]]:
    contexts: list[Any] = []

    def begin(**options: Any) -> Visit:
        contexts.append(chromium.new_context(**({"locale": "en-GB"} | options)))
        return Visit(contexts[-1], portal.address)

    yield begin
    for one in contexts:
        one.close()
