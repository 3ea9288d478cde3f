"""The report's page in a real browser, from its file: numbers, filters, keyboard, width, colours, and silence."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise

import pytest
from browser import ARGUMENTS, BROWSER, NEEDS_BROWSER
from small import DAYS, RANGE, edit

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def report(warm_template, tmp_path_factory):
    """A report of the small world in which the last four days are stale, and some days have too few rows: (file, its
    numbers). It is compared with the first three days."""
    from small import Small

    root = tmp_path_factory.mktemp("report") / "world"
    shutil.copytree(warm_template, root)
    world = Small(root)
    edit(world.runtime, session_filter__drop_single_like=True)
    world.json("skeleton", "--range", f"{DAYS[0]}..{DAYS[9]}")
    rows = sorted(world.json("report", "--range", RANGE)["rows"])
    expected = {"rows": [rows[3], None], "columns": {"aes_score": {"mean": [0, 1]}}}
    edit(world.runtime, expect=expected)
    against = f"{DAYS[0]}..{DAYS[2]}"
    return root / "daeda-report.html", world.json("report", "--range", RANGE, "--against", against)


@pytest.fixture
def opened(report, tmp_path):
    """Opens the page as asked; afterwards nothing may have been said on the console or asked of a network."""
    said, asked = [], []
    with playwright.sync_playwright() as driver:
        contexts = []

        def open_page(width: int = 1280, scheme: str = "light", address: str = "", **options):
            context = driver.chromium.launch_persistent_context(
                str(tmp_path / f"profile-{len(contexts)}"), executable_path=BROWSER, args=ARGUMENTS,
                viewport={"width": width, "height": 900}, color_scheme=scheme, **options,
            )  # fmt: skip
            contexts.append(context)
            page = context.new_page()
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(report[0].as_uri() + address)
            return page

        yield open_page
        for context in contexts:
            context.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == [] and asked


def number(text: str) -> int:
    return int(text.replace(",", ""))


def shown(page, selector: str) -> list[str]:
    return [node.inner_text() for node in page.locator(selector).all() if node.is_visible()]


def test_the_page_shows_the_numbers(opened, report):
    page, found = opened(), report[1]
    assert {"schema": 1, **json.loads(page.locator("#data").text_content())} == found
    totals = found["totals"]
    for state in ("done", "stale", "missing", "empty", "failed"):
        assert number(page.locator(f"#t-{state}").inner_text()) == totals["days"][state]
    assert totals["days"]["stale"] == 4
    assert number(page.locator("#t-rows").inner_text()) == totals["rows"] == sum(found["rows"])
    for line, row in zip(page.locator("#funnel-totals tbody tr").all(), found["funnel"], strict=True):
        assert line.locator("th").inner_text() == row["step"]
        assert number(line.locator("td").first.inner_text()) == row["total"] == sum(row["rows"])
    signs = {
        "fresh": "·",
        "run": "R",
        "maybe": "m",
        "stale": "~",
        "missing": "o",
        "empty": "–",
        "failed": "x",
        None: "",
    }
    states = [found["day_states"], *(row["states"] for row in found["steps"])]
    cells = page.evaluate(
        "[...document.querySelectorAll('#heat tbody tr')].map(r => [...r.cells].slice(1).map(c => c.textContent))"
    )
    assert cells == [[signs[state] for state in row] for row in states]
    assert page.locator(".card h3").all_inner_texts() == [column["name"] for column in found["columns"]]
    assert page.locator(".runs > li").count() == len(found["runs"]) == 2
    assert "session_filter.drop_single_like" in page.locator("#causes").inner_text()


def test_measures_of_the_heat_map(opened, report):
    page, found = opened(), report[1]
    page.locator("#measure label", has_text="Rows").click()
    rows = next(row for row in found["steps"] if row["step"] == "chunk")["rows"]
    cells = page.locator("#heat tbody tr").last.locator("td").all_inner_texts()
    assert all(1 <= int(cell) <= 5 for cell in cells)
    assert cells[rows.index(max(rows))] >= cells[rows.index(min(rows))]
    assert "show=rows" in page.url
    assert page.locator("#legend-measure li").count() == 6 and page.locator("#legend-state").is_hidden()
    page.keyboard.press("ArrowLeft")  # radio buttons: back to seconds
    assert page.locator("input[name=measure]:checked").input_value() == "seconds"


def test_the_keyboard_moves_in_the_heat_map_and_shows_causes(opened, report):
    page, found = opened(), report[1]
    assert page.locator("#heat td[tabindex='0']").count() == 1  # one stop for Tab
    page.locator("#measure input:checked").focus()
    page.keyboard.press("Tab")
    here = "document.activeElement.getAttribute('aria-label')"
    assert page.evaluate(here).startswith(f"whole day, {DAYS[10]}: stale")  # the first day that is not fresh
    page.keyboard.press("Home")
    assert page.evaluate(here) == f"whole day, {DAYS[0]}: fresh: cached"
    page.keyboard.press("PageDown")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.evaluate(here).startswith(f"{found['steps'][0]['step']}, {DAYS[8]}")
    page.keyboard.press("Control+End")
    assert page.evaluate(here).startswith(f"chunk, {DAYS[13]}: stale: may run")
    page.keyboard.press("ArrowRight")  # no further
    assert page.evaluate(here).startswith(f"chunk, {DAYS[13]}")
    detail = page.locator("#detail").inner_text()
    assert f"sessions@{DAYS[13]}" in detail and "session_filter.drop_single_like" in detail and "true" in detail
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    page.keyboard.press("Tab")
    assert page.evaluate("!document.activeElement.closest('#heat')")


def test_filters_by_step_days_and_column(opened, report):
    page, found = opened(), report[1]
    page.locator("#step").fill("ROLLING")
    steps = shown(page, "#heat tbody th")
    wanted = [row["step"] for row in found["steps"] if row["step"].startswith("rolling:")]
    assert steps == ["whole day", *wanted] and shown(page, "#costs tbody th") == wanted
    page.locator("#from").select_option(str(DAYS[2]))
    page.locator("#to").select_option(str(DAYS[4]))
    assert page.locator("#heat tbody tr").first.locator("td:visible").count() == 3
    total = sum(found["funnel"][-1]["rows"][2:5])
    assert number(page.locator("#funnel-totals tbody tr").last.locator("td").first.inner_text()) == total
    artifacts = sum(
        state is not None for row in found["steps"] if row["step"] in wanted for state in row["states"][2:5]
    )
    assert number(page.locator("#costs tfoot td").first.inner_text()) == artifacts == 3 * len(wanted)
    assert page.locator(".card svg").first.get_attribute("viewBox") == "2 0 3 40"
    page.locator("#column").fill("tack_ids_7d")
    assert shown(page, ".card h3") == ["like_artwork_tack_ids_7d"]
    page.locator(".card:visible .values summary").click()
    column = next(column for column in found["columns"] if column["name"] == "like_artwork_tack_ids_7d")
    days = [str(day) for day in DAYS[2:5]]  # the table is filled a moment after it is opened
    playwright.expect(page.locator(".card:visible tbody th")).to_have_text(days)
    first = page.locator(".card:visible tbody tr").first.locator("td").all_inner_texts()
    place = list(column["measures"]).index("mean")
    assert float(first[place]) == pytest.approx(column["measures"]["mean"][2], abs=0.005)
    assert "3 of 14 days" in page.locator("#shown").inner_text()
    page.locator("#filters button").click()
    playwright.expect(page.locator("#shown")).to_contain_text("14 of 14 days")
    assert len(shown(page, ".card h3")) == len(found["columns"])
    page.locator("#order").select_option("departs")
    most = max(found["columns"], key=lambda column: (column["departs"] or {"times": -1})["times"])
    assert page.locator(".card h3").first.inner_text() == most["name"]


@pytest.mark.parametrize("width", [360, 390, 768, 1280, 1600])
def test_the_page_is_never_wider_than_the_screen(opened, width):
    page = opened(width)
    page.locator("#heat td").last.click()
    for box in page.locator("details > summary:visible").all()[:4]:
        box.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.locator("#measure label", has_text="Bytes").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def brightness(page) -> float:
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(float, colour[colour.index("(") + 1 : -1].split(",")[:3])) / 765


def test_dark_and_light_follow_the_system_and_the_button(opened):
    light, dark = opened(), opened(scheme="dark", reduced_motion="reduce")
    assert brightness(light) > 0.9 and brightness(dark) < 0.2
    dark.locator("#theme").click()
    assert brightness(dark) > 0.9 and "Dark" in dark.locator("#theme").inner_text()
    dark.reload()
    assert brightness(dark) > 0.9  # remembered
    assert dark.evaluate("getComputedStyle(document.documentElement).scrollBehavior") == "auto"
    light.emulate_media(media="print")
    assert light.locator("#filters").is_hidden() and light.locator("#heat").is_visible()


def test_the_page_can_be_read_without_scripts(opened, report):
    page, found = opened(java_script_enabled=False), report[1]
    assert page.locator("#filters").is_hidden() and page.locator("#theme").is_hidden()
    assert number(page.locator("#t-rows").inner_text()) == found["totals"]["rows"]
    assert page.locator("#heat tbody tr").count() == len(found["steps"]) + 1


def test_landmarks_headings_and_names(opened):
    page = opened()
    for role in ("banner", "main", "navigation", "contentinfo"):
        assert page.get_by_role(role).count() == 1, role
    levels = page.evaluate(
        "[...document.querySelectorAll('h1,h2,h3')].filter(h => !h.closest('[hidden]')).map(h => +h.tagName[1])"
    )
    assert levels[0] == 1 and levels.count(1) == 1 and all(b - a <= 1 for a, b in pairwise(levels))
    controls = "[...document.querySelectorAll('input,select,button')]"
    assert page.evaluate(f"{controls}.every(node => node.labels.length || node.textContent.trim())")
    assert page.evaluate("[...document.querySelectorAll('table')].every(table => table.caption)")
    assert page.evaluate("[...document.querySelectorAll('svg')].every(svg => svg.getAttribute('aria-label'))")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"


def here(page) -> str:
    return page.locator("#heat td.at").get_attribute("aria-label") or ""


def test_the_address_leads_to_a_cell_and_back_goes_back(opened, report):
    page, found = opened(), report[1]
    assert "#" not in page.url
    cells = page.locator("#heat tbody tr", has_text="sessions").first.locator("td")
    cells.nth(11).click()
    assert page.url.endswith(f"#at=sessions@{DAYS[11]}")
    page.locator(".jump", has_text="rolling:like_artwork_ids").click()
    assert page.url.endswith(f"#at=rolling:like_artwork_ids@{DAYS[11]}")
    page.go_back()
    assert here(page).startswith(f"sessions, {DAYS[11]}")
    assert page.locator("#detail h3").inner_text() == f"sessions, {DAYS[11]}"
    page.go_back()
    assert "#" not in page.url and page.locator("#heat td.at").count() == 0 and page.locator("#detail").is_hidden()
    page.go_forward()
    page.locator("#from").select_option(str(DAYS[3]))
    page.locator("#column").fill("tack")
    page.locator("#measure label", has_text="Bytes").click()
    page.locator(".card:visible .name").first.click()
    kept = page.url
    page.reload()
    assert page.url == kept and here(page).startswith(f"sessions, {DAYS[11]}")
    assert page.locator("#from").input_value() == str(DAYS[3]) and page.locator("#column").input_value() == "tack"
    assert page.locator("input[name=measure]:checked").input_value() == "bytes"
    assert page.locator(".card.open h3").inner_text() == "tack_ids"
    linked = opened(address="#" + kept.partition("#")[2])
    assert here(linked).startswith(f"sessions, {DAYS[11]}") and linked.locator(".card.open").count() == 1
    odd = opened(address="#at=nothing@2026-02-03&show=no&from=x&card=%E0%A4%A&marked=1&order=departs")
    assert odd.locator("#heat td.at").count() == 0 and odd.locator("#marked").is_checked()
    assert len(shown(odd, ".card h3")) == len(found["departing"])


def test_tips_and_the_points_of_charts_by_keyboard(opened, report):
    page, found = opened(), report[1]
    tip = page.locator("#tip")
    page.locator("#heat td[tabindex='0']").focus()
    assert tip.is_visible() and tip.inner_text().startswith(f"whole day, {DAYS[10]}\nstale day")
    assert page.evaluate("document.activeElement.getAttribute('aria-describedby')") == "tip"
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    stops = page.locator("svg[tabindex='0']")
    assert stops.count() == 1  # one stop for Tab
    stops.focus()
    page.keyboard.press("Home")
    assert tip.inner_text().startswith(f"{DAYS[0]}\nspine {found['funnel'][0]['rows'][0]:,}")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowRight")
    first = next(column for column in found["columns"] if column["kind"] == "id")
    assert tip.inner_text() == f"{DAYS[1]}\n{first['name']}\ndistinct {first['measures']['distinct'][1]}"
    assert page.locator(".cross").count() == 1
    page.keyboard.press("Enter")
    assert page.url.endswith(f"#at=day@{DAYS[1]}") and here(page).startswith(f"whole day, {DAYS[1]}")
    card = page.locator(".card", has=page.get_by_role("heading", name="aes_score", exact=True))
    card.locator("svg.spark").first.hover()
    assert "aes_score" in tip.inner_text() and "mean " in tip.inner_text()
    page.mouse.move(2, 2)
    assert tip.is_hidden()


def test_a_distribution_shows_the_picked_day_beside_all(opened, report):
    page, found = opened(address=f"#at=day@{DAYS[4]}"), report[1]
    card = page.locator(".card", has=page.get_by_role("heading", name="aes_score", exact=True))
    card.locator(".histogram summary").click()
    bins = card.locator("svg[data-bins]")
    assert str(DAYS[4]) in bins.get_attribute("aria-label") and card.locator(".bars-day").count() == 1
    texts = json.loads(bins.get_attribute("data-bins"))
    shares = [[float(text[i].split()[0]) for text in texts] for i in (1, 2)]
    of = next(column for column in found["columns"] if column["name"] == "aes_score")["histograms"]
    inside = [100 * sum(sum(one["counts"]) for one in several) / sum(counted_in(one) for one in several)
              for several in ([one for one in of if one], [of[4]])]  # fmt: skip
    assert [sum(one) for one in shares] == pytest.approx(inside, abs=1.5) and len(texts) <= 25
    bins.focus()
    page.keyboard.press("End")
    assert page.locator("#tip").inner_text().split("\n") == texts[-1]


def counted_in(one: dict) -> int:
    return sum(one["counts"]) + one["below"] + one["above"]


def test_the_command_that_answers_is_copied(opened, report):
    page = opened(permissions=["clipboard-read", "clipboard-write"], address=f"#at=rolling:like_artwork_ids@{DAYS[2]}")
    assert page.locator("#detail code").first.inner_text() == f"daeda explain step {DAYS[2]} rolling:like_artwork_ids"
    page.locator("#detail .copy").focus()
    page.keyboard.press("Enter")
    playwright.expect(page.locator("#detail .copy")).to_have_text("Copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == f"daeda explain step {DAYS[2]} rolling:like_artwork_ids"
    assert page.locator("#causes .command code").inner_text() == f"daeda skeleton --range {RANGE} --plan"
    feeds = page.locator("#detail .fed").all_inner_texts()
    assert "event_values:like.artwork_id × 8 days" in feeds[0] and "chunk" in feeds[1]
    assert page.locator("#heat th.reads").count() == 2 and page.locator("#heat th.feeds").all_inner_texts() == ["chunk"]


def test_what_is_not_as_expected_is_marked(opened, report):
    page, found = opened(), report[1]
    broken = {row["day"] for row in found["expect"]["breaks"]}
    assert number(page.locator("#t-unexpected").inner_text()) == len(broken) == 14
    assert page.locator("#heat .whole .broken").count() == 14
    few = [row["day"] for row in found["expect"]["breaks"] if row["measure"] == "rows"]
    page.locator("#expected tr", has_text="rows").locator(".jump").first.click()
    assert here(page).startswith(f"whole day, {few[0]}") and "rows" in page.locator("#detail").inner_text()
    assert "not as expected" in page.locator(".card.unexpected").inner_text()
    assert page.locator("#compared tbody tr").count() == len(found["against"]["columns"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_a_short_page_and_opens_what_is_chosen(opened, scheme):
    page = opened(390, scheme)
    heights = page.evaluate(
        "[...document.querySelectorAll('main > :not(#expected, #against), header, footer')].map(e => e.offsetHeight)"
    )
    assert sum(heights) < 6000
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    card = page.locator(".card", has=page.get_by_role("heading", name="aes_score", exact=True))
    assert card.locator(".departs").is_hidden() and card.locator(".first svg").is_visible()
    card.locator(".name").click()
    assert card.locator(".departs").is_visible() and page.url.endswith("#card=aes_score")
    assert card.locator(".name").get_attribute("aria-expanded") == "true"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.go_back()
    assert card.locator(".departs").is_hidden()
