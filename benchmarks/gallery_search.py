"""How fast the gallery is searched and how soon a change is seen, beside numpy, faiss and usearch in the same run.

    make bench-search [ARGS="--templates 1000 10000 --json FILE"]

One core and one thread for everybody. The vectors are random 64-D unit vectors, the hardest case for whoever would
rather not look at all of them. Every second probe is a look at somebody of the gallery, the others are at strangers.
Ours searches one prototype for each person; the peers search all templates, as they know no people. With one template
a person both are the same vectors, and ours must give what the float64 product gives; the program fails where not.

The searchers take turns probe by probe, so that what else the machine does meets all of them. The whole is done several
times; each searcher's row is the run with its best p99, and the ratio its p50 over ours.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt
import usearch.index
from tqdm import tqdm

from face_recognition_ros.gallery.index import PrototypeIndex
from face_recognition_ros.gallery.store import Changes, GalleryStore, IdentityTemplates, Template
from face_recognition_ros.types import FloatArray, Identity

SIZE = 64
TOP = 5
PROBES = (1, 5)
"""Faces in a frame."""
PER_PERSON = (1, 5)
"""Templates of each person; 1 is the worst case: as many prototypes as templates."""
NOISE = 0.05
"""Of looks at one person, in each dimension: a cosine of about 0.93 to the person."""
TARGETS_MS = {1_000: 0.2, 1_000_000: 15.0}
"""What p99 of ours must stay under, for one probe, by number of templates."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
TIE = 1e-6
"""Similarities nearer to each other than that are one in float32."""

Search = Callable[[FloatArray], npt.NDArray[np.int64]]
"""Probes (N, D) to the rows of the TOP nearest (N, TOP), best first."""


@dataclass(frozen=True)
class Row:
    """One searcher in one condition."""

    templates: int
    per_person: int
    probes: int
    searcher: str
    p50_ms: float
    p99_ms: float
    over_ours: float
    """p50 over that of ours."""
    best_found: float
    """Part of the probes whose exact best template is among the answers' best."""


@dataclass(frozen=True)
class Update:
    """How long a gallery takes to be read, and to show one enrolment more."""

    templates: int
    people: int
    read_all_s: float
    enroll_p50_ms: float
    enroll_p99_ms: float
    refresh_p50_ms: float
    refresh_p99_ms: float
    refresh_max_ms: float


def unit(vectors: npt.NDArray[np.float64]) -> FloatArray:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


class People:
    """Random people, and looks at them."""

    def __init__(self, count: int, per_person: int) -> None:
        self.random = np.random.default_rng(count)
        self.per_person = per_person
        self.centres = unit(self.random.standard_normal((count, SIZE)))

    def looks(self, centres: FloatArray) -> FloatArray:
        return unit(centres + NOISE * self.random.standard_normal(centres.shape))

    def templates(self) -> FloatArray:
        """(count * per_person, SIZE), those of one person together."""
        return self.looks(np.repeat(self.centres, self.per_person, axis=0))

    def probes(self, frames: int, faces: int) -> FloatArray:
        """(frames, faces, SIZE), every second one of a stranger."""
        mates = self.random.choice(self.centres, (frames, faces))
        strangers = self.random.standard_normal((frames, faces, SIZE))
        is_stranger = np.arange(frames * faces).reshape(frames, faces, 1) % 2 == 1
        return self.looks(np.where(is_stranger, strangers, mates).astype(np.float32))


class Filled:
    """Stands in for a store that holds these templates, as filling a real one would take minutes."""

    def __init__(self, templates: FloatArray, per_person: int) -> None:
        self._people = templates.reshape(-1, per_person, SIZE)

    def changes_since(self, revision: int | None) -> Changes:
        quality, observed = np.ones(self._people.shape[1], np.float32), np.zeros(self._people.shape[1], bool)
        everybody = tuple(
            IdentityTemplates(Identity(f"p-{i:09}", f"p-{i:09}", len(looks), 0.0, 0.0), looks, quality, observed)
            for i, looks in enumerate(self._people)
        )
        return Changes(1, True, everybody, ())


def our_search(templates: FloatArray, per_person: int) -> Search:
    index = PrototypeIndex(SIZE)
    index.update(Filled(templates, per_person))  # type: ignore[arg-type]

    def search(probes: FloatArray) -> Any:
        return index.search(probes, TOP).hits

    return search


def rows_of(hits: Any) -> npt.NDArray[np.int64]:
    """Ours answers with people; their ids tell the rows. Not timed: the peers answer with rows."""
    return np.array([[int(hit.identity.identity_id[2:]) for hit in row] for row in hits])


def numpy_search(templates: FloatArray) -> Search:
    def search(probes: FloatArray) -> npt.NDArray[np.int64]:
        products = (templates @ probes[0])[None] if len(probes) == 1 else probes @ templates.T
        best = np.argpartition(products, -TOP, axis=1)[:, -TOP:]
        order = np.argsort(-np.take_along_axis(products, best, axis=1), axis=1)
        return np.take_along_axis(best, order, axis=1)

    return search


def faiss_search(index: Any, templates: FloatArray) -> Search:
    index.add(templates)
    return lambda probes: index.search(probes, TOP)[1]


def usearch_exact(templates: FloatArray) -> Search:
    metric = usearch.index.MetricKind.IP
    return lambda probes: keys_of(usearch.index.search(templates, probes, TOP, metric, exact=True, threads=1))


def usearch_hnsw(templates: FloatArray) -> Search:
    index = usearch.index.Index(ndim=SIZE, metric="ip", dtype="f32")
    index.add(np.arange(len(templates)), templates, threads=1)
    return lambda probes: keys_of(index.search(probes, TOP, threads=1))


def keys_of(matches: Any) -> npt.NDArray[np.int64]:
    return np.asarray(matches.keys, np.int64).reshape(-1, TOP)


OURS = "ours"
EXACT: dict[str, Callable[[FloatArray], Search]] = {
    "numpy product": numpy_search,
    "faiss flat": lambda templates: faiss_search(faiss.IndexFlatIP(SIZE), templates),
    "usearch exact": usearch_exact,
}
GRAPHS: dict[str, Callable[[FloatArray], Search]] = {
    "faiss HNSW": lambda templates: faiss_search(faiss.IndexHNSWFlat(SIZE, 32, faiss.METRIC_INNER_PRODUCT), templates),
    "usearch HNSW": usearch_hnsw,
}


def searchers(templates: FloatArray, per_person: int, options: argparse.Namespace) -> dict[str, Search]:
    """Ours, and the peers that the options ask for; the approximate ones only for not too many templates."""
    peers = EXACT | (GRAPHS if len(templates) <= options.graphs_up_to else {})
    found = {OURS: our_search(templates, per_person)}
    return found | {name: build(templates) for name, build in peers.items() if name in options.peers}


def measure(templates: int, per_person: int, options: argparse.Namespace) -> Iterator[Row]:
    """All searchers on one gallery, for each number of probes."""
    people = People(templates // per_person, per_person)
    vectors = people.templates()
    rivals = searchers(vectors, per_person, options)
    frames = max(100, min(2000, 10_000_000 // templates))
    for faces in PROBES:
        probes = people.probes(frames, faces)
        runs = [take_turns(rivals, probes) for _ in range(options.runs)]
        best = {name: min((run[name] for run in runs), key=lambda times: times[1]) for name in rivals}
        check = probes[: max(20, 2_000_000 // templates)]
        for name, search in rivals.items():
            found = best_found(search, name == OURS, vectors, per_person, check)
            yield Row(templates, per_person, faces, name, *best[name], best[name][0] / best[OURS][0], found)


def take_turns(rivals: dict[str, Search], probes: FloatArray) -> dict[str, tuple[float, float]]:
    """p50 and p99 of each in milliseconds."""
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for frame in probes:
        for name, search in rivals.items():
            start = time.perf_counter()
            search(frame)
            seconds[name].append(time.perf_counter() - start)
    return {name: tuple(np.percentile(times, [50, 99]) * 1e3) for name, times in seconds.items()}  # type: ignore[misc]


def best_found(search: Search, is_ours: bool, templates: FloatArray, per_person: int, frames: FloatArray) -> float:
    """The part of the probes whose answer is as similar as the best that the float64 product of all vectors finds.

    Ours is compared with prototypes, which are means of the templates here, as all have the same quality.
    """
    vectors = templates.astype(np.float64)
    if is_ours:
        vectors = vectors.reshape(-1, per_person, SIZE).mean(axis=1)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    right = []
    for probes in frames:
        products = probes.astype(np.float64) @ vectors.T
        answers = rows_of(search(probes)) if is_ours else search(probes)
        right += (np.take_along_axis(products, answers[:, :1], axis=1)[:, 0] >= products.max(axis=1) - TIE).tolist()
    return float(np.mean(right))


def measure_update(templates: int, changes: int) -> Update:
    """A gallery on disk, five templates a person: the time to read it, to enrol, and until that is searched."""
    people = People(templates // 5, 5)
    looks = people.templates().reshape(-1, 5, SIZE)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gallery.db"
        with GalleryStore.open(None, "benchmark", SIZE) as filled:  # in memory: there nothing waits for the disk
            for number, five in enumerate(tqdm(looks, f"enrol {len(looks):,} people", leave=False, disable=None)):
                filled.enroll(f"person {number}", [Template(look, 1.0) for look in five])
            filled.export_to(path)
        with GalleryStore.open(path, "benchmark", SIZE) as store:
            index = PrototypeIndex(SIZE)
            start = time.perf_counter()
            index.update(store)
            read_all = time.perf_counter() - start
            times = [enroll_one(store, index, number, people) for number in range(changes)]
    enrolled, refreshed = np.array(times).T * 1e3
    return Update(
        templates, len(looks), read_all, *np.percentile(enrolled, [50, 99]), *np.percentile(refreshed, [50, 99, 100])
    )


def enroll_one(store: GalleryStore, index: PrototypeIndex, number: int, people: People) -> tuple[float, float]:
    """Seconds until a new person is on disk, and from then on until the index finds her."""
    newcomer = unit(people.random.standard_normal((1, SIZE)))
    looks = [Template(look, 1.0) for look in people.looks(np.repeat(newcomer, 5, axis=0))]
    start = time.perf_counter()
    identity = store.enroll(f"newcomer {number}", looks)
    enrolled = time.perf_counter()
    index.update(store)
    seen = time.perf_counter()
    if index.search(newcomer, 1).hits[0][0].identity.identity_id != identity.identity_id:
        raise SystemExit(f"A newcomer was not found in a gallery of {index.people} people: the index is wrong.")
    return enrolled - start, seen - enrolled


def machine() -> dict[str, Any]:
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return {
        "cpu": names[0] if names else platform.machine(), "load_average_before": os.getloadavg()[0],
        "python": platform.python_version(),
        **{name: version(name) for name in ("numpy", "faiss-cpu", "usearch")},
    }  # fmt: skip


def search_table(rows: Sequence[Row]) -> Iterator[str]:
    yield "| templates | a person | probes | searcher | p50 ms | p99 ms | p50 / ours | best found |"
    yield "| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: |"
    for row in rows:
        yield (
            f"| {row.templates:,} | {row.per_person} | {row.probes} | {row.searcher} | {row.p50_ms:.3f} "
            f"| {row.p99_ms:.3f} | {row.over_ours:.2f} | {row.best_found:.1%} |".replace("%", " %")
        )


def update_table(updates: Sequence[Update]) -> Iterator[str]:
    yield "| templates | people | read all, s | enrol on disk p50 / p99 ms | then until seen p50 / p99 / max ms |"
    yield "| ---: | ---: | ---: | ---: | ---: |"
    for at in updates:
        yield (
            f"| {at.templates:,} | {at.people:,} | {at.read_all_s:.2f} "
            f"| {at.enroll_p50_ms:.2f} / {at.enroll_p99_ms:.2f} "
            f"| {at.refresh_p50_ms:.2f} / {at.refresh_p99_ms:.2f} / {at.refresh_max_ms:.2f} |"
        )


def misses(rows: Sequence[Row]) -> Iterator[str]:
    """What ours did not keep, as sentences."""
    for row in rows:
        limit = TARGETS_MS.get(row.templates)
        if row.searcher != OURS:
            continue
        if row.best_found < 1:
            yield f"Not exact: {row.templates:,} templates, the best was found for {row.best_found:.2%} of the probes."
        if limit and row.probes == 1 and row.p99_ms >= limit:
            yield f"Too slow: {row.templates:,} templates, p99 {row.p99_ms:.3f} ms; it must stay under {limit} ms."


def on_one_core() -> None:
    """Starts this program anew with one thread, which BLAS reads while it is loaded, and stays on one core."""
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | ONE_THREAD)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    faiss.omp_set_num_threads(1)


def main() -> int:
    """Reads the options, prints the tables; 1 where ours is not exact or misses a target."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = [1_000, 10_000, 100_000, 1_000_000]
    parser.add_argument("--templates", type=int, nargs="*", default=sizes, help="sizes to search (%(default)s)")
    parser.add_argument(
        "--runs", type=int, default=3, help="of each measurement, of which the best counts (%(default)s)"
    )
    parser.add_argument("--peers", nargs="*", default=[*EXACT, *GRAPHS], choices=[*EXACT, *GRAPHS], metavar="NAME",
                        help="to measure beside ours (all: %(default)s)")  # fmt: skip
    parser.add_argument("--graphs-up-to", type=int, default=100_000, metavar="N",
                        help="build the approximate indexes for up to so many templates (%(default)s)")  # fmt: skip
    parser.add_argument("--updates", type=int, nargs="*", default=[1_000, 100_000],
                        help="sizes of galleries to which people are added (%(default)s)")  # fmt: skip
    parser.add_argument("--changes", type=int, default=100, help="people added to each (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there as well")
    options = parser.parse_args()
    on_one_core()

    about = machine()
    print(", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items()))
    print(f"One core, one thread, best of {options.runs} runs; top {TOP} of {SIZE}-D float32 vectors.\n")
    rows = [
        row for templates in options.templates for per_person in PER_PERSON
        for row in measure(templates, per_person, options)
    ]  # fmt: skip
    print(*search_table(rows), "", sep="\n")
    updates = [measure_update(templates, options.changes) for templates in options.updates]
    print(*update_table(updates), "", sep="\n")
    if options.json:
        found = {"machine": about, "search": rows, "updates": updates}
        options.json.write_text(json.dumps(found, indent=2, default=asdict) + "\n")
    problems = list(misses(rows))
    print(*problems or ["Ours is exact, and within its targets."], sep="\n")
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
