"""Figure 12: easy and hard prompts in turn, at one demand."""

from collections.abc import Sequence
from statistics import mean

from benchmarks.paper import claims, drawing, running
from benchmarks.paper.claims import Claim, Story
from benchmarks.paper.measurements import WORKERS, Measurements
from benchmarks.paper.running import Numbers, Results, Run, Task
from matplotlib.figure import Figure

PHASE_S, RATE = 120, 3
ORDER = ("easy", "hard", "easy", "hard")
"""The paper names neither rate nor length."""
LOAD = "phases:" + ",".join(f"{PHASE_S}x{RATE}{name}" for name in ORDER)
POLICIES = ("hadis-paper", "hadis")


def tasks(seeds: int) -> list[Task]:
    """Return both planners, a seed."""
    return [Run(LOAD, policy, seed) for policy in POLICIES for seed in range(seeds)]


def numbers(data: Measurements, results: Results, seeds: int) -> Numbers:
    """Return windows and means a phase."""
    del data
    found: Numbers = {}
    for policy in POLICIES:
        runs = [results[Run(LOAD, policy, seed)] for seed in range(seeds)]
        windows = [_window(w) for w in running.averaged_windows(runs)]
        average = running.averaged(runs)
        found[policy] = {
            "average": {name: average[name] for name in ("fid", "violations", "worst_30s")},
            "phases": [
                {"phase": name, **_phase(windows[n * PHASE_S // 10 : (n + 1) * PHASE_S // 10])}
                for n, name in enumerate(ORDER)
            ],
            "windows": windows,
        }
    return {"load": LOAD, "order": ORDER, "phase_s": PHASE_S, "rate": RATE, "policies": found}


def pictures(told: Numbers) -> dict[str, Figure]:
    """Draw what goes to the heavy stage, what waits there, and its workers."""
    rows = (
        ("direct_ratio", "sent straight\nto heavy, %", 100.0),
        ("heavy_per_s", "heavy intake,\nrequests/s", 1.0),
        ("heavy_waiting", "waiting for\nheavy", 1.0),
        ("heavy_workers", "workers on\nheavy", 1.0),
        ("violations", "violations, %", 100.0),
    )
    figure, axes = drawing.sheet(len(rows) + 1, 2, (11, 10), sharex=True, sharey="row")
    for column, (policy, found) in enumerate(told["policies"].items()):
        windows = found["windows"]
        at = [window["start_s"] for window in windows]
        axes[0, column].set_title(f"{drawing.POLICIES[policy][1]}, {told['rate']} requests/s")
        for place, (name, label, factor) in enumerate(rows):
            drawing.line(axes[place, column], policy, at, [factor * w[name] for w in windows])
            axes[place, column].set_ylim(0, None)
            if column == 0:
                axes[place, column].set_ylabel(label)
        drawing.stack(axes[-1, column], windows, "workers")
        axes[-1, column].set(xlabel="seconds", ylabel="" if column else "workers by model")
        for n, name in enumerate(told["order"]):
            start_s = n * told["phase_s"]
            for panel in axes[:-1, column]:
                if name == "hard":
                    panel.axvspan(start_s, start_s + told["phase_s"], color="black", alpha=0.07)
            axes[0, column].annotate(
                name,
                (start_s + told["phase_s"] / 2, 0.9),
                xycoords=("data", "axes fraction"),
                ha="center",
            )
    figure.legend(*axes[-1, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return {"": figure}


def _window(window: Numbers) -> Numbers:
    requests = window["requests"] or 1
    return {
        "start_s": window["start_s"],
        "requests": window["requests"],
        "fid": window["fid"],
        "violations": window["violations"],
        "direct_ratio": window["direct"] / requests,
        "heavy_per_s": (window["direct"] + window["escalated"]) / 10.0,
        "heavy_waiting": window["heavy_waiting"],
        "heavy_workers": window["heavy_workers"],
        "workers": window["workers"],
    }


def _phase(windows: Sequence[Numbers]) -> Numbers:
    requests = sum(w["requests"] for w in windows)
    return {
        "fid": mean(w["fid"] for w in windows if w["fid"] is not None),
        "violations": sum(w["violations"] * w["requests"] for w in windows) / requests,
        **{
            name: mean(w[name] for w in windows)
            for name in ("direct_ratio", "heavy_per_s", "heavy_waiting", "heavy_workers")
        },
    }


def story(told: Numbers) -> Story:
    """Return what phases of hardness say of section 5.7."""
    paper = told["policies"]["hadis-paper"]["phases"]
    ours = told["policies"]["hadis"]
    easy, hard = paper[::2], paper[1::2]

    def compared(name: str) -> tuple[float, float]:
        return mean(phase[name] for phase in easy), mean(phase[name] for phase in hard)

    def claim(name: str, says: str, form: str, factor: float) -> Claim:
        low, high = compared(name)
        return Claim(
            says,
            f"Easy {low:{form}}, hard {high:{form}} (mean of the phases).",
            claims.judged(full=high >= factor * low and high > 0, partly=high > low),
        )

    return Story(
        [
            claim(
                "direct_ratio",
                "In hard phases the router sends a larger share straight to the heavy model.",
                ".1%",
                1.5,
            ),
            claim("heavy_per_s", "The heavy model's intake rises sharply.", ".2f", 1.5),
            claim("heavy_waiting", "The heavy queue rises.", ".1f", 1.1),
            claim("heavy_workers", "Workers move to the heavy model.", ".1f", 1.05),
        ],
        [
            "Violations a phase: the paper's planner "
            + _missed(told, paper)
            + "; HADIS, which corrects the table's route ratios by those that routers see, "
            + _missed(told, ours["phases"])
            + f". The paper names neither demand nor lengths; here {told['rate']} requests a "
            f"second for {told['phase_s']} s a phase, of the easier and the harder half of "
            "the prompts. In the easy phases "
            f"{compared('heavy_workers')[0]:.1f} of {WORKERS} workers are on a heavy model "
            "already.",
        ],
    )


def _missed(told: Numbers, phases: Sequence[Numbers]) -> str:
    return ", ".join(
        f"{name} {claims.percent(phase['violations'])}"
        for name, phase in zip(told["order"], phases, strict=True)
    )
