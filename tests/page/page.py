"""Uses the page as people do: with a mouse, with the keyboard alone, with a finger, wrongly, and where a key is asked for.

    tests/page.sh PATH/TO/more-r1 [FOLDER FOR SCREENSHOTS]

Leaves out what the API promises; tests/tests does that. Ends with 1 and a sentence at the first thing that is not as
it should be.
"""

import contextlib
import json
import pathlib
import re
import sys

from playwright.sync_api import Browser, Error, Page, sync_playwright

ASSETS = pathlib.Path(__file__).resolve().parents[2] / "server" / "assets"
EXAMPLES = json.loads((ASSETS / "examples" / "index.json").read_text())
LABELS = 21
STEPS = 6
DESKTOP = {"viewport": {"width": 1280, "height": 900}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
EDGES = ("x0", "y0", "x1", "y1")

# Milliseconds between the first step and the last, of every answer.
spreads: list[float] = []

# Notes when each step was seen done, and every violation of the page's policy.
WITNESS = """
addEventListener("securitypolicyviolation", (event) => console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`), true);
addEventListener("DOMContentLoaded", () => {
  window.arrivals = {};
  const look = () => {
    const done = document.querySelectorAll("#steps .done").length;
    if (done) window.arrivals[done] ??= performance.now();
    else window.arrivals = {};
  };
  new MutationObserver(look).observe(document.querySelector("#steps"), { subtree: true, childList: true, attributes: true });
});
"""


class Failed(Exception):
    """Something is not as it should be."""


def check(holds: object, otherwise: str) -> None:
    """Fails with `otherwise` unless `holds`."""
    if not holds:
        raise Failed(otherwise)


@contextlib.contextmanager
def opened(browser: Browser, url: str, allowed: str = "$^", **options):
    """The page in a fresh window; at the end nothing may have gone wrong behind its back, except what `allowed` matches."""
    context = browser.new_context(**options)
    context.set_default_timeout(20_000)
    page = context.new_page()
    faults: list[str] = []
    page.add_init_script(WITNESS)
    page.on("console", lambda said: said.type in ("error", "warning") and faults.append(f"console: {said.text}"))
    page.on("pageerror", lambda error: faults.append(f"script: {error}"))
    own = (url + "/", "blob:", "data:")
    page.on("request", lambda asked: asked.url.startswith(own) or faults.append(f"left the origin: {asked.url}"))
    # Chromium reports a stream that was read to its end as aborted now and then; the answer itself is checked.
    read = (url + "/extract", "net::ERR_ABORTED")
    page.on("requestfailed", lambda asked: (asked.url, asked.failure) == read or faults.append(f"request failed: {asked.url} {asked.failure}"))
    page.goto(url + "/")
    page.locator("#examples button").nth(len(EXAMPLES) - 1).wait_for()
    yield page
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    check(wide <= 0, f"the page is {wide} pixels wider than the window")
    faults = [fault for fault in faults if not re.search(allowed, fault)]
    check(not faults, "; ".join(faults))
    context.close()


def numbers(page: Page) -> list[int]:
    """The box as the four inputs have it."""
    return [int(page.input_value(f"#{edge}")) for edge in EDGES]


def check_box(page: Page, bbox: list[int]) -> None:
    """A hand is as exact as a pixel of the screen."""
    drawn = numbers(page)
    near = all(abs(got - asked) <= 2 for got, asked in zip(drawn, bbox, strict=True))
    check(near, f"the box drawn at {bbox} became {drawn}")


def check_answer(page: Page, example: dict) -> None:
    """Waits for the whole answer and compares it."""
    page.locator("#work-room:visible, .problem:not(:empty)").first.wait_for()
    problems = page.locator(".problem:not(:empty)").all_inner_texts()
    check(not problems, f"a right question met a problem: {problems}")
    label = page.inner_text("#label").split()[0]
    check(label == example["relation"], f"{example['file']}: the label is {label}, not {example['relation']}")
    words = "no clear relation" if label == "none" else label.rsplit("/", 1)[1].replace("_", " ")
    check(page.inner_text("#relation") == words, f"the label in words is {page.inner_text('#relation')!r}, not {words!r}")
    check(page.inner_text("#definition"), "the label has no definition")
    types = [page.inner_text(f"#{end}-type") for end in ("object", "entity")]
    check(label == "none" or all(types), f"the types are {types}")
    said = page.locator("#steps p").all_inner_texts()
    check(all(said), f"a step says nothing: {said}")
    rows = page.locator("#scores li")
    check(rows.count() == LABELS, f"{rows.count()} bars, not {LABELS}")
    check(rows.first.get_attribute("data-label") == label, "the first bar is not the label's")
    check("onsistent" in page.inner_text("#consistent"), "nothing is said about consistency")
    check(page.locator("#timings li").count() == 6 and page.locator("#facts dt").count() > 0, "times or tokens are missing")
    check(page.evaluate("document.querySelector('#crop').width > 1"), "there is no crop")
    arrivals = page.evaluate("window.arrivals")
    check(sorted(map(int, arrivals)) == list(range(1, STEPS + 1)), f"the steps did not come one by one: {arrivals}")
    spreads.append(arrivals[str(STEPS)] - arrivals["1"])


def choose_photo(page: Page, example: dict) -> None:
    """Through the file chooser, from a folder."""
    with page.expect_file_chooser() as chooser:
        page.locator("#drop").click()
    chooser.value.set_files(ASSETS / "examples" / example["file"])
    page.locator("#stage").wait_for()


def corners(page: Page, bbox: list[int]) -> tuple[float, float, float, float]:
    """Where a box of the photo lies on the screen."""
    page.locator("#stage").scroll_into_view_if_needed()
    stage = page.locator("#stage").bounding_box()
    scale = stage["width"] / page.evaluate("document.querySelector('#photo').naturalWidth")
    x0, y0, x1, y1 = (edge * scale for edge in bbox)
    return stage["x"] + x0, stage["y"] + y0, stage["x"] + x1, stage["y"] + y1


def word(page: Page, text: str):
    """The button of a word of the text."""
    return page.locator("#words").get_by_role("button", name=text, exact=True).first


def mouse(page: Page, example: dict) -> None:
    """A photo from a folder, a box by dragging, words by clicking."""
    choose_photo(page, example)
    x0, y0, x1, y1 = corners(page, example["bbox"])
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move((x0 + x1) / 2, y1, steps=4)
    page.mouse.move(x1, y1, steps=4)
    page.mouse.up()
    check_box(page, example["bbox"])

    # Moved by its middle and back, pulled at its lower right corner and back.
    before = numbers(page)
    for from_x, from_y, what in (((x0 + x1) / 2, (y0 + y1) / 2, "moved"), (x1, y1, "pulled")):
        page.mouse.move(from_x, from_y)
        page.mouse.down()
        page.mouse.move(from_x - 20, from_y - 20, steps=3)
        check(numbers(page) != before, f"the box cannot be {what}")
        page.mouse.move(from_x, from_y, steps=3)
        page.mouse.up()
        check(numbers(page) == before, f"the box was {what} from {before} and back to {numbers(page)}")

    page.locator("#text").click()
    page.keyboard.type(example["text"])
    for part in example["entity"].split():
        word(page, part).click()
    check(page.input_value("#entity") == example["entity"], f"the chosen words are {page.input_value('#entity')!r}")
    page.get_by_role("button", name="Find the relation").click()
    check_answer(page, example)
    page.get_by_role("button", name="Copy as curl").click()
    command = page.inner_text("#command")
    check(f"-F image=@{example['file']}" in command and "/extract" in command, f"the command is {command}")


def tab_to(page: Page, selector: str) -> None:
    """Presses tab until the element has the focus, and checks that it can be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            break
    else:
        raise Failed(f"the tab key does not reach {selector}")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    check(outline != "none", f"{selector} does not show that it has the focus")


def keyboard(page: Page, example: dict) -> None:
    """An example, then its box and its words chosen anew, without a pointer."""
    tab_to(page, f"[data-file='{example['file']}']")
    page.keyboard.press("Enter")
    page.locator("#box").wait_for()
    tab_to(page, "#box")
    page.keyboard.press("Delete")
    check(not page.locator("#box").is_visible(), "delete does not remove the box")
    page.keyboard.press("Enter")  # on "Place a box", which has the focus now
    x0, y0, x1, y1 = numbers(page)
    page.keyboard.press("ArrowRight")
    check(numbers(page) == [x0 + 1, y0, x1 + 1, y1], f"the right arrow moved {[x0, y0, x1, y1]} to {numbers(page)}")
    page.keyboard.press("Shift+ArrowUp")
    check(numbers(page) == [x0 + 1, y0, x1 + 1, y1 - 1], f"shift and up made {numbers(page)}")
    for edge, value in zip(EDGES, example["bbox"], strict=True):
        tab_to(page, f"#{edge}")
        page.keyboard.press("ControlOrMeta+a")
        page.keyboard.type(str(value))

    tab_to(page, "#words button")
    page.keyboard.press("Escape")
    check(page.input_value("#entity") == "", "escape does not clear the entity")
    parts = example["entity"].split()
    page.keyboard.press("Home")
    for _ in example["text"].split():
        if page.evaluate("document.activeElement.textContent") == parts[0]:
            break
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    for _ in parts[1:]:
        page.keyboard.press("Shift+ArrowRight")
    check(page.input_value("#entity") == example["entity"], f"the chosen words are {page.input_value('#entity')!r}")
    check(numbers(page) == example["bbox"], f"the numbers typed became {numbers(page)}")
    page.keyboard.press("Control+Enter")
    check_answer(page, example)


def touch(page: Page, example: dict) -> None:
    """A phone: a box drawn with a finger, words tapped."""
    choose_photo(page, example)
    x0, y0, x1, y1 = corners(page, example["bbox"])
    fingers = page.context.new_cdp_session(page)

    def finger(kind: str, *points: tuple[float, float]) -> None:
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y} for x, y in points]})

    finger("touchStart", (x0, y0))
    for share in (0.2, 0.4, 0.6, 0.8, 1.0):
        finger("touchMove", (x0 + share * (x1 - x0), y0 + share * (y1 - y0)))
    finger("touchEnd")
    check_box(page, example["bbox"])
    page.fill("#text", example["text"])
    for part in example["entity"].split():
        word(page, part).tap()
    check(page.input_value("#entity") == example["entity"], f"the tapped words are {page.input_value('#entity')!r}")
    page.get_by_role("button", name="Find the relation").tap()
    check_answer(page, example)


def mistake(page: Page, example: dict) -> None:
    """An entity that the text does not have."""
    page.locator(f"[data-file='{example['file']}']").click()
    page.locator("#box").wait_for()
    page.fill("#entity", "nobody at all")
    page.get_by_role("button", name="Find the relation").click()
    problem = page.locator("#entity-problem")
    problem.locator("strong").wait_for()
    check("occur" in problem.inner_text(), f"the problem says {problem.inner_text()!r}")
    check(page.get_attribute("#entity", "aria-invalid") == "true", "the field is not marked")
    # Both in one look: between two the page may move.
    rectangle = "document.getElementById('{}').getBoundingClientRect()"
    distance = page.evaluate(f"{rectangle.format('entity-problem')}.top - {rectangle.format('entity')}.bottom")
    check(0 <= distance < 40, f"the problem stands {distance:.0f} pixels from its field")
    others = page.locator(".problem:not(:empty)").count() - 1
    check(others == 0, f"{others} more fields complain")


def amends(page: Page, example: dict) -> None:
    """The mistake, put right by a click."""
    word(page, example["entity"].split()[0]).click()
    left = page.locator(".problem:not(:empty)").all_inner_texts()
    check(not left, f"a problem stays after it was solved: {left}")


def locked(page: Page, example: dict, key: str) -> None:
    """A service with keys asks for one, and answers once it has it."""
    page.locator(f"[data-file='{example['file']}']").click()
    page.locator("#box").wait_for()
    check(not page.locator("#key-line").is_visible(), "a key is asked for before the service did")
    page.get_by_role("button", name="Find the relation").click()
    page.locator("#key").wait_for()
    check("key" in page.inner_text("#general-problem"), "nothing is said about the key")
    page.fill("#key", "mr1-no-such-key")
    page.get_by_role("button", name="Find the relation").click()
    page.locator("#general-problem strong").wait_for()
    check(not page.locator("#work-room").is_visible(), "a wrong key has an answer")
    page.fill("#key", key)
    page.get_by_role("button", name="Find the relation").click()
    page.locator("#work-room").wait_for()
    check_answer(page, example)
    check(key not in page.content(), "the key stands in the page")


def every_example(page: Page) -> None:
    """The examples are to show what the model can do, so it has to."""
    for example in EXAMPLES:
        page.locator(f"[data-file='{example['file']}']").click()
        page.locator(f"[data-file='{example['file']}'][aria-pressed=true]").wait_for()
        check(numbers(page) == example["bbox"], f"the box of {example['file']} became {numbers(page)}")
        page.get_by_role("button", name="Find the relation").click()
        check_answer(page, example)


def main(url: str, guarded: str, key: str, chromium: str, folder: str | None = None) -> int:
    """Runs everything on the service at `url`, and on that at `guarded` what needs the `key`; screenshots go to `folder`."""

    def keep(page: Page, name: str) -> None:
        if folder:
            pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=pathlib.Path(folder) / f"{name}.png", full_page=True)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium)
        runs = [
            ("mouse", lambda page: mouse(page, EXAMPLES[0]), DESKTOP),
            # The browser itself reports the answers' status.
            ("locked", lambda page: locked(page, EXAMPLES[3], key), DESKTOP | {"allowed": "status of 401", "url": guarded}),
            ("keyboard", lambda page: keyboard(page, EXAMPLES[2]), DESKTOP | {"color_scheme": "dark"}),
            ("touch", lambda page: touch(page, EXAMPLES[4]), PHONE),
            ("every example", every_example, PHONE | {"color_scheme": "dark", "reduced_motion": "reduce"}),
            ("mistake", lambda page: mistake(page, EXAMPLES[1]), DESKTOP | {"allowed": "status of 422"}),
        ]
        for name, use, options in runs:
            try:
                with opened(browser, **({"url": url} | options)) as page:
                    try:
                        use(page)
                    finally:
                        keep(page, name.replace(" ", "-"))
                    if name == "mistake":
                        amends(page, EXAMPLES[1])
            except (Failed, Error) as failure:
                print(f"{name}: {failure}")
                return 1
            print(f"ok: {name}")
        browser.close()
    # A browser that gets no processor sees all steps at once, but not every time.
    if max(spreads) < 20:
        print(f"steps are not streamed: at most {max(spreads):.1f} ms lie between the first and the last")
        return 1
    print(f"ok: steps come one by one, over {max(spreads):.0f} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
