"""Writes a bag that holds the messages of another one as they are, and /face_identities for each of its images."""

# Imported first: the ROS wheels restart the program on their import, which must not repeat anything done before.
from rclpy.serialization import serialize_message  # isort: skip

import sys
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from builtin_interfaces.msg import Time
from rosbags.interfaces import Connection, ConnectionExtRosbag2
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from std_msgs.msg import Header

from face_recognition_ros.node.messages import identities_message
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.replay.bags import BagSource
from face_recognition_ros.replay.sources import NANOSECONDS, SourceFrame

TOPIC = "/face_identities"
TYPE = "face_recognition_msgs/msg/FaceIdentities"
UNKNOWN_HASH = "RIHS01_" + "0" * 64
"""Of a type whose definition the bag does not carry."""

Key = tuple[str, str, str]


class BagCopy:
    """A bag in the making: takes the source's messages as they are read, and an answer after each image.

    An answer is recorded at the time at which its image was. An earlier /face_identities is not copied.
    """

    def __init__(self, source: BagSource, folder: Path) -> None:
        """folder: must not exist yet."""
        self._types = get_typestore(Stores.ROS2_JAZZY)
        self._types.register(message_types())
        plugin = StoragePlugin.MCAP if source.storage == "mcap" else StoragePlugin.SQLITE3
        self._writer = Writer(folder, version=Writer.VERSION_LATEST, storage_plugin=plugin)
        self._writer.open()
        self.replaces_answers = any(one.topic == TOPIC for one in source.connections)
        """Whether the source had answers."""
        self._connections: dict[Key, Connection] = {}
        for connection in source.connections:
            if connection.topic != TOPIC and _key(connection) not in self._connections:
                self._connections[_key(connection)] = self._like(connection)
        self._answers = self._writer.add_connection(TOPIC, TYPE, typestore=self._types)
        source.on_message = self._copy

    def take(self, frame: SourceFrame, result: FrameResult) -> None:
        """The answer to the image that was copied last."""
        stamp = Time(sec=frame.stamp_ns // NANOSECONDS, nanosec=frame.stamp_ns % NANOSECONDS)
        data = serialize_message(identities_message(Header(stamp=stamp, frame_id=frame.frame_id), result))
        # Written once more by rosbags: the middleware leaves what was in the memory between aligned fields.
        again = self._types.serialize_cdr(self._types.deserialize_cdr(data, TYPE), TYPE)
        self._writer.write(self._answers, frame.logged_ns, again)

    def close(self) -> None:
        """Writes index and metadata; the bag can be read from then on."""
        self._writer.close()

    def _copy(self, connection: Connection, logged: int, data: bytes) -> None:
        if connection.topic != TOPIC:
            self._writer.write(self._connections[_key(connection)], logged, data)

    def _like(self, connection: Connection) -> Connection:
        definition: dict[str, Any] = {"msgdef": connection.msgdef.data, "rihs01": connection.digest}
        if not all(definition.values()):  # a bag of an older ROS
            known = connection.msgtype in self._types.fielddefs
            definition = {"typestore": self._types} if known else {
                "msgdef": connection.msgdef.data, "rihs01": connection.digest or UNKNOWN_HASH
            }  # fmt: skip
        extension = connection.ext
        assert isinstance(extension, ConnectionExtRosbag2), "only bags of ROS 2 are read"
        return self._writer.add_connection(
            connection.topic,
            connection.msgtype,
            serialization_format=extension.serialization_format,
            offered_qos_profiles=extension.offered_qos_profiles,
            **definition,
        )


def message_types() -> Any:
    """The types of face_recognition_msgs, as rosbags wants them, from the installed definitions."""
    try:
        share = Path(get_package_share_directory("face_recognition_msgs"))
    except (PackageNotFoundError, LookupError, OSError):  # no workspace is sourced
        share = Path(sys.prefix) / "share" / "face_recognition_msgs"
    types: dict[str, Any] = {}
    for file in sorted((share / "msg").glob("*.msg")):
        types |= get_types_from_msg(file.read_text(encoding="utf-8"), f"face_recognition_msgs/msg/{file.stem}")
    return types


def _key(connection: Connection) -> Key:
    return connection.topic, connection.msgtype, repr(connection.ext)
