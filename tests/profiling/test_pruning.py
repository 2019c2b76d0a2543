"""Which rows and models are kept."""

from hadis.profiling import pruning
from hadis.profiling.pruning import Candidate, Dropped
from hadis.terms.ids import ModelName
from hadis.terms.profiles import Direction
from support.profiles import FID, FULFILMENT, a_row


def test_a_row_goes_only_when_another_is_no_worse_in_both_ratios_and_in_quality() -> None:
    cheap = a_row(direct=0.2, rejected=0.1, quality=20.0)
    dearer_no_better = a_row(direct=0.2, rejected=0.5, quality=20.0)
    dearer_better = a_row(direct=0.2, rejected=0.8, quality=18.0)
    less_light_more_heavy = a_row(direct=0.5, rejected=0.1, quality=20.0)
    rows = [dearer_no_better, cheap, dearer_better, less_light_more_heavy]
    assert pruning.prune_rows(rows, FID) == (cheap, dearer_better, less_light_more_heavy)


def test_of_equal_rows_one_is_kept() -> None:
    rows = [a_row(direct=0.2, rejected=0.1), a_row(direct=0.2, rejected=0.1)]
    assert len(pruning.prune_rows(rows, FID)) == 1


def test_pairs_are_pruned_apart() -> None:
    first = a_row("a", "b", direct=0.2, quality=0.4, metric="fulfilment")
    second = a_row("a", "c", direct=0.3, quality=0.3, metric="fulfilment")
    assert pruning.prune_rows([first, second], FULFILMENT) == (first, second)


def test_a_scored_row_never_replaces_one_that_is_not_scored() -> None:
    plain = a_row(direct=0.0, rejected=0.0, quality=20.0)
    scored = a_row(direct=0.0, rejected=1e-9, quality=19.0)
    assert len(pruning.prune_rows([scored, plain], FID)) == 2


def test_a_row_that_needs_the_router_never_replaces_one_that_does_not() -> None:
    discriminator_only = a_row(direct=0.0, rejected=0.4, quality=20.0)
    both = a_row(direct=0.1, rejected=0.2, quality=19.0)
    assert both.light_ratio < discriminator_only.light_ratio
    assert both.heavy_ratio < discriminator_only.heavy_ratio
    assert len(pruning.prune_rows([discriminator_only, both], FID)) == 2


def candidate(name: str, latency_s: float, quality: float) -> Candidate:
    return Candidate(ModelName(name), latency_s, quality)


def test_the_three_rules_for_candidates() -> None:
    offered = [
        candidate("fast", 0.5, 30.0),
        candidate("twin", 0.51, 30.1),
        candidate("slow and worse", 2.0, 31.0),
        candidate("middle", 4.0, 20.0),
        candidate("on the line", 9.0, 17.5),
        candidate("best", 16.0, 14.0),
    ]
    kept, dropped = pruning.prune_candidates(offered, Direction.LOWER)
    assert [c.name for c in kept] == ["fast", "middle", "best"]
    assert dropped == {
        "twin": Dropped.SIMILAR,
        "slow and worse": Dropped.DOMINATED,
        "on the line": Dropped.BETWEEN,
    }


def test_a_lone_candidate_is_kept() -> None:
    kept, dropped = pruning.prune_candidates([candidate("a", 1.0, 20.0)], Direction.LOWER)
    assert len(kept) == 1
    assert not dropped
