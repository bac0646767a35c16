"""Both pages driven in Chromium: real keys, real clicks, and nothing in the console."""

import base64
import json

import chromium
import pytest

from surgzoo.evaluate.report import compare_report, report

pytestmark = pytest.mark.skipif(chromium.find() is None, reason="no Chromium on this machine")

# Text that is too faint against what is behind it, alpha blended; pictures are left out.
FAINT = """(() => {
  const parse = (text) => {
    const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], below) => [r, g, b].map((c, i) => a * c + (1 - a) * below[i]);
  const light = (rgb) => {
    const [r, g, b] = rgb.map((c) => c / 255)
      .map((c) => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const colour = parse(getComputedStyle(element).backgroundColor);
    return colour[3] === 1 ? colour.slice(0, 3) : over(colour, behind(element.parentElement));
  };
  const found = [];
  for (const element of document.querySelectorAll("body *")) {
    const words = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!words || !element.checkVisibility()) continue;
    if (element.closest(".hidden, .skip, svg, script, style, th.again, :disabled")) continue;
    if (element.matches(".band span")) continue;  // on an SVG path; test_report_style.py has it
    const below = behind(element);
    const [a, b] = [light(over(parse(getComputedStyle(element).color), below)), light(below)];
    const contrast = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (contrast < 4.5) found.push([element.className, element.textContent.slice(0, 30), contrast]);
  }
  return found;
})()"""


@pytest.fixture(scope="module")
def pages(truth, data_dir, tmp_path_factory):
    """{name: path} of the page of one run and the page of two."""
    folder = tmp_path_factory.mktemp("pages")
    files = []
    for model, every in (("careful", 7), ("hasty", 3)):
        lines = []
        for number, (id, item) in enumerate(truth.conversations.items()):
            text = item.target
            if number % every == 0:
                wrong = {"phase_recognition": "preparation", "instrument_recognition": "hook"}
                text = wrong.get(item.task, "no idea")
            lines.append({"id": id, "model": model, "text": text, "latency": 0.1 + number % 5})
        files.append(folder / f"{model}.jsonl")
        files[-1].write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return {
        "one": report(files[0], data_dir, folder / "one.html", max_examples=60),
        "two": compare_report(files, data_dir, folder / "two.html", max_examples=40),
    }


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = chromium.Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(params=["one", "two"])
def page(request, browser, pages):
    """The browser with a fresh page; what it logs as an error fails the test."""
    browser.resize(1280)
    browser.errors.clear()
    browser.open(pages[request.param])
    browser.name = request.param
    yield browser
    assert browser.errors == []


def shown(page, expression="card.dataset.id"):
    return page.run(
        "[...document.querySelectorAll('.card:not([hidden])')].map((card) => " + expression + ")"
    )


def choose(page, name, value):
    page.run(
        f"""(() => {{
          const control = document.querySelector('.filters [name="{name}"]');
          control.value = {json.dumps(value)};
          control.dispatchEvent(new Event("input", {{ bubbles: true }}));
        }})()"""
    )


def opened(page):
    return page.run("document.querySelector('dialog.case').open")


def status(page):
    return page.run("document.querySelector('.shown').textContent")


def test_errors_are_noticed(browser, tmp_path):
    path = tmp_path / "broken.html"
    path.write_text("<!doctype html><script>console.error('a'); missing();</script>")
    browser.open(path)
    assert len(browser.errors) == 2
    browser.errors.clear()


def test_filter_by_task_and_reset(page):
    everything = status(page)
    choose(page, "task", "phase_recognition")
    assert set(shown(page, "card.dataset.task")) == {"phase_recognition"}
    assert status(page) != everything
    page.click(".filters [type=reset]")
    assert page.run("new Promise((done) => setTimeout(() => done(1), 20))") == 1
    assert status(page) == everything
    assert len(set(shown(page, "card.dataset.task"))) > 1


def test_filters_join(page):
    choose(page, "procedure", "nephrectomy")
    choose(page, "task", "phase_recognition")
    cards = shown(page, "[card.dataset.procedure, card.dataset.task]")
    assert cards and {tuple(c) for c in cards} == {("nephrectomy", "phase_recognition")}
    choose(page, "video", "op03")  # the other procedure
    assert shown(page) == []
    assert status(page) == "No case fits these choices."


def test_search(page):
    page.click(".find input")
    page.type("PHASE op05")  # of the id, in any case
    cards = shown(page)
    assert cards and all("op05" in id and "phase" in id for id in cards)
    page.run("document.querySelector('.find input').select()")
    page.type("retract gallbladder")  # words of an answer
    texts = shown(page, "card.textContent")
    assert texts and all("retract" in t and "gallbladder" in t for t in texts)
    page.type(" nothing like it")
    assert shown(page) == []


def test_more_cases(page):
    assert len(shown(page)) == 12
    page.click(".more")
    assert len(shown(page)) == 24
    assert page.run("document.activeElement.closest('.card').dataset.id") == shown(page)[12]


def test_a_table_is_sorted_by_any_column(page):
    table = "table.sortable"
    heads = page.run(f"document.querySelector('{table}').tHead.rows[0].cells.length")

    def column(index):
        return page.run(
            f"""[...document.querySelector('{table}').querySelectorAll('tbody tr')].map((row) => {{
              const cell = row.cells[{index}];
              return cell.dataset.v ?? cell.textContent.trim();
            }})"""
        )

    sorted_ones = 0
    for index in range(heads):
        button = f"{table} thead th:nth-child({index + 1}) .sort"
        if not page.run(f"!!document.querySelector('{button}')"):
            continue
        before = column(index)
        seen = {}
        for _ in range(3):
            page.click(button)
            way = page.run(f"document.querySelector('{button}').parentElement.ariaSort")
            seen[way] = column(index)
        assert seen[None] == before  # the third click gives back the order of the page
        known = [v for v in before if v != ""]
        if all(v.replace(".", "", 1).replace("-", "", 1).isdigit() for v in known):
            known = sorted(known, key=float)
            assert [float(v) for v in seen["ascending"] if v] == [float(v) for v in known]
            assert [float(v) for v in seen["descending"] if v] == [float(v) for v in known[::-1]]
        else:
            assert seen["ascending"] == seen["descending"][::-1] != []
        assert seen["descending"][len(known) :] == [""] * (len(before) - len(known))
        sorted_ones += 1
    assert sorted_ones >= 5


def test_open_a_case_with_the_keyboard(page):
    first, second = shown(page)[:2]
    page.run("document.querySelector('.card:not([hidden]) .open').focus()")
    page.press("Enter")
    assert opened(page)
    text = page.run("document.querySelector('dialog').textContent")
    card = page.run("document.querySelector('.card:not([hidden])').textContent")
    assert first in text
    for part in (".question", "dl"):
        words = page.run(f"document.querySelector('.card:not([hidden]) {part}').textContent")
        assert words in text and words in card
    assert page.run("document.querySelector('dialog img').naturalWidth") > 0
    assert page.run("document.querySelector('dialog img').alt")
    page.press("ArrowRight")
    assert second in page.run("document.querySelector('dialog').textContent")
    page.press("ArrowLeft")
    assert first in page.run("document.querySelector('dialog').textContent")
    page.press("Escape")
    assert not opened(page)
    active = "document.activeElement.closest('.card').dataset.id"
    assert page.run(active) == first
    page.press("Enter")  # focus is on its button again
    page.press("ArrowRight")
    page.press("Escape")
    assert page.run(active) == second  # the case that was looked at last


def test_focus_stays_in_an_open_case(page):
    page.click(".card:not([hidden]) .open")
    for _ in range(6):
        page.press("Tab")
        inside = (
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
        assert page.run(inside)
    page.press("Escape")


def test_open_and_close_with_the_mouse(page):
    page.click(".card:not([hidden]) .frame img")
    assert opened(page)
    page.click("dialog .next")
    assert shown(page)[1] in page.run("document.querySelector('dialog').textContent")
    page.click("dialog .close")
    assert not opened(page)


def test_tab_goes_down_the_page_and_everything_has_a_name(page):
    page.run("window.order = [...document.querySelectorAll('*')]; document.body.focus()")
    places = []
    for _ in range(600):
        page.press("Tab")
        place, visible = page.run(
            """(() => {
              const at = document.activeElement;
              return [order.indexOf(at), at.getBoundingClientRect().width > 0];
            })()"""
        )
        if places and place <= places[-1]:
            break
        assert visible
        places.append(place)
    assert len(places) > 40
    assert page.run(f"order[{places[0]}].className") == "skip"
    assert page.run(f"'download' in order[{places[-1]}] || order[{places[-1]}].tagName") in (
        True,
        "A",
    )
    nodes = page.send("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "link", "image", "searchbox", "combobox", "radio", "dialog", "region"}
    named = [n for n in nodes if not n["ignored"] and n["role"]["value"] in roles]
    assert len(named) > 60
    for node in named:
        assert node["name"]["value"].strip(), node


def test_tables_stay_tables_on_a_phone(page):
    page.resize(360, 740)
    width = "document.documentElement.scrollWidth"
    assert page.run(width) <= 360
    roles = [
        node["role"]["value"]
        for node in page.send("Accessibility.getFullAXTree")["nodes"]
        if not node["ignored"]
    ]
    tables = page.run(
        "[...document.querySelectorAll('table')].filter((t) => t.checkVisibility()).length"
    )
    assert roles.count("table") == tables > 3
    assert roles.count("columnheader") > 10 and roles.count("rowheader") > 10
    page.click(".card:not([hidden]) .open")
    left, right = page.run(
        "(r => [r.left, r.right])(document.querySelector('dialog').getBoundingClientRect())"
    )
    assert left >= 0 and right <= 360
    assert page.run(width) <= 360
    page.press("Escape")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_contrast_of_all_text(page, dark):
    page.resize(1280, dark=dark)
    page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert page.run(FAINT) == []
    page.click(".card:not([hidden]) .open")
    assert page.run(FAINT) == []
    page.press("Escape")


def test_downloads_hold_the_table(page):
    text = page.run(
        "fetch(document.querySelector('a[download]').href).then((reply) => reply.text())"
    )
    href = page.run("document.querySelector('a[download]').href")
    assert base64.b64decode(href.split(",", 1)[1]).decode() == text
    rows = page.run("document.querySelectorAll('#scores table tbody')[0].rows.length")
    assert len(text.splitlines()) == rows + 1


# ---- one page alone ------------------------------------------------------------------------------


@pytest.fixture
def one(browser, pages):
    browser.resize(1280)
    browser.errors.clear()
    browser.open(pages["one"])
    yield browser
    assert browser.errors == []


@pytest.fixture
def two(browser, pages):
    browser.resize(1280)
    browser.errors.clear()
    browser.open(pages["two"])
    yield browser
    assert browser.errors == []


def test_verdict_and_order(one):
    one.click(".pick:has([value=wrong]) span")
    assert set(shown(one, "card.dataset.verdict")) == {"wrong"}
    one.click(".pick:has([value='']) span")
    choose(one, "order", "up")
    rewards = shown(one, "Number(card.dataset.quality)")
    assert rewards == sorted(rewards) and rewards[0] == 0
    choose(one, "order", "down")
    assert shown(one, "Number(card.dataset.quality)")[0] == 1


def test_a_worst_case_is_opened_and_focus_returns_to_the_table(one):
    one.click(".worst .open-case")
    id = one.run("document.querySelector('.worst .open-case').dataset.id")
    assert id in one.run("document.querySelector('dialog').textContent")
    one.press("Escape")
    assert one.run("document.activeElement.className") == "open-case"


def test_a_ribbon_is_read_with_the_keys(one):
    one.run("document.querySelector('.tracks').focus()")
    one.press("End")
    text = one.run("document.querySelector('.ribbon output').textContent")
    assert text.startswith("19 s: ")
    one.press("ArrowLeft")
    assert one.run("document.querySelector('.ribbon output').textContent").startswith("18 s: ")


def test_who_is_right_and_who_is_not(two):
    choose(two, "right", "B hasty")
    choose(two, "wrong", "A careful")
    cards = shown(two, "[card.dataset.right, card.dataset.wrong]")
    assert cards and {tuple(c) for c in cards} == {("B hasty", "A careful")}
    choose(two, "right", "A careful")
    choose(two, "wrong", "B hasty")
    assert {tuple(c) for c in shown(two, "[card.dataset.right, card.dataset.wrong]")} == {
        ("A careful", "B hasty")
    }
    two.click(".card:not([hidden]) .open")
    text = two.run("document.querySelector('dialog').textContent")
    assert "A careful" in text and "B hasty" in text
    two.press("Escape")
