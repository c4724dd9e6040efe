"""Pictures of the stewards' page for the README: ``python -m benchmarks.screens [--out benchmarks/results]``.

A real centre with people who do not exist, the real page before it, and Chromium: queue, task and identity in the
light, in the dark, and 360 pixels wide.
"""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from mpi.domain.changes import Selection
from mpi.domain.review import TaskKind, Verdict
from tests.web.world import STEWARD, World, world

COLOURS = 200
LOOKS = (
    ("light", {"color_scheme": "light", "locale": "en-GB"}),
    ("dark", {"color_scheme": "dark", "locale": "en-GB"}),
    ("narrow", {"color_scheme": "light", "locale": "th-TH"}),
)
HEIGHTS = {"queue": 860, "task": 1290, "identity": 980}
NARROW = {"width": 360, "height": 780}


def prepared(at: World) -> dict[str, str]:
    """Let people and doubts be registered and some of it be worked on; give the path of each page."""
    at.register_people()
    at.register_overlays()
    eid = at.register_one_person()
    tasks = [listed.held for listed in at.steward.tasks()[0]]
    at.second.claim(tasks[1].number)
    at.second.assign(tasks[3].number, STEWARD)
    at.second.decide(tasks[5].number, Verdict.UNSURE)
    shown = next(held for held in tasks if held.task.kind is TaskKind.POSSIBLE_LINK and held.number != tasks[1].number)
    at.second.comment(shown.number, "ที่อยู่เดียวกัน ปีเกิดต่างกันหนึ่งปี", "typing_error")
    view = at.steward.identity(eid)
    at.steward.split(eid, [[view.members[1].record]])
    at.second.undo(Selection(actor=STEWARD))
    return {"queue": "/queue", "task": f"/tasks/{shown.number}", "identity": f"/identities/{eid}"}


def picture(page: Page, out: Path) -> None:
    """Write what the page shows, in few colours: such pictures lie in the repository."""
    with Image.open(io.BytesIO(page.screenshot())) as whole:
        whole.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"{out}  {out.stat().st_size >> 10} KiB")


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    out = parser.parse_args().out
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("there is no chromium on this machine (Debian: apt-get install chromium)")
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as at, sync_playwright() as playwright:
        paths = prepared(at)
        browser = playwright.chromium.launch(executable_path=chromium)
        for look, options in LOOKS:
            for name, path in paths.items():
                size = NARROW if look == "narrow" else {"width": 1280, "height": HEIGHTS[name]}
                page = browser.new_context(viewport=size, **options).new_page()
                page.goto(at.link)
                page.goto(at.origin + path)
                if name != "queue":
                    page.keyboard.press("v")
                    page.locator("#key input[type=file]").set_input_files(str(at.key))
                    page.locator("[data-state=open]").first.wait_for()
                    page.locator(".toast button").click()
                    page.mouse.click(4, 400)
                picture(page, out / f"review-{name}-{look}.png")
                page.context.close()
        browser.close()


if __name__ == "__main__":
    main()
