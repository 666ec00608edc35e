"""Every code block of every page does what the page says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from pages import REASONS, ROOT, Block, find_pages, read_page
from running import Runner
from server import Server

PAGES = [page for page in find_pages() if "```" in (ROOT / page).read_text(encoding="utf-8")]


@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page: str, server: Server, tmp_path: Path) -> None:
    with Runner(name=page, folder=tmp_path, server=server) as runner:
        runner.run((ROOT / page).read_text(encoding="utf-8"))


def test_few_blocks_are_only_parsed() -> None:
    blocks = [item for page in PAGES for item in read_page((ROOT / page).read_text(encoding="utf-8"))]
    count = Counter(block.parsed for block in blocks if isinstance(block, Block) and block.parsed)
    assert {reason: number for reason, number in count.items() if number > REASONS[reason]} == {}


def test_the_pages_are_found() -> None:
    assert {"README.md", "docs/python.md", "formats/ticket-v1.md", "examples/studies/README.md"} <= set(PAGES)
