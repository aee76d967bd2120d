"""A contender that finds one face as large as the frame; its options tell it to fail in this or that way."""

import os
import threading
import time
from typing import Any

import numpy as np
from worker import UnavailableError, as_lists, serve


class Trivial:
    def __init__(self, options: dict[str, Any]) -> None:
        if options.get("unavailable"):
            raise UnavailableError("it has no model")
        self._options = options
        self._frames = 0

    def about(self) -> dict[str, Any]:
        print("a library's greeting")
        return {"threads": os.environ["OMP_NUM_THREADS"]}

    def prepare(self, frame: np.ndarray) -> np.ndarray:
        return frame

    def process(self, picture: np.ndarray, stamp: float) -> np.ndarray:
        print("a library's chatter", flush=True)
        self._frames += 1
        if self._frames > self._options.get("frames_to_live", 100):
            raise MemoryError("this frame was too much")
        if self._frames > self._options.get("frames_to_answer", 100):
            time.sleep(600)
        if "spins" in self._options:
            threading.Thread(target=spin, args=(self._options["spins"],)).start()
        return picture

    def faces(self, result: np.ndarray) -> list[dict[str, Any]]:
        return [as_lists((0, 0, result.shape[1], result.shape[0]), None)]


def spin(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass
    print("has stopped spinning", flush=True)


if __name__ == "__main__":
    serve(Trivial)
