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


SEVERAL = """
## Several models against one

| design | noise | truth | amortised | best MAP of one | worst | best learner of one | worst |
| --- | --- | --- | --- | --- | --- | --- | --- |
| trough | full residual error | Other 2020 | 20.0 % (18.0 to 22.0) | 1.250 (1.1 to 1.4) | 0.500 | 0.800 | 0.800 |

## Every table

### trough; no noise; truth: Other 2020 (other)

| method | rMPE | rRMSE |
| --- | --- | --- |
| amortised posterior over several models, least rRMSE | 1 % (0 to 2) | 99.0 % (98.0 to 99.5) |

### trough; full residual error; truth: Other 2020 (other)

| method | rMPE | rRMSE |
| --- | --- | --- |
| MAP, a, published residual error | 1 % (0 to 2) | 16.0 % (15.0 to 17.0) |
| MAP, b, published residual error | 1 % (0 to 2) | 40.0 % (35.0 to 45.0) |
| MAP, b, residual error as in the data | 1 % (0 to 2) | 1.0 % (0.5 to 1.5) |
| XGBoost, trained on simulations | 1 % (0 to 2) | 10.0 % (9.0 to 11.0) |
| XGBoost, trained on simulations of a alone | 1 % (0 to 2) | 25.0 % (22.0 to 27.0) |
| amortised posterior over several models, mean | 1 % (0 to 2) | 30.0 % (28.0 to 32.0) |
| amortised posterior over several models, least rRMSE | 1 % (0 to 2) | 20.0 % (18.0 to 22.0) |
"""


def test_several_models_stand_beside_one_taken_blindly() -> None:
    index = study_index({"e2.md": PAGE.format(name="E2") + SEVERAL, "e3.md": PAGE.format(name="E3")})
    (row,) = [line for line in index.splitlines() if line.startswith("| [E2](")]
    blind = 20 / ((16**2 + 40**2) / 2) ** 0.5
    assert row == f"| [E2](e2.md) | trough; Other 2020 | 20.0 % | 1 of 2 | {blind:.2f} | 1 of 1 | 0.80 |"
    assert "Several models" not in study_index({"e3.md": PAGE.format(name="E3")})


def test_every_page_is_in_the_overview_and_can_be_read() -> None:
    pages = pages_of(PAGES)
    index = study_index(pages)
    assert len(pages) >= 8 and all(f"]({name})" in index for name in pages)
    assert all(rows_below(text, "Published beside ours") for text in pages.values())
    assert rows_below("# nothing", "Published beside ours") == []
