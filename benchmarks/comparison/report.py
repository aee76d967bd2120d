"""The results as Markdown tables, and the part of docs/benchmarks.md that holds them and the plots."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from comparison import plots
from comparison.results import machine_line

BEGIN = "<!-- measured: this part is written by `make bench ARGS=--write-docs` -->"
END = "<!-- end of the measured part -->"
TIME_PLOT, RECALL_PLOT = "benchmark_time.png", "benchmark_recall.png"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [heads, ["---"] + ["---:"] * (len(heads) - 1), *rows]
    return [*(f"| {' | '.join(line)} |" for line in lines), ""]


def written(value: float | None, form: str) -> str:
    """A number, or a dash where there is none."""
    return "–" if value is None else form.format(value)


def comparison_lines(results: dict[str, Any]) -> Iterator[str]:
    """All tables of the comparison with other libraries."""
    about, names = results["comparison"], results["contenders"]
    titles = {name: entry["title"] for name, entry in names.items()}
    yield f"{machine_line(results['machine'])}; {about['threads']} threads, {about['rounds']} frames each in turn, "
    yield f"{about['templates']:,} templates. Faces: {about['faces_from']}; truth: {about['truth']}."
    yield ""
    for size in about["sizes"]:
        yield f"**{size}: milliseconds a frame, median / p95**"
        yield ""
        yield from times_table(results["whole_frame_ms"], titles, size)
    yield "Our time divided by the other's (medians), with ONNX Runtime:"
    yield ""
    yield from ratio_table(results["whole_frame_ratio"], titles)
    for name, ratios in results["whole_frame_ratio_of"].items():
        yield f"The same of {titles[name]}:"
        yield ""
        yield from ratio_table(ratios, titles)
    if results["video_ms"]:
        yield "**A film of moving faces: milliseconds a frame, mean / p95. The video mode remembers who it saw**"
        yield ""
        for size in sorted({size for by_size in results["video_ms"].values() for size in by_size}):
            yield from film_table(results["video_ms"], titles, size)
    yield "**What they see: recall by size of the face (geometric mean of width and height, pixels)**"
    yield ""
    for size, seen in results["accuracy"].items():
        yield from accuracy_table(seen, titles, size)
    yield "**Cost of an empty frame and of each further face (milliseconds), and peak memory**"
    yield ""
    yield from cost_table(names, about["sizes"])
    if results["not_measured"]:
        yield "Not measured:"
        yield ""
        yield from (f"- {name}: {reason}" for name, reason in results["not_measured"].items())
        yield ""


def times_table(times: dict[str, Any], titles: dict[str, str], size: str) -> list[str]:
    measured = {name: entry[size] for name, entry in times.items() if entry.get(size)}
    counts = sorted({faces for entry in measured.values() for faces in entry}, key=int)
    rows = []
    for name, entry in measured.items():
        rows.append([titles[name], *(time_cell(entry.get(faces), int(faces)) for faces in counts)])
    return table([size, *(plural(faces) for faces in counts)], rows)


def time_cell(at: dict[str, float] | None, faces: int) -> str:
    """Says as well how many faces were found, unless it is as many as there were."""
    if at is None:
        return "–"
    found = "" if abs(at["faces_found"] - faces) < 0.05 else f" (finds {at['faces_found']:.1f})"
    return f"{at['median_ms']:.1f} / {at['p95_ms']:.1f}{found}"


def film_table(times: dict[str, Any], titles: dict[str, str], size: str) -> list[str]:
    measured = {name: by_size[size] for name, by_size in times.items() if by_size.get(size)}
    counts = sorted({faces for entry in measured.values() for faces in entry}, key=int)
    heads = [size, *(f"{plural(faces)}: {what}" for faces in counts for what in ("ms", "found", "landmarks"))]
    rows = []
    for name, entry in measured.items():
        row = [titles[name]]
        for faces in counts:
            at = entry.get(faces)
            row += ["–"] * 3 if at is None else [
                f"{at['mean_ms']:.1f} / {at['p95_ms']:.1f}", written(at["recall_40_and_more"], "{:.3f}"),
                written(at["landmark_error_common"], "{:.1%}"),
            ]  # fmt: skip
        rows.append(row)
    return table(heads, rows)


def plural(faces: str) -> str:
    return f"{faces} face{'s' * (faces != '1')}"


def ratio_table(ratios: dict[str, Any], titles: dict[str, str]) -> list[str]:
    columns = sorted({(size, f) for entry in ratios.values() for size, by in entry.items() for f in by},
                     key=lambda column: (len(column[0]), column[0], int(column[1])))  # fmt: skip
    rows = [
        [titles[peer], *(written(entry.get(size, {}).get(faces), "{:.2f}") for size, faces in columns)]
        for peer, entry in ratios.items()
    ]
    return table(["", *(f"{size}, {faces}" for size, faces in columns)], rows)


def accuracy_table(seen: dict[str, Any], titles: dict[str, str], size: str) -> list[str]:
    bins = list(next(iter(seen.values()))["recall"]) if seen else []
    counts = next(iter(seen.values()))["faces"] if seen else {}
    heads = [size, *(f"{name} ({counts[name]})" for name in bins), "40 and more", "false alarms a frame", "landmarks"]
    rows = [
        [
            titles[name],
            *(written(entry["recall"][b], "{:.2f}") for b in bins),
            written(entry["recall_40_and_more"], "{:.3f}"),
            f"{entry['false_alarms_per_frame']:.2f}",
            written(entry["landmark_error_common"], "{:.1%}"),
        ]
        for name, entry in seen.items()
    ]
    return table(heads, rows)


def cost_table(contenders: dict[str, Any], sizes: Sequence[str]) -> list[str]:
    heads = ["", *(f"{size}: {what}" for size in sizes for what in ("no face", "each face")), "peak memory"]
    rows = []
    for entry in contenders.values():
        cost = [entry["cost"].get(size, {}) for size in sizes]
        cells = [written(at.get(key), "{:.1f}") for at in cost for key in ("no_face_ms", "further_face_ms")]
        rows.append([entry["title"], *cells, f"{entry['peak_memory_mib']:.0f} MiB"])
    return table(heads, rows)


def node_lines(results: dict[str, Any]) -> Iterator[str]:
    """The tables of node_benchmark.py."""
    yield f"{machine_line(results['machine'])}, {results['model_id']}; {results['rate_hz']:g} Hz, "
    yield f"{results['seconds']:g} s each."
    yield ""
    heads = ["node, two processes", "images", "faces found", "latency p50 / p95", "of it waiting and ROS, p50",
             "frames not answered", "CPU (of one core)", "memory, peak so far"]  # fmt: skip
    rows = [["video mode", "none", "", "", "", "", *usage_cells(results["rest"])]]
    for row in results["rows"]:
        latency = f"{row['latency_p50_ms']:.1f} / {row['latency_p95_ms']:.1f} ms"
        lost = f"{row['published'] - row['answered']} of {row['published']}"
        name = f"{row['size']}, {plural(str(row['faces']))}"
        added = f"{added_by_ros(row):.1f} ms"
        rows.append([row["mode"], name, f"{row['faces_answered']:.1f}", latency, added, lost, *usage_cells(row)])
    yield from table(heads, rows)
    heads = ["transport only, one way", "latency p50 / p95", "frames lost"]
    rows = []
    for row in results["transport"]:
        latency = f"{row['latency_p50_ms']:.1f} / {row['latency_p95_ms']:.1f} ms"
        rows.append([row["size"], latency, f"{row['published'] - row['received']} of {row['published']}"])
    yield from table(heads, rows)


def added_by_ros(row: dict[str, Any]) -> float:
    """Milliseconds from picture to answer that the node does not work on it, by medians."""
    return float(row["latency_p50_ms"] - row["processing_p50_ms"])


def usage_cells(usage: dict[str, Any]) -> list[str]:
    return [f"{usage['cpu_percent']:.0f} %", f"{usage['memory_mib']:.0f}, {usage['peak_memory_mib']:.0f} MiB"]


def measured_part(results: dict[str, Any]) -> str:
    """Everything between BEGIN and END."""
    lines = ["## Whole frames beside other libraries", "", *comparison_lines(results)]
    lines += [f"![Time of a frame](images/{TIME_PLOT})", "", f"![Recall by size](images/{RECALL_PLOT})", ""]
    if "node" in results:
        lines += ["## The node through ROS", "", *node_lines(results["node"]), ""]
    return "\n".join(lines)


def write_docs(document: Path, results: dict[str, Any]) -> None:
    """Replaces the measured part of the document, and the plots beside it."""
    text = document.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    if not pattern.search(text):
        raise SystemExit(f"{document} has no part between {BEGIN!r} and {END!r}")
    part = f"{BEGIN}\n\n{measured_part(results)}\n{END}"
    document.write_text(pattern.sub(lambda _: part, text), encoding="utf-8")
    plots.draw(document.parent / "images" / TIME_PLOT, results, plots.times)
    plots.draw(document.parent / "images" / RECALL_PLOT, results, plots.recall)
