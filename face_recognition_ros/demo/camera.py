"""The demo's camera, a process of its own: publishes the film, and writes what is truly in each frame to stdout.

Until a line comes on stdin it shows the first frame and writes nothing: a middleware may need seconds until both sides
know each other, and only an answer proves that they do. It stays after the last frame until its stdin is closed or
Ctrl-C, so that no frame is lost with its publisher.
"""

import argparse
import contextlib
import json
import select
import sys
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image

from face_recognition_ros.demo.cast import load_cast
from face_recognition_ros.demo.scenes import HEIGHT, WIDTH, Film, truth_record


class Camera(Node):
    """Publishes a film's frames at a steady rate, and the first one again and again until it may start."""

    def __init__(self, film: Film, rate: float) -> None:
        super().__init__("camera")
        self._film = film
        self._next = 0
        self._started = False
        self._publisher = self.create_publisher(Image, "image", qos_profile_sensor_data)
        self.create_timer(1.0 / rate, self._publish)

    @property
    def is_done(self) -> bool:
        return self._next >= self._film.frames

    def _publish(self) -> None:
        if self.is_done:
            return
        self._started = self._started or bool(select.select([sys.stdin], [], [], 0)[0])
        message = Image(height=HEIGHT, width=WIDTH, encoding="bgr8", step=3 * WIDTH)
        message.data.frombytes(self._film.frame(self._next).data.cast("B"))
        message.header.frame_id = "camera_optical_frame"
        stamp = self.get_clock().now()
        message.header.stamp = stamp.to_msg()
        self._publisher.publish(message)
        if self._started:
            record = truth_record(self._next, stamp.nanoseconds, self._film.truth(self._next))
            print(json.dumps(record, ensure_ascii=False), flush=True)
            self._next += 1


def main(argv: Sequence[str] | None = None) -> int:
    """Films until the last frame, then waits for the end of stdin."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cast", type=Path, help="the portraits, as demo.cast writes them")
    parser.add_argument("--frames", type=int, required=True)
    parser.add_argument("--rate", type=float, required=True, help="frames per second")
    arguments = parser.parse_args(argv)
    film = Film(load_cast(arguments.cast), arguments.frames)
    # Python's own handling of signals ends the process at once, which is all that is wanted here.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    camera = Camera(film, arguments.rate)
    with contextlib.suppress(KeyboardInterrupt):
        while not camera.is_done:
            rclpy.spin_once(camera)
        sys.stdin.read()
    camera.destroy_node()
    rclpy.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
