"""The local page in a real browser: by keyboard, at three widths, dark and light, beside a run, and silent."""

from __future__ import annotations

import re

import pyarrow.parquet as pq
import pytest
from browser import ARGUMENTS, BROWSER, NEEDS_BROWSER
from small import DAYS, RANGE, Small
from ui_world import FAILED, FRESH, STALE, held_run, make, served

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = NEEDS_BROWSER
HERE = "document.activeElement.dataset.day"
CONTRAST = """() => {  // texts that stand out too little from what is behind them
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
  const behind = (node) => {
    for (let one = node; one; one = one.parentElement) {
      const rect = one.closest("svg") && one.querySelector(":scope > rect");
      if (rect) return rgb(getComputedStyle(rect).fill);
      const found = rgb(getComputedStyle(one).backgroundColor);
      if (found[3] > 250) return found;
    }
    return [255, 255, 255];
  };
  const bad = [], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const node = walk.currentNode.parentElement, text = walk.currentNode.textContent.trim().slice(0, 30);
    if (!text || !node.checkVisibility() || node.closest(".said, title, option")) continue;
    const style = getComputedStyle(node), ink = rgb(node.closest("svg") ? style.fill : style.color);
    const [high, low] = [light(ink), light(behind(node))].sort((x, y) => y - x);
    if ((high + .05) / (low + .05) < 4.5) bad.push(`${text} ${node.className}: ${(high + .05) / (low + .05)}`);
  }
  return bad;
}"""


@pytest.fixture(scope="module")
def world(warm_template, tmp_path_factory) -> Small:
    return make(warm_template, tmp_path_factory.mktemp("browser") / "world")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=BROWSER, args=ARGUMENTS)
        yield found
        found.close()


def loaded(page, address: str) -> None:
    """Goes to an address, and waits until the page has looked for runs and fetched its parts."""
    page.goto(address)
    page.locator("#going-on[data-stamp]").wait_for(state="attached")
    page.get_by_text("Show what was changed").wait_for(state="detached")


@pytest.fixture
def visit(world, browser, monkeypatch):
    """Opens pages as asked; afterwards nothing may have been said on the console or asked of another address."""
    monkeypatch.chdir(world.root)
    said, asked, contexts = [], [], []
    with served() as address:

        def open_page(path: str = "", width: int = 1280, scheme: str = "light"):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            contexts.append(context)
            page = context.new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            loaded(page, address + path)
            return page

        yield open_page
        for context in contexts:
            context.close()
        assert said == []
        assert asked and all(url.startswith(address) for url in asked)


def row_address(world: Small) -> str:
    row = pq.read_table(world.output / f"dt={DAYS[0]}").to_pylist()[0]
    return f"day/{DAYS[0]}/row?user={row['user_id']}&artwork={row['artwork_id']}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_fits_and_can_be_read(visit, world, scheme):
    step, row = f"day/{STALE}/step?step=rolling:like_artwork_ids", row_address(world)
    page = visit("", scheme=scheme)
    base = page.url
    for path in ("", f"day/{STALE}", f"day/{FAILED}", step, f"day/{FRESH}/rows", row, f"day/{FRESH}/diff", "runs"):
        loaded(page, base + path)
        for width in (390, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
        assert page.evaluate(CONTRAST) == [], path
        assert page.locator("h1").count() == 1 and page.title(), path
    page.evaluate("document.querySelector('h1').style.color = '#777'")
    assert len(page.evaluate(CONTRAST)) == 1  # it does see
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(19, 23, 27)"
    assert dark == (scheme == "dark")


def test_the_calendar_by_keyboard(visit):
    page = visit()
    assert page.locator("#calendar [tabindex='0']").count() == 1  # one stop for Tab
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(HERE):
            break
    assert page.evaluate(HERE) == FAILED  # what is worst
    page.keyboard.press("ArrowRight")
    assert page.evaluate(HERE) == str(DAYS[6])
    page.keyboard.press("ArrowDown")
    assert page.evaluate(HERE) == str(DAYS[13])
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")  # no further
    assert page.evaluate(HERE) == str(DAYS[0])
    page.keyboard.press("End")
    assert page.evaluate(HERE) == str(DAYS[13])
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/day/{STALE}")
    page.go_back()
    page.locator("#calendar").wait_for()


def test_states_are_told_by_sign_and_word_too(visit):
    page = visit()
    signs = {}
    for cell in page.locator("#calendar .cell").all():
        signs[cell.get_attribute("data-state")] = cell.locator("i").inner_text()
        assert cell.locator(".state").text_content().startswith(cell.get_attribute("data-state"))
        assert cell.get_attribute("data-day") in cell.get_attribute("title")
    assert {"fresh", "stale", "failed", "blocked"} <= signs.keys() and len(set(signs.values())) == len(signs)


def test_from_a_failed_day_to_the_file_and_from_a_row_to_its_events(visit, world):
    page = visit()
    assert "a parquet file cannot be read" in page.locator(".notice.bad").inner_text()
    assert "session_filter.drop_single_like" in page.locator(".notice.todo").inner_text()  # fetched meanwhile
    page.get_by_role("link", name=f"{FAILED} spine").click()
    page.wait_for_url(f"**/day/{FAILED}")
    page.goto(page.url.replace(FAILED, str(DAYS[0])))
    page.get_by_role("link", name="Rows of the skeleton partition").click()
    page.locator("tbody tr").nth(2).locator("td").nth(3).click()  # anywhere in a row
    page.wait_for_url("**/row?user=*")
    row = pq.read_table(world.output / f"dt={DAYS[0]}").to_pylist()[2]
    assert page.locator("h1").inner_text() == f"User {row['user_id']}, artwork {row['artwork_id']}"
    assert page.locator("h2").all_inner_texts() == [f"{row['event']} {row['event_timestamp'].isoformat()}"]
    page.locator("summary", has_text="view_artwork_ids_7d").click()
    shown = page.locator("details[open] table").first
    assert shown.locator("tbody tr").count() >= len(row["view_artwork_ids_7d"])


def test_the_graph_by_keyboard(visit):
    page = visit(f"day/{STALE}")
    page.locator("#graph a[aria-label^='sessions:']").focus()
    lit = set(page.evaluate("[...document.querySelectorAll('#graph .node.on')].map(node => node.dataset.id)"))
    assert {"sessions", "spine", "coverage", "pool", "content", "chunk"} <= lit and "view:artwork_tack" not in lit
    page.keyboard.press("Enter")
    page.wait_for_url("**/step?step=sessions")
    assert page.locator("h1").inner_text().startswith("sessions") and page.locator(".script").inner_text()
    page.go_back()
    page.wait_for_url(f"**/day/{STALE}")


def test_the_report_is_the_commands_page(visit):
    page = visit()
    page.locator("main").get_by_role("link", name="Report of these days").click()
    page.wait_for_url(f"**/report?range={RANGE}")
    assert page.locator(".card").count() > 50 and page.locator("#heat tbody tr").count() > 10
    page.go_back()
    page.locator("#calendar").wait_for()


def test_another_range_has_its_own_address(visit):
    page = visit()
    page.get_by_label("range", exact=True).fill(f"{DAYS[3]}..{DAYS[8]}")
    page.keyboard.press("Enter")
    page.wait_for_url("**?range=*")
    assert page.locator("#calendar .cell").count() == 6
    page.reload()
    assert page.locator("#calendar .cell").count() == 6


def test_commands_can_be_copied(visit, world):
    page = visit(f"day/{STALE}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.locator("footer .copy").click()
    page.locator("footer .copy", has_text="copied").wait_for()
    command = page.evaluate("navigator.clipboard.readText()")
    assert command == f"daeda explain day {STALE}" and world.cli(*command.split()[1:]).returncode == 0


def test_without_scripts_everything_is_a_link_or_a_table(world, browser, monkeypatch):
    monkeypatch.chdir(world.root)
    with served() as address:
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(address)
        page.get_by_role("link", name="Show what was changed").click()
        page.wait_for_url("**/why?*")  # and until it is loaded
        assert "session_filter.drop_single_like" in page.content().replace("<wbr>", "")
        page.goto(f"{address}day/{STALE}")
        page.locator("#graph a").first.click()
        page.wait_for_url("**/step?step=*")
        context.close()


def test_a_run_beside_it_is_shown_and_its_end_too(warm, browser):
    said = []
    with served() as address:
        context = browser.new_context(viewport={"width": 390, "height": 900})
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        loaded(page, address)
        assert page.locator("h1").inner_text().startswith("Every day is fresh")
        path = warm.runtime
        path.write_text(re.sub(r"drop_single_like: \w+", "drop_single_like: true", path.read_text()))
        loaded(page, address)
        assert page.locator("#calendar .cell.stale").count() == len(DAYS)
        with held_run(lambda one: True) as (run, _):
            page.get_by_text("A run is going on").wait_for(timeout=30_000)
            shown = page.locator("#going-on").inner_text()
            assert f"process {run.pid}" in shown and RANGE in shown
            page.locator("#calendar .cell.running").first.wait_for(timeout=30_000)
            assert page.title().startswith("▸")
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert run.wait(timeout=120) == 0
        page.locator("#going-on .run-now").wait_for(state="detached", timeout=30_000)
        page.get_by_text("Every day is fresh").wait_for(timeout=30_000)
        assert page.locator("#calendar .cell.fresh").count() == len(DAYS)
        context.close()
    assert said == []
