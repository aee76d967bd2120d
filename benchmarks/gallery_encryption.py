"""What it costs to encrypt a gallery: sealed values (as the gallery does it) beside SQLCipher and no encryption at all.

    .venv/bin/python benchmarks/gallery_encryption.py [--templates 1000]

SQLCipher's row appears where the Python package sqlcipher3 can be imported; nothing else here needs it. All write the
same templates, ten in a transaction, into a write-ahead log with full synchronisation, and read all of them again
through a new connection. The rows take turns; medians of the rounds are printed. Let nothing else run meanwhile.
"""

import argparse
import importlib
import os
import platform
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np

from face_recognition_ros.gallery.sealing import AesGcmSeal, PlainSeal, Seal, place

KEY = os.urandom(32)
TOGETHER, SIZE, ROUNDS = 10, 64, 7
TABLE = "CREATE TABLE templates (id INTEGER PRIMARY KEY, embedding BLOB, source BLOB, quality REAL)"


def connect(library: ModuleType, path: Path) -> sqlite3.Connection:
    db: sqlite3.Connection = library.connect(path, isolation_level=None)
    if library is not sqlite3:
        db.execute(f"PRAGMA key = \"x'{KEY.hex()}'\"")
    for setting in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
        db.execute(f"PRAGMA {setting}").fetchall()
    return db


def measure(library: ModuleType, seal: Seal, path: Path, embeddings: list[bytes]) -> tuple[float, float, int]:
    """Milliseconds to write and to read all, and the bytes of the file."""
    db = connect(library, path)
    db.execute(TABLE)
    start = time.perf_counter()
    for first in range(0, len(embeddings), TOGETHER):
        db.execute("BEGIN IMMEDIATE")
        for number, embedding in enumerate(embeddings[first : first + TOGETHER], first):
            row = (number, seal.seal(embedding, place("templates", number, "embedding")),
                   seal.seal(b"camera at the door", place("templates", number, "source")), 0.9)  # fmt: skip
            db.execute("INSERT INTO templates VALUES (?, ?, ?, ?)", row)
        db.execute("COMMIT")
    written = time.perf_counter()
    db.close()
    db = connect(library, path)
    opened = time.perf_counter()
    rows = db.execute("SELECT id, embedding, source FROM templates").fetchall()
    found = [seal.unseal(row[1], place("templates", row[0], "embedding")) for row in rows]
    for row in rows:
        seal.unseal(row[2], place("templates", row[0], "source"))
    read = time.perf_counter()
    db.close()
    if found != embeddings:
        raise RuntimeError("what was read is not what was written")
    return 1e3 * (written - start), 1e3 * (read - opened), path.stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--templates", type=int, default=1000)
    parser.add_argument("--folder", type=Path, help="where the files are written (default: a temporary folder)")
    arguments = parser.parse_args()
    rows: dict[str, Callable[[Path, list[bytes]], tuple[float, float, int]]] = {
        "not encrypted": lambda path, data: measure(sqlite3, PlainSeal(), path, data),
        "sealed values": lambda path, data: measure(sqlite3, AesGcmSeal(KEY), path, data),
    }
    try:
        cipher = importlib.import_module("sqlcipher3.dbapi2")
        rows["SQLCipher"] = lambda path, data: measure(cipher, PlainSeal(), path, data)
    except ImportError as error:
        print(f"without SQLCipher: {error}\n")
    embeddings = [row.tobytes() for row in np.random.default_rng(0).random((arguments.templates, SIZE), np.float32)]
    results: dict[str, list[tuple[float, float, int]]] = {name: [] for name in rows}
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        for number in range(ROUNDS):
            for name, run in rows.items():
                results[name].append(run(Path(folder) / f"{name}-{number}.db", embeddings))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {arguments.templates} templates\n")
    print("| | write, ms | read, ms | file, KB |\n| --- | --- | --- | --- |")
    for name, found in results.items():
        write, read, size = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"| {name} | {write:.0f} | {read:.1f} | {size / 1e3:.0f} |")


if __name__ == "__main__":
    main()
