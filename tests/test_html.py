"""The page of `segtool evaluate --html`, as a browser shows it."""

import re
import shutil
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from segtool.imaging.codec import Pixels
from segtool.imaging.curves import curve_of
from segtool.imaging.gallery import PAGE_BYTES, Shortlist, photo_within, sketch
from segtool.imaging.metrics import ImageCounts, Tally, class_counts, confusion, image_scores, scores_of
from segtool.report.html import page, write_page
from segtool.results import Evaluated
from segtool.scores import Change, Comparison, Gate, Picture
from segtool.scoring.pictures import pictures

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<script>alert(1)</script>"
NAMES = ("sky", '<b>road</b> & "co"', "car")
COLORS = ((0, 0, 0), (230, 159, 0), (86, 180, 233))


def evaluated(count: int = 12, *, names: tuple[str, ...] = NAMES) -> Evaluated:
    """Returns an evaluation of drawn pictures, better from one to the next; the car is only in every other."""
    classes, parts, shown = len(names), [], []
    rng = np.random.default_rng(0)
    for number in range(count):
        truth = np.zeros((60, 80), np.uint8)
        truth[20:] = 1
        if classes > 2 and number % 2:
            truth[25:45, 30:60] = 2
        truth[:3, :3] = 255
        found = np.roll(truth, count - number, 0) % classes
        matrix = confusion(truth, found, classes)
        name = EVIL if number == 3 else f"picture {number:02}"
        image = ImageCounts(class_counts(matrix), "val", name, truth.shape)
        parts.append(Tally(matrix, (image,)))
        photo = rng.integers(0, 256, (6, 8, 3), np.uint8)
        drawn = sketch(image, truth, found, score=None, side=80)
        webp = photo_within(np.asarray(cv2.resize(photo, (80, 60)), np.uint8), 80, 60, limit=20_000)
        shown.append(Picture("val", name, 80, 60, webp, drawn.masks, worst=number < 8, random=number % 3 == 0))
    tally = Tally.total(classes, parts)
    scores = scores_of(tally, names, threshold=None, with_intervals=True)
    images = image_scores(tally)
    changes = tuple(Change(i.label, 0.5, 0.5 + (n - 5) / 100, None) for n, i in enumerate(images))
    return Evaluated(
        Path("da<t>a"), "val", f"mine {EVIL}", None, "float32", scores, images, (("x", f"cannot read {EVIL}"),),
        colors=COLORS[:classes], notes=(f"note {EVIL}",), pictures=tuple(shown),
        gates=(Gate("miou", 0.99, scores.miou), Gate("accuracy", 0.1, scores.accuracy)),
        comparison=Comparison(Path("old.json"), count, 0, 0, 0, (Change("miou", 0.5, 0.4, (-0.2, -0.1)),), changes),
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    playwright = pytest.importorskip("playwright.sync_api", reason="no Playwright")
    if CHROMIUM is None:
        pytest.skip("no Chromium")
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Opened:
    """A page in the browser, with what it said and asked for."""

    def __init__(self, browser: "Browser", path: Path, *, width: int = 1200, scheme: str = "light") -> None:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]
        context.set_offline(True)
        self.page: Page = context.new_page()
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("dialog", lambda dialog: self.said.append(f"dialog {dialog.message}"))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())

    def labels(self) -> list[str]:
        return self.page.locator("#cards .card .name span").all_text_contents()  # inner text is only of what is in view

    def scores(self) -> list[float]:
        return [float(text) for text in self.page.locator("#cards .card .name b").all_text_contents()]

    def title(self) -> str:
        return self.page.locator("#large-title").text_content() or ""

    def is_large(self) -> bool:
        return bool(self.page.evaluate("document.getElementById('large').open"))

    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.getAttribute('aria-label') ?? ''"))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(path, evaluated())
    return path


@pytest.fixture
def opened(browser: "Browser", written: Path) -> Iterator[Opened]:
    """The page in a browser without network; afterwards it must have said nothing and asked for nothing else."""
    one = Opened(browser, written)
    yield one
    one.page.wait_for_timeout(50)
    assert one.said == []
    assert [url for url in one.asked if not url.startswith("data:")] == [written.as_uri()]
    one.page.context.close()


def test_the_page_shows_summary_classes_confusion_and_distribution(opened: Opened) -> None:
    text = opened.page.locator("main").inner_text()
    result = evaluated()
    for value in (result.scores.miou, result.scores.accuracy, *(c.iou for c in result.scores.classes)):
        assert f"{value:.4f}" in text
    assert opened.page.locator(".matrix tbody td").count() == 9
    assert opened.page.locator(".column").count() > 1
    assert "failed miou" in text and "passed accuracy" in text
    assert "worse" in text


def test_names_are_text_and_never_tags(opened: Opened) -> None:
    assert EVIL in opened.labels()
    assert EVIL in opened.page.locator("h1").inner_text()
    assert EVIL in opened.page.locator(".failed").inner_text()
    assert opened.page.locator("main b", has_text="road").count() == 0
    assert NAMES[1] in opened.page.locator(".classes tbody").inner_text()
    assert opened.page.locator("script").count() == 2  # the data and the code


def test_pictures_are_sorted_by_score_or_name(opened: Opened) -> None:
    assert opened.scores() == sorted(opened.scores())
    opened.page.select_option("#sort", "best")
    assert opened.scores() == sorted(opened.scores(), reverse=True)
    opened.page.select_option("#sort", "name")
    assert opened.labels() == sorted(opened.labels())
    opened.page.select_option("#sort", "change")
    assert opened.labels() == [c.key for c in evaluated().comparison.images]  # type: ignore[union-attr]


def test_pictures_are_filtered_by_class_and_then_scored_by_it(opened: Opened) -> None:
    opened.page.select_option("#class", label="car")
    wanted = sorted(i.figures["iou"][2] for i in evaluated().images if i.figures["iou"][2] is not None)
    assert len(wanted) == 6
    assert opened.scores() == pytest.approx(wanted, abs=5e-5)
    assert "6 of 12" in opened.page.locator("#count").inner_text()
    assert "false positive: car" in opened.page.locator("#legend").inner_text()


def test_pictures_are_filtered_by_score_and_by_why_they_were_picked(opened: Opened) -> None:
    everything = opened.scores()
    middle = everything[5]
    opened.page.fill("#high", f"{middle + 0.0001:.4f}")
    assert opened.scores() == everything[:6]
    opened.page.fill("#low", f"{everything[2] - 0.0001:.4f}")
    assert opened.scores() == everything[2:6]
    opened.page.fill("#low", "0")
    opened.page.fill("#high", "1")
    opened.page.select_option("#show", "worst")
    assert len(opened.labels()) == 8
    opened.page.select_option("#show", "random")
    assert len(opened.labels()) == 4


def test_a_click_opens_a_picture_large_with_its_four_panels(opened: Opened) -> None:
    opened.page.locator("#cards .card").nth(2).click()
    assert opened.is_large()
    assert opened.title() == opened.labels()[2]
    kinds = opened.page.locator("#panels canvas").evaluate_all("all => all.map((c) => c.dataset.kind)")
    assert kinds == ["image", "truth", "prediction", "errors"]
    opened.page.click("#next")
    assert opened.title() == opened.labels()[3]
    opened.page.click("#close")
    assert not opened.is_large()


def test_everything_works_by_keyboard(opened: Opened) -> None:
    labels = opened.labels()
    opened.page.locator("#cards .card").first.focus()
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("ArrowRight")
    assert labels[2] in opened.focused()
    opened.page.keyboard.press("ArrowUp")
    opened.page.keyboard.press("Enter")
    assert opened.is_large() and opened.title() == labels[1]
    opened.page.keyboard.press("ArrowRight")
    opened.page.keyboard.press("ArrowRight")
    assert opened.title() == labels[3]
    opened.page.keyboard.press("ArrowLeft")
    opened.page.keyboard.press("Escape")
    assert not opened.is_large()
    opened.page.wait_for_timeout(100)  # the focus goes back a moment after
    assert labels[2] in opened.focused()


def test_every_control_and_chart_has_a_name_for_screen_readers(opened: Opened) -> None:
    unnamed = opened.page.evaluate(
        """() => [...document.querySelectorAll('button, select, input, svg[role=img], section, [role=region]')]
            .filter((e) => !(e.ariaLabel || e.getAttribute('aria-labelledby') || e.labels?.length || e.innerText))
            .map((e) => e.outerHTML)"""
    )
    assert unnamed == []
    assert opened.page.locator("html").get_attribute("lang") == "en"


def _pixels(opened: Opened, kind: str) -> dict[tuple[int, ...], int]:
    """Returns how often each colour occurs in the first card's panel."""
    opened.page.wait_for_selector("#cards .card[data-drawn]")
    flat = opened.page.evaluate(
        f"""() => {{ const c = document.querySelector('#cards canvas[data-kind={kind}]');
            return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; }}"""
    )
    colors, counts = np.unique(np.array(flat).reshape(-1, 4)[:, :3], axis=0, return_counts=True)
    return {tuple(int(v) for v in color): int(n) for color, n in zip(colors, counts, strict=True)}


def test_false_positives_and_false_negatives_are_where_they_are_and_apart(opened: Opened) -> None:
    opened.page.select_option("#class", label=NAMES[1])
    opened.page.wait_for_timeout(300)
    result = evaluated()
    first = opened.labels()[0]
    shown = next(p for p in result.pictures if p.name == first)
    masks = np.frombuffer(zlib.decompress(shown.masks), np.uint8).reshape(2, 60, 80)
    truth, found = masks
    judged = truth < 3
    positives = int(((found == 1) & (truth != 1) & judged).sum())
    negatives = int(((truth == 1) & (found != 1)).sum())
    colors = _pixels(opened, "errors")
    vermilion = sum(n for (r, g, b), n in colors.items() if r > g + 60 and g > b)
    blue = sum(n for (r, g, b), n in colors.items() if b > g > r + 40)
    assert positives > 50 and negatives > 50
    assert (vermilion, blue) == (positives, negatives)
    grey = sum(n for (r, g, b), n in colors.items() if r == g == b)
    assert grey == 60 * 80 - positives - negatives


def test_both_colour_schemes_and_the_button_change_the_ground(browser: "Browser", written: Path) -> None:
    grounds = {}
    for scheme in ("light", "dark"):
        one = Opened(browser, written, scheme=scheme)
        ground = "getComputedStyle(document.body).backgroundColor"
        seen = [one.page.evaluate(ground)]
        for _ in range(3):
            one.page.click("#theme")
            seen.append(one.page.evaluate(ground))
        grounds[scheme] = seen
        one.page.context.close()
    light, dark = grounds["light"][0], grounds["dark"][0]
    assert light != dark
    assert grounds["light"] == [light, light, dark, light]  # auto, light, dark, auto
    assert grounds["dark"] == [dark, light, dark, dark]


@pytest.mark.parametrize("width", [360, 390, 768, 1200])
def test_nothing_is_wider_than_the_window(browser: "Browser", written: Path, width: int) -> None:
    one = Opened(browser, written, width=width)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    one.page.locator("#cards .card").first.click()
    one.page.wait_for_timeout(100)
    assert one.page.evaluate("document.getElementById('large').scrollWidth") <= width
    one.page.context.close()


def noise(seed: int) -> Pixels:
    """Returns a photo as hard to compress as photos get."""
    return np.random.default_rng(seed).integers(0, 256, (360, 480, 3), np.uint8)


def test_all_pictures_together_stay_within_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segtool.scoring.pictures.PAGE_BYTES", 10 * 26_000)
    rng = np.random.default_rng(0)
    shortlist, image_of = Shortlist(6), {}
    for number in range(10):
        masks = rng.integers(0, 11, (2, 360, 480), np.uint8)
        counts = np.zeros((11, 3), np.int64)
        shortlist.add(sketch(ImageCounts(counts, "val", str(number)), *masks, score=number / 10, side=360))
        image_of["val", str(number)] = tmp_path / f"{number}.png"
        if number:
            cv2.imwrite(str(tmp_path / f"{number}.png"), noise(number))
    chosen = pictures(shortlist, image_of)
    assert sum(len(p.photo) + len(p.masks) for p in chosen) <= 10 * 26_000
    assert [p.name for p in chosen[:6]] == ["0", "1", "2", "3", "4", "5"]
    assert sum(p.worst for p in chosen) == sum(p.random for p in chosen) == 6
    assert chosen[0].photo == b"" and all(p.photo for p in chosen[1:])  # the one that is not there


def test_500_pictures_stay_below_20_mb_and_open_at_once(browser: "Browser", tmp_path: Path) -> None:
    result = evaluated()
    masks = zlib.compress(np.zeros((2, 270, 360), np.uint8).tobytes())
    limit = PAGE_BYTES // 500 - len(masks)
    photos = [photo_within(noise(seed), 360, 270, limit=limit).ljust(limit, b"\0") for seed in range(4)]
    pictures = tuple(Picture("val", f"{i:03}", 360, 270, photos[i % 4], masks, i < 250, i >= 250) for i in range(500))
    images = tuple(replace(result.images[0], name=p.name, label=p.name, miou=i / 500) for i, p in enumerate(pictures))
    write_page(tmp_path / "large.html", replace(result, images=images, pictures=pictures, comparison=None))
    assert (tmp_path / "large.html").stat().st_size < 20_000_000
    one = Opened(browser, tmp_path / "large.html")
    assert len(one.labels()) == 500
    assert one.page.evaluate("performance.timing.domComplete - performance.timing.navigationStart") < 10_000
    drawn = one.page.evaluate("[...document.querySelectorAll('#cards canvas')].filter((c) => c.width > 0).length")
    assert 0 < drawn <= 4 * 30  # only those near the window
    assert one.said == []
    one.page.context.close()


def test_a_picture_whose_photo_cannot_be_read_shows_its_masks(browser: "Browser", tmp_path: Path) -> None:
    result = evaluated(2)
    blank = tuple(replace(p, photo=b"") for p in result.pictures)
    write_page(tmp_path / "blank.html", replace(result, pictures=blank))
    one = Opened(browser, tmp_path / "blank.html")
    assert len(_pixels(one, "truth")) >= 2
    assert one.said == []
    one.page.context.close()


def test_two_classes_have_curves_and_errors_without_choosing_a_class() -> None:
    result = evaluated(names=("background", "person"))
    tally = Tally(np.zeros((2, 3), np.int64), tuple(
        ImageCounts(np.zeros((2, 3), np.int64), "val", str(i), histogram=_histogram(i)) for i in range(3)
    ))  # fmt: skip
    text = page(replace(result, curve=curve_of(tally)))
    assert "average precision" in text
    assert text.count("<polyline") == 5
    assert '"binary": true' in text


def _histogram(seed: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint32]]":
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, 9, 1024), rng.integers(0, 9, 1024)]).astype(np.uint32)


def test_the_page_asks_for_nothing_and_the_browser_is_told_to_refuse() -> None:
    text = page(evaluated())
    assert "default-src 'none'" in text
    outside = re.sub(r'<script type="application/json".*?</script>', "", text, flags=re.DOTALL)
    assert not re.findall(r"(?:src|href)=\"(?!data:)", outside)
    assert not re.findall(r"https?://", outside)
    assert EVIL not in text


def test_names_that_are_no_unicode_are_written_as_escapes(tmp_path: Path) -> None:
    result = evaluated(2)
    write_page(tmp_path / "odd.html", replace(result, failures=(("a\udcff", "is odd"),)))
    assert "a\\udcff" in (tmp_path / "odd.html").read_text(encoding="utf-8")
