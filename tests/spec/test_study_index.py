"""The overview of the studies says what their pages say."""

from __future__ import annotations

from pathlib import Path

from auctor.report.study_index import pages_of, rows_below, study_index

PAGES = Path(__file__).parents[2] / "docs" / "studies"
PAGE = """# {name} · A title

Someone 2024, A journal 1:2. Run on 2026-01-02 by

<!-- not run: it takes some minutes -->
```bash
auctor reproduce {name} --write docs/studies
```

## Published beside ours

| published | measure | printed | read | best learner | limit |
| --- | --- | --- | --- | --- | --- |
| reached | rRMSE | 7.69 % | ABS | 3.5 % (3.1 to 3.9) | 3.1 % |
| a \\| b, missed | rRMSE | 6.63 % | ABS | 18.6 % (17.0 to 20.2) | 11.3 % |
| a bias of the other sign, reached | rMPE | 0.43 % | ABS | -0.4 % (-0.9 to 0.3) | 0.1 % |
| more is better: missed | R2 | 41 % | ABS | 40.0 % (36.2 to 45.2) | 60.3 % |
| nothing of ours | rRMSE | 4.61 % | ABS | - | - |

## The marks of this project

| mark | truth | met by | missed by |
| --- | --- | --- | --- |
| regret | a | one 1.0 % | - |
| regret | b | - | one 3.0 % |
| error | a | one 1.0 % | two 9.0 % |
"""


def test_figures_are_counted_as_a_page_shows_them() -> None:
    index = study_index({"iwpc.md": PAGE.format(name="IWPC"), "e10.md": PAGE.format(name="E10"), "e2.md": PAGE.format(name="E2")})
    rows = [line for line in index.splitlines() if line.startswith("| [")]
    assert [row.split(" · ")[0] for row in rows] == ["| [E2", "| [E10", "| [IWPC"]
    assert rows[0] == (
        "| [E2 · A title](e2.md) | Someone 2024, A journal 1:2, 2026-01-02 | 2 of 4 | regret: **not met**; error: met | "
        "`auctor reproduce E2 --write docs/studies` |"
    )


def test_every_page_is_in_the_overview_and_can_be_read() -> None:
    pages = pages_of(PAGES)
    index = study_index(pages)
    assert len(pages) >= 8 and all(f"]({name})" in index for name in pages)
    assert all(rows_below(text, "Published beside ours") for text in pages.values())
    assert rows_below("# nothing", "Published beside ours") == []
