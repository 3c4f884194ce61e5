"""The report of a real run: all numbers of the receipts, every text escaped, one page with nothing from outside."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

import curator as cu
from curator import report
from curator.errors import CheckError
from curator.report.charts import _round_up, funnel, histogram
from curator.report.gather import Histogram, gather

SCRIPT = "<script>console.error('pwned')</script>"
EVIL = SCRIPT + "<img src=x onerror=\"console.error('pwned')\"> & \"quotes\" 'single' \x00\x1b[31m"
SHORT = "**Analysis** short </pre></details><script>console.error('pwned')</script>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    base = tmp_path_factory.mktemp("run")
    rows = [
        {
            "row_id": f"r-{i}", "problem_id": f"p-{i}", "problem": f"{EVIL} {i}", "answer": str(i), "source": EVIL,
            "trace": f"<think>\n{EVIL}{'long ' * 3000}\n</think>\n\n{i}", "short_cot": SHORT, "short_solution": str(i),
            "verified": i % 2 == 0, "tokens_long": 300 + 100 * i, "tokens_short": 20 + i,
        }
        for i in range(12)
    ]  # fmt: skip
    path = base / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", "utf-8")
    pipeline = cu.read(path=str(path)) | cu.select(where="tokens_long < 1000") | cu.export(to="trl")
    pipeline.run(base / "mine", progress=False)
    return base / "mine"


class Page(HTMLParser):
    """Collects tags, attributes and visible text; complains about tags that are not closed in order."""

    VOID = {"meta", "link", "br", "img"}

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def page(folder):
    return report.html(folder, folder / "r.html").read_text("utf-8")


def test_text_has_every_step_and_reason(folder):
    text = report.text(folder)
    receipts = [json.loads(p.read_text()) for p in sorted(folder.glob("steps/*/receipt.json"))]
    assert len(receipts) == 3
    for r in receipts:
        (line,) = [x for x in text.splitlines() if x.split()[:1] == [r["step"]]]
        assert line.split()[1:5] == [str(r[k]) for k in ("rows_in", "made", "out", "dropped")]
        assert all(f"{reason} {n}" in line for reason, n in r["reasons"].items())
    assert receipts[1]["dropped"] == 5
    assert "\x1b" not in text
    assert all(len(line) <= 80 for line in report.text(folder, width=80).splitlines())


def test_colours_only_where_asked_or_on_a_terminal(folder, monkeypatch):
    assert "\x1b[" in report.text(folder, color=True)
    assert "\x1b[" not in report.text(folder)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in report.text(folder)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in report.text(folder)


def test_page_is_whole_and_needs_nothing_from_outside(page):
    found = Page(page)
    assert not found.open
    tags = {tag for tag, _ in found.tags}
    assert not tags & {"script", "img", "iframe", "object", "embed", "form", "base", "a"}
    for _tag, attributes in found.tags:
        assert not [a for a in attributes if a.startswith("on")]
        assert not {"src", "srcset", "style"} & set(attributes)
        assert attributes.get("href", "data:,") == "data:,"
    assert "url(" not in page
    assert "@import" not in page
    assert "default-src 'none'" in page


def test_hostile_text_is_shown_as_text(page):
    shown = "".join(Page(page).text)
    assert "<script>console.error('pwned')</script>" in shown
    assert "<script" not in page
    assert "\x00" not in page
    assert "\x1b" not in page


def test_page_shows_long_beside_short_funnel_and_tokens(page):
    shown = "".join(Page(page).text)
    for wanted in ("long trace", "short trace", "rows dropped", "tokens_long", "where", "pipeline.yaml", "cut here"):
        assert wanted in shown
    assert page.count("<svg") == 2
    assert "r-0" in shown
    assert len(page) < 200_000


def test_samples_are_few_and_cut_in_the_query(folder):
    story = gather(folder)
    assert len(story.samples) == 6
    assert max(len(str(v)) for row in story.samples for v in row.values()) <= 6001
    assert [h.name for h in story.tokens] == ["long trace", "short trace"]
    assert sum(story.tokens[0].bins.values()) == 4  # verified ones among the seven kept
    assert story.tokens[0].mean == pytest.approx((300 + 500 + 700 + 900) / 4)


def test_write_puts_the_page_into_the_run(folder):
    assert report.write(folder) == folder / "report.html"
    assert (folder / "report.html").read_text("utf-8").startswith("<!doctype html>")


def test_an_unfinished_run_says_what_is_missing(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for path in sorted(copy.glob("steps/*/receipt.json"))[1:]:
        path.unlink()
    assert "Not finished: select, export." in report.text(copy)
    assert "Not finished: select, export" in report.html(copy, tmp_path / "r.html").read_text()


def test_a_folder_that_is_no_run_is_one_line(tmp_path):
    with pytest.raises(CheckError, match="run"):
        report.text(tmp_path)


def test_funnel_bars_are_on_one_scale():
    counts = [("a", 50, 0, 0), ("b", 200, 150, 0), ("c", 0, 0, 200)]
    steps = [dict(zip(("step", "out", "made", "dropped"), c, strict=True)) for c in counts]
    kept = [float(w) for w in re.findall(r'class="kept"[^>]*width="([\d.]+)"', funnel(steps))]
    (gone,) = [float(w) for w in re.findall(r'class="gone"[^>]*width="([\d.]+)"', funnel(steps))]
    assert kept[1] == pytest.approx(4 * kept[0])
    assert kept[2] == 0
    assert gone == pytest.approx(kept[1], abs=3)
    assert "+150 made" in funnel(steps)
    assert funnel([]) == ""
    assert funnel([{"step": "a", "out": 0}]) == ""


def test_histogram_bars_count_rows():
    svg = histogram([Histogram("one", {3: 4, 20: 2}, 10.0), Histogram("two", {3: 1}, 3.0)])
    heights = [float(h) for h in re.findall(r'<rect class="s\d"[^>]*height="([\d.]+)"', svg)]
    assert heights == pytest.approx([200, 100, 50])
    assert "one, 3 to 4 tokens: 4 rows" in svg


@pytest.mark.parametrize(("n", "top"), [(1, 2), (3, 4), (139, 140), (141, 160), (99, 100), (12345, 14000)])
def test_the_axis_ends_on_an_even_round_number(n, top):
    assert _round_up(n) == top


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")
def test_a_browser_shows_it_without_a_word_on_the_console(folder, page, tmp_path):
    picture = tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    command = [CHROMIUM, *flags, f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr", "--v=0"]
    url = (folder / "r.html").as_uri()
    done = subprocess.run([*command, f"--screenshot={picture}", url], capture_output=True, text=True, timeout=240)
    assert picture.stat().st_size > 10_000
    assert "CONSOLE" not in done.stderr
    assert "pwned" not in done.stderr
