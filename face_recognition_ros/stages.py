"""What the recognizer asks of the stages after detection, as protocols: who embeds, tracks and judges is assembly's."""

from collections.abc import Collection, Sequence
from typing import Protocol

from face_recognition_ros.gallery.matcher import FrameDecisions, Looks
from face_recognition_ros.types import ByteArray, Detection, FloatArray, Quality


class Embedder(Protocol):
    """Aligned crops to unit vectors."""

    def embed(self, crops: ByteArray) -> FloatArray:
        """(N, 112, 112, 3) uint8 BGR -> (N, D) float32 unit vectors."""


class Track(Protocol):
    """A face followed through frames, with its good looks."""

    @property
    def id(self) -> int:
        """Positive, never used twice."""

    @property
    def holder(self) -> str:
        """Id of the identity that the track was last given; empty where there is none."""

    @property
    def quality(self) -> Quality:
        """Of the latest look at it."""

    @property
    def pattern(self) -> FloatArray | None:
        """What the face looked like from afar at the latest look; see face_pattern."""

    @property
    def is_doubtful(self) -> bool:
        """Whether one of the latest looks was so odd that it may have been at somebody else."""

    def is_settled(self, stamp: float, interval: float) -> bool:
        """Whether a look at that time could wait, if one is taken every `interval` seconds."""

    def give(self, identity_id: str) -> None:
        """Makes that identity its holder; empty: nobody."""

    def evidence(self) -> tuple[FloatArray, FloatArray]:
        """Embeddings (K, D) float32 and weights (K,) float32 of the good looks so far."""


class Tracker(Protocol):
    """Detections to tracks."""

    def in_view(self, stamp: float) -> FloatArray:
        """(T, 4) where the faces of the latest frame are to be looked for at that time."""

    def foresee(self, detections: Sequence[Detection], stamp: float) -> Sequence[Track | None]:
        """The track that each face surely continues, by its place alone; None where that is not sure."""

    def update(
        self,
        detections: Sequence[Detection],
        embeddings: Sequence[FloatArray | None],
        qualities: Sequence[Quality],
        stamp: float,
        patterns: Sequence[FloatArray],
    ) -> Sequence[Track]:
        """The track of each detection, in their order; stamp in seconds, patterns as of face_pattern."""

    def reset(self) -> None:
        """Forgets all tracks; their ids are not used again."""

    def forget(self, identity_ids: Collection[str]) -> None:
        """Drops the looks of tracks that were ever given one of these identities."""


class Judge(Protocol):
    """Looks at people to decisions on who they are."""

    def decide_batch(self, tracks: Sequence[Looks]) -> FrameDecisions:
        """Decisions on the tracks of one frame."""

    def decide_stills(self, people: Sequence[Looks]) -> FrameDecisions:
        """Decisions on people of whom there will be no more looks than these."""
