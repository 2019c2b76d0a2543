"""Workload files: CSV and Parquet, read back equal, refused by row and column."""

import io

import numpy as np
import pytest

from hadis.errors import InvalidInput
from hadis.profiling import workloads
from hadis.profiling.workloads import Workload
from hadis.terms.ids import ModelName

SMALL, LARGE = ModelName("small"), ModelName("large")
A_WORKLOAD = Workload(
    ("a cat, black", 'a "dog"', ""),
    np.array([0.1, 1.0 / 3.0, -2.5]),
    {SMALL: np.array([0.1, 0.2, 0.3000000001]), LARGE: np.array([0.9, 0.8, 0.7])},
)


def same(first: Workload, second: Workload) -> bool:
    return (
        first.prompts == second.prompts
        and first.hardness.tolist() == second.hardness.tolist()
        and {n: s.tolist() for n, s in first.scores.items()}
        == {n: s.tolist() for n, s in second.scores.items()}
    )


def test_a_workload_reads_back_equal_from_csv() -> None:
    text = workloads.write_csv(A_WORKLOAD)
    assert text.splitlines()[0] == "prompt,hardness,score:small,score:large"
    assert same(workloads.read(text.encode(), "w.csv"), A_WORKLOAD)
    assert same(workloads.read(b"\xef\xbb\xbf" + text.encode(), "w.csv"), A_WORKLOAD)


def test_a_workload_reads_back_equal_from_parquet() -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="needs the extra parquet")
    from pyarrow import parquet

    columns = {
        "prompt": list(A_WORKLOAD.prompts),
        "hardness": A_WORKLOAD.hardness,
        **{f"score:{name}": scores for name, scores in A_WORKLOAD.scores.items()},
    }
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    assert same(workloads.read(file.getvalue(), "w.parquet"), A_WORKLOAD)
    columns["hardness"] = np.array([0.1, np.nan, 0.2])
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    with pytest.raises(InvalidInput, match=r"w.parquet: row 2, column hardness"):
        workloads.read(file.getvalue(), "w.parquet")
    with pytest.raises(InvalidInput, match="no readable Parquet"):
        workloads.read(file.getvalue()[:40], "w.parquet")


@pytest.mark.parametrize(
    ("data", "want"),
    [
        (b"", "w.csv: the column hardness is missing"),
        (b"prompt\na\n", "w.csv: the column hardness is missing"),
        (b"prompt,hardness\n", "w.csv: the workload is empty"),
        (b"prompt,hardness\na,0.5\nb,x\n", "w.csv: row 3, column hardness: 'x'"),
        (b"prompt,hardness\na,nan\n", "w.csv: row 2, column hardness: 'nan'"),
        (b"prompt,hardness\na,\n", "w.csv: row 2, column hardness: ''"),
        (b"hardness,score:s\n1,0.5\n1,inf\n", "w.csv: row 3, column score:s: 'inf'"),
        (b"prompt,hardness\na,0.5,7\n", "w.csv: row 2: 3 cells under 2 columns"),
        (b"hardness,hardness\n1,1\n", "w.csv: row 1: two columns"),
        (b"prompt,hardness\n\xff\xfe,1\n", "w.csv: not UTF-8 text at byte 16"),
    ],
)
def test_what_is_wrong_is_named_by_row_and_column(data: bytes, want: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        workloads.read(data, "w.csv")
    assert str(caught.value).startswith(want)


def test_a_model_without_scores_is_named() -> None:
    workloads.check_scores(A_WORKLOAD, [SMALL, LARGE], "w.csv")
    with pytest.raises(InvalidInput, match="column score:huge is missing"):
        workloads.check_scores(A_WORKLOAD, [SMALL, ModelName("huge")], "w.csv")


def test_drawn_workloads_are_uniform_and_repeat_with_their_seed() -> None:
    first = workloads.uniform(10_000, [SMALL, LARGE], 7)
    assert first.ranks
    assert same(first, workloads.uniform(10_000, [SMALL, LARGE], 7))
    assert not same(first, workloads.uniform(10_000, [SMALL, LARGE], 8))
    for values in (first.hardness, *first.scores.values()):
        assert np.quantile(values, [0.1, 0.5, 0.9]) == pytest.approx([0.1, 0.5, 0.9], abs=0.02)
