"""Results: what a benchmark hands back, the JSON file that keeps it, and the page of all files."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine

RESULTS = Path(__file__).parent / "results"
OURS = "Graticule"
Row = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """`quick` is a smoke test: small data, one second a figure, numbers that mean nothing."""

    seconds: float
    quick: bool
    peers: Sequence[str]
    folder: Path
    full: bool = False
    """Sizes that take an hour, where a benchmark has some."""


@dataclass
class Result:
    """`rows` are figures, each with its `case` and `subject`; `ratios` what the goals are about."""

    title: str
    rows: list[Row] = field(default_factory=list)
    ratios: list[Row] = field(default_factory=list)
    subjects: dict[str, Any] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    headlines: dict[str, float] = field(default_factory=dict)
    """Figures that are looked up by name; they stand at the top of the document."""

    def add(self, case: str, subject: str, **figures: Any) -> None:
        self.rows.append(
            {"case": case, "subject": subject, **figures, "load_average": machine.load_average()}
        )
        shown = "  ".join(f"{name} {value}" for name, value in figures.items())
        print(f"  {case:44} {subject:16} {shown}", flush=True)

    def add_ratio(self, what: str, value: float | None, goal: str = "") -> None:
        """`value` None: there was nothing to compare with."""
        shown = None if value is None else float(f"{value:.3g}")
        self.ratios.append({"what": what, "ratio": shown, "goal": goal})
        print(f"  = {what}: {shown}   {goal}", flush=True)

    def figure(self, case: str, subject: str, name: str) -> float | None:
        for row in self.rows:
            if row["case"] == case and row["subject"] == subject:
                return row.get(name)
        return None

    def compare_with_best(self, case: str, figure: str, goal: str = "") -> None:
        """Ours against the best of the others in this case.  Above 1 ours is better, always."""
        own = self.figure(case, OURS, figure)
        others = [
            (row[figure], row["subject"])
            for row in self.rows
            if row["case"] == case and row["subject"] != OURS and row.get(figure)
        ]
        is_time = figure.endswith("_ms")
        best = min(others, default=None) if is_time else max(others, default=None)
        if not own or best is None:
            self.add_ratio(f"{case}: {figure}", None, goal)
            return
        ratio = best[0] / own if is_time else own / best[0]
        self.add_ratio(f"{case}: {figure} against {best[1]}", ratio, goal)


def write(name: str, result: Result, options: Options, *, began: datetime, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    document = {
        "benchmark": name,
        "title": result.title,
        **{name: float(f"{value:.3g}") for name, value in result.headlines.items()},
        "began": began.isoformat(timespec="seconds"),
        "took_s": round((datetime.now(UTC) - began).total_seconds(), 1),
        "quick": options.quick,
        "seconds_a_figure": options.seconds,
        "machine": machine.describe(),
        "subjects": result.subjects,
        "skipped": result.skipped,
        "notes": result.notes,
        "ratios": result.ratios,
        "rows": result.rows,
    }
    text = json.dumps(document, indent=1, ensure_ascii=False)
    (into / f"{name}.json").write_text(text + "\n")
    (into / "README.md").write_text(_page(into))


def _page(folder: Path) -> str:
    parts = [
        "# Results",
        "",
        "Made by `make bench` from the JSON files beside it; do not edit.",
        "",
    ]
    for file in sorted(folder.glob("*.json")):
        parts += _section(json.loads(file.read_text()))
    return "\n".join(parts)


def _section(document: dict[str, Any]) -> list[str]:
    on = document["machine"]
    hardware = f"{on['cores']} × {on['cpu']}, {on['memory_gb']} GB"
    parts = [
        f"## {document['title']}",
        "",
        f"`{document['benchmark']}`, {document['began']}, {document['took_s']:.0f} s, commit "
        f"{on['commit']}, {hardware}, Python {on['python']}, "
        f"{document['seconds_a_figure']:g} s a figure"
        + (". **A smoke test: these figures mean nothing.**" if document["quick"] else "."),
        "",
    ]
    parts += [f"- {note}" for note in document["notes"]]
    parts += [f"- {name} {_facts(facts)}" for name, facts in document["subjects"].items()]
    parts += [f"- {name} was skipped: {reason}" for name, reason in document["skipped"].items()]
    if parts[-1]:
        parts.append("")
    return [*parts, *_table(document["ratios"]), *_table(document["rows"])]


def _facts(facts: Any) -> str:
    if isinstance(facts, dict):
        return ", ".join(f"{name} {_cell(value)}" for name, value in facts.items())
    return str(facts)


def _table(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [[name.replace("_", " ") for name in names], ["---"] * len(names)]
    lines += [[_cell(row.get(name)) for name in names] for row in rows]
    return [f"| {' | '.join(line)} |" for line in lines] + [""]


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
