"""What a person does in a browser, done to its end: what follows is not done to a page that is still on its way."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Locator, Page, Response, expect

SLOW_MS = 120_000


def settle(page: Page) -> None:
    """Waits until the page has run with what was just done; it begins to run a moment after."""
    page.wait_for_timeout(500)
    expect(page.get_by_test_id("stApp")).to_have_attribute("data-test-script-state", "notRunning", timeout=SLOW_MS)


def reload(page: Page) -> None:
    """Reloads the page once its address says what it shows, which it does when its run has ended."""
    settle(page)
    page.reload()


def unfold(page: Page, title: str) -> None:
    """Opens a folded section by the beginning of its title, and waits until it is drawn."""
    settle(page)
    page.get_by_test_id("stExpander").locator("summary").filter(has_text=title).click()
    settle(page)


def upload(page: Page, files: Sequence[Path]) -> None:
    """Gives files to the page's first field for files, and waits until the page has them all.

    A button that is pressed before is pressed without them, and what it says is gone when they have come.
    """
    arrived: list[Response] = []

    def note(response: Response) -> None:
        if "/_stcore/upload_file/" in response.url and response.request.method == "PUT":
            arrived.append(response)

    page.on("response", note)
    page.get_by_test_id("stFileUploader").first.locator("input[type=file]").set_input_files(list(files))
    while len(arrived) < len(files):
        page.wait_for_timeout(100)  # the test's own timeout ends it
    page.remove_listener("response", note)
    settle(page)


def choose(box: Locator, option: str) -> None:
    """Chooses in a select box; its list closes when the page scrolls, and when it is drawn anew by a run."""
    box.scroll_into_view_if_needed()
    settle(box.page)
    box.click()
    box.page.get_by_role("option", name=option).click()


def mean_it(page: Page) -> None:
    """Says that what an edit changes in the response is meant."""
    settle(page)
    page.get_by_text("I have seen what changes, and mean it").click()
    settle(page)


def say_why(page: Page, reason: str, comment: str = "") -> None:
    """Chooses the reason of a decision, and writes a comment."""
    choose(page.get_by_role("combobox", name="Reason"), reason)
    settle(page)
    if comment:
        box = page.get_by_role("textbox", name="Comment")
        box.fill(comment)
        box.press("Enter")
        settle(page)


def answer_doubts(page: Page, comment: str = "the border follows the tumour") -> None:
    """Chooses to accept what a gate doubts, and says why it is fine."""
    settle(page)
    page.get_by_test_id("stRadio").get_by_text("Accept", exact=True).click()
    say_why(page, "Looked at, fine because", comment)
