"""Carries out a recipe of several runs, one after the other, and compares them in a table and a picture.

    .venv-training/bin/python -m face_recognition_ros.training.plan config/training/RECIPE.yaml --work DIR [--data...]

Everything else on the command line goes to each run, as to `python -m face_recognition_ros.training fit`. A stopped
plan goes on: finished runs are kept, an unfinished one resumes from its checkpoint.
"""

import argparse
import csv
import itertools
import re
import subprocess
import sys
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from matplotlib.figure import Figure
from tqdm import tqdm

FINISHED = "finished"
"""Name of the file that says that a run has come to its end."""


@dataclass(frozen=True)
class Run:
    """One training."""

    name: str
    config: Mapping[str, Any]
    """As Lightning's command line reads it."""

    @property
    def folder(self) -> str:
        """Its folder's name: `stage one` works in stage_one."""
        return re.sub(r"[^\w.=-]+", "_", self.name)


def read_plan(path: Path) -> list[Run]:
    """The runs of a recipe, in their order.

    `runs` names them, each with what differs from `base`; of `grid` (setting with dots -> list of values) every
    combination is a run. Raises ValueError where there is neither, or something else.
    """
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.keys() - {"base", "runs", "grid"} or content.keys() <= {"base"}:
        raise ValueError(f"{path} must have runs or grid, and may have base; a recipe of one run is for `fit`")
    base = content.get("base") or {}
    runs = [Run(str(name), merged(base, different or {})) for name, different in (content.get("runs") or {}).items()]
    grid = content.get("grid") or {}
    for values in itertools.product(*grid.values()) if grid else ():
        name = ", ".join(f"{key.split('.')[-1]}={value}" for key, value in zip(grid, values, strict=True))
        config = base
        for key, value in zip(grid, values, strict=True):
            config = merged(config, nested(key, value))
        runs.append(Run(name, config))
    return runs


def nested(key: str, value: Any) -> dict[str, Any]:
    """`a.b` and 1 -> {"a": {"b": 1}}."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return dict(value)


def merged(base: Mapping[str, Any], different: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `different`, mappings inside of mappings likewise."""
    result = deepcopy(dict(base))
    for name, value in different.items():
        both = isinstance(value, Mapping) and isinstance(result.get(name), Mapping)
        result[name] = merged(result[name], value) if both else deepcopy(value)
    return result


def perform(run: Run, work: Path, options: list[str]) -> dict[str, str]:
    """Trains unless that was done before; returns the last line of the run's learning curve, under its name.

    `{work}` in the recipe is the plan's folder, so that a run can start from another's checkpoint. Raises
    subprocess.CalledProcessError when the training fails.
    """
    folder = work / run.folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / FINISHED).exists():
        recipe = folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(dict(run.config)).replace("{work}", str(work)), encoding="utf-8")
        train = [sys.executable, "-m", "face_recognition_ros.training", "fit", f"--config={recipe}"]
        resume = ["--ckpt_path=last"] if any(folder.glob("checkpoints/last*.ckpt")) else []
        subprocess.run([*train, f"--trainer.default_root_dir={folder}", *options, *resume], check=True)
        (folder / FINISHED).touch()
    with (folder / "learning_curve.csv").open(newline="", encoding="utf-8") as file:
        return {"run": run.name} | list(csv.DictReader(file))[-1]


def markdown(rows: list[dict[str, str]]) -> str:
    """A table for people and for documents; numbers with four digits."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = [names, ["---"] * len(names)]
    lines += [[_short(row.get(name, "")) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _short(text: str) -> str:
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def draw(rows: list[dict[str, str]]) -> Figure:
    """A bar for each run, a panel for each number measured on held-out faces."""
    names = [name for name in rows[0] if name.startswith("held_out")]
    figure = Figure(figsize=(4 * len(names), 1 + 0.4 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
    for name, axes in zip(names, panels, strict=True):
        bars = axes.barh([row["run"] for row in rows], [float(row[name]) for row in rows])
        axes.bar_label(bars, fmt="%.3f", padding=2)
        axes.set_title(name.replace("_", " "))
        axes.margins(x=0.2)
    panels[0].invert_yaxis()
    return figure


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path, help="a YAML file with base, runs, grid")
    parser.add_argument("--work", type=Path, required=True, help="gets a folder for each run, and the summary")
    known, options = parser.parse_known_args(arguments)
    rows = [perform(run, known.work, options) for run in tqdm(read_plan(known.recipe), desc="plan", unit="run")]
    (known.work / "summary.md").write_text(markdown(rows) + "\n", encoding="utf-8")
    draw(rows).savefig(known.work / "summary.png", dpi=120)
    print(markdown(rows))


if __name__ == "__main__":
    main()
