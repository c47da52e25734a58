"""The labellers' page in a real browser against a real `genus rank`: all by keyboard, then what trainers read of it."""

import json
import re

import pytest

from genus.align.feedback import Feedback
from genus.align.rankings import Task
from genus.serve.keys import add_key
from tests.align.desk import KEY, ranking
from tests.align.said import CHAT
from tests.browser.conftest import AXE, Served
from tests.browser.said import HOSTILE

pytestmark = pytest.mark.browser
COUNTS = (4, 4, 4, 5, 6, 9, 2, 4, 7, 4, 4, 3, 4, 8, 4, 4, 5, 4, 4, 4)  # answers of the 20 tasks
LABELLERS = ("anna", "ben", "cleo", "dora", "eve", "finn", "gus")
GUIDE = f"# Guide\n\n**Helpful** first. {HOSTILE}<script>alert(1)</script> [x](javascript:alert(2))\n"


def merit(text: str) -> int:
    """How good an answer is, which it says itself; several of a task are equally good."""
    return int(re.search(r"merit (\d)", text)[1])


def tasks() -> list[Task]:
    made = [
        Task(f"Question {number}", tuple(f"Text {place} of merit {1 + place % max(2, count - 1)}" for place in range(count)),
             ("model-secret",) * count)
        for number, count in enumerate(COUNTS)
    ]  # fmt: skip
    hostile = (f"{HOSTILE} merit 1", "</script><script>alert(3)</script> merit 2", "<svg onload=alert(4)> merit 3")
    made[3] = made[3]._replace(prompt=CHAT)
    made[11] = made[11]._replace(prompt=f"{HOSTILE} [x](javascript:alert(5))", answers=hostile, sources=("m",) * 3)
    return made


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("rank") / "feedback.db"


@pytest.fixture(scope="module")
def server(store):
    feedback = Feedback.open(store, new=True)
    feedback.add_tasks(tasks())
    feedback.close()
    keys, guide = store.with_name("keys.txt"), store.with_name("guide.md")
    for name in LABELLERS:
        add_key(keys, name, KEY if name == "anna" else f"gk-{name}")
    guide.write_text(GUIDE)
    flags = ["--store", str(store), "--keys", str(keys), "--guideline", str(guide)]
    with ranking(store.with_name("log"), *flags) as running:
        if "were not built" in store.with_name("log").read_text():
            pytest.skip("the pages are not built; run `make pages`")
        yield Served(running.url, KEY, None)


@pytest.fixture
def desk(open_page):
    """Opens the page as one of the labellers."""

    def opened(labeller: str, **options):
        page = open_page(f"rank&key={KEY if labeller == 'anna' else f'gk-{labeller}'}", **options)
        page.set_default_timeout(10_000)
        page.locator("article.answer").first.wait_for()
        return page

    return opened


def heading(page) -> str:
    return page.locator("#task-heading").inner_text()


def saved(page) -> None:
    page.get_by_role("status").filter(has_text="Saved.").first.wait_for()


def rank_by_keys(page) -> None:
    """The task in sight, its answers in their order on the page, by digits alone, then Enter."""
    before = heading(page)
    texts = page.locator("article.answer .text").all_inner_texts()
    merits = sorted({merit(text) for text in texts})
    for text in texts:
        page.keyboard.press(str(1 + merits.index(merit(text))))
    page.keyboard.press("Enter")
    page.wait_for_function("before => document.querySelector('#task-heading').innerText !== before "
                           "|| document.querySelector('.judged').disabled", arg=before)  # fmt: skip


def test_twenty_tasks_are_ranked_by_keyboard_alone_and_read_by_trainers(desk, store):
    page = desk("anna")
    page.get_by_text("0 of 20 done").wait_for()
    for _ in COUNTS:
        rank_by_keys(page)
    page.get_by_text("20 of 20 done").wait_for()
    page.get_by_text("No task is left open").wait_for()
    found = [each for each in Feedback.open(store).comparisons() if each.labeller == "anna"]
    assert {(str(each.prompt), each.answers) for each in found} == {(str(task.prompt), task.answers) for task in tasks()}
    for each in found:
        merits = sorted({merit(text) for text in each.answers})
        assert each.ranks == tuple(1 + merits.index(merit(text)) for text in each.answers)
    rows = [ranking for _, ranking in Feedback.open(store).submitted() if ranking.labeller == "anna"]
    assert all(row.guideline and 0 < row.seconds < 600 for row in rows)


def test_all_else_by_keyboard_too(desk, store):
    """Overall, flags, comment, better and worse, no rank, other tasks and skip; nothing is lost by a reload."""
    page = desk("ben")
    first = heading(page)
    press = page.keyboard.press
    press("Shift+7")
    press("ArrowRight")
    press("2")
    press("ArrowLeft")  # from the next answer without a rank, to which a digit leads
    press("ArrowLeft")
    press("ArrowDown")  # has none yet: starts at the best
    press("ArrowDown")
    press("ArrowDown")
    press("ArrowUp")
    press("f")
    press("Space")
    press("Escape")
    press("c")
    page.keyboard.type("s 1 n: letters are letters here")
    press("Escape")
    saved(page)
    cards = page.locator("article.answer")
    ranks = [cards.nth(place).get_attribute("aria-label") for place in range(3)]
    assert ranks == ["Answer A, rank 2", "Answer B, rank 2", "Answer C, no rank"]
    page.reload()
    cards.first.wait_for()
    assert heading(page) == first
    assert [cards.nth(place).get_attribute("aria-label") for place in range(3)] == ranks
    assert page.get_by_label("Comment").input_value() == "s 1 n: letters are letters here"
    assert cards.nth(0).locator("input[type=radio]").nth(6).is_checked()
    assert cards.nth(0).locator("input[type=checkbox]").nth(0).is_checked()
    press("n")
    page.get_by_role("heading", name="Task 2 of 20").wait_for()
    press("p")
    page.get_by_role("heading", name=first).wait_for()
    press("0")
    page.get_by_label("Answer A, no rank").first.wait_for()
    press("Enter")  # not before every answer has a rank
    press("s")
    page.get_by_text("1 skipped").wait_for()
    saved(page)
    assert "skipped" in Feedback.open(store).states("ben").values()
    assert not [each for each in Feedback.open(store).comparisons() if each.labeller == "ben"]


def test_by_drag_and_by_buttons(desk, store):
    page = desk("cleo")
    count = page.locator("article.answer").count()
    page.locator(".chip").first.drag_to(page.locator('.slot[data-rank="2"]'))
    page.get_by_label("Answer A, rank 2").first.wait_for()
    page.locator('.slot[data-rank="2"] .chip').drag_to(page.locator('.slot[data-rank="1"]'))
    page.get_by_label("Answer A, rank 1").first.wait_for()
    for place in range(1, count):
        page.get_by_role("group", name=f"Rank of Answer {chr(65 + place)}").get_by_role("button", name="Rank 2").click()
    text = page.locator("article.answer .text").first.inner_text()
    page.get_by_role("button", name="Submit").click()
    page.get_by_text("1 of 20 done").wait_for()
    (found,) = [each for each in Feedback.open(store).comparisons() if each.labeller == "cleo"]
    assert found.ranks == tuple(1 if answer == text else 2 for answer in found.answers)
    page.get_by_role("button", name="Previous").click()
    page.get_by_text("Submitted: it stands.").wait_for()
    assert page.locator(".judged button:enabled").count() == 0


def test_what_could_not_be_saved_is_said_kept_and_saved_on_retry(desk, store):
    page = desk("dora")
    full = {
        "error": {"message": "the disk is full, so nothing was saved", "type": "server_error", "param": None, "code": None}
    }
    page.route("**/genus/feedback/tasks/*", lambda route: route.fulfill(status=507, json=full)
               if route.request.method == "POST" else route.fallback())  # fmt: skip
    rank_digits = "1234567890"[: page.locator("article.answer").count()]
    for digit in rank_digits:
        page.keyboard.press(digit)
    page.get_by_role("alert").get_by_text("nothing was saved").wait_for()
    page.get_by_role("status").filter(has_text="Not saved.").wait_for()
    page.keyboard.press("Enter")
    page.get_by_text("0 of 20 done").wait_for()
    page.unroute("**/genus/feedback/tasks/*")
    page.reload()  # it stays in the browser, and is sent when the page is opened again
    page.get_by_text("1 of 20 done").wait_for()
    (found,) = [each for each in Feedback.open(store).comparisons() if each.labeller == "dora"]
    assert sorted(found.ranks) == list(range(1, len(rank_digits) + 1))
    page.route(
        "**/genus/feedback/tasks/*", lambda route: route.abort() if route.request.method == "POST" else route.fallback()
    )
    page.locator("article.answer").first.press("1")
    page.get_by_role("alert").get_by_text("connection to the server was lost").wait_for()
    page.unroute("**/genus/feedback/tasks/*")
    page.get_by_role("button", name="Retry").click()
    saved(page)
    assert page.get_by_role("alert").count() == 0


def test_a_demonstration_is_written_and_kept_until_it_is_saved(desk, store):
    page = desk("eve")
    page.get_by_text("Write an answer of your own").click()
    page.get_by_label("Prompt", exact=True).fill("Name a colour.")
    page.get_by_label("Your answer").fill("Blue.")
    page.route("**/genus/feedback/demonstrations", lambda route: route.abort())
    page.get_by_role("button", name="Save this answer").click()
    page.get_by_role("alert").wait_for()
    page.unroute("**/genus/feedback/demonstrations")
    page.reload()
    page.get_by_text("Write an answer of your own").click()
    assert page.get_by_label("Your answer").input_value() == "Blue."
    page.get_by_role("button", name="Save this answer").click()
    page.get_by_text("1 written").wait_for()
    assert page.get_by_label("Your answer").input_value() == ""
    assert ("Name a colour.", "Blue.", "eve") in Feedback.open(store).demonstrations()


def test_agreement_is_shown_once_two_labellers_share_tasks(desk, store):
    for name in ("finn", "gus"):
        page = desk(name)
        page.get_by_role("button", name="Next").wait_for()
        for _ in range(12):  # of 20 tasks in two orders, some are shared
            rank_by_keys(page)
    found = Feedback.open(store).agreement()
    page.get_by_text(f"{found.pairs} pairs in {found.tasks} shared tasks").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_the_page_is_sound_and_hostile_text_is_only_text(desk, tmp_path, width, scheme):
    """axe-core finds nothing, nothing is cut off at the side; no element came of any text (F41)."""
    page = desk("anna", viewport={"width": width, "height": 740}, color_scheme=scheme, reduced_motion="reduce")
    made = "main :is(img, script, iframe, svg, object), main [onerror], main [onload], main [href^='javascript' i]"
    if not AXE.is_file():
        pytest.skip("axe-core is not installed; run npm ci in ui/")
    page.evaluate(AXE.read_text("utf-8"))
    seen = set()
    while True:
        count = page.locator("article.answer").count()
        hostile = page.get_by_text("alert(3)").count() > 0
        assert page.locator(made).count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if count not in seen and (count in (2, 9) or hostile):
            seen.add(count)
            page.evaluate("document.querySelectorAll('main details').forEach(each => each.open = true)")
            page.screenshot(path=tmp_path / f"page-{count}.png", full_page=True)
            found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
            told = [(each["id"], each["nodes"][0]["html"][:200], each["nodes"][0]["failureSummary"]) for each in found]
            assert not told, json.dumps(told, indent=1)
        before = heading(page)
        if page.get_by_role("button", name="Next").is_disabled():
            break
        page.get_by_role("button", name="Next").click()
        page.wait_for_function("before => document.querySelector('#task-heading').innerText !== before", arg=before)
    assert seen == {2, 3, 9}
    assert "model-secret" not in page.content()
