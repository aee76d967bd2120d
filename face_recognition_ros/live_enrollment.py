"""Learns one person from the frames of a stream: which face it is, whether it is still there, what it should do."""

from collections.abc import Sequence

from face_recognition_ros.errors import EnrollmentError, EnrollmentFailure
from face_recognition_ros.gallery.enrollment import EnrollmentSession
from face_recognition_ros.pictures import encode_png
from face_recognition_ros.types import RecognizedFace

LOST_AFTER = 3.0
"""Seconds, of the frames' stamps, for which the face may be out of view."""

STEP_INTO_VIEW = "Step in front of the camera, please."


class LiveEnrollment:
    """Offers the looks at one face to a session. Stores nothing; `session.finish` does, once `is_complete`."""

    def __init__(
        self, session: EnrollmentSession, track_id: int = 0, largest: bool = False, store_crops: bool = False
    ) -> None:
        """track_id: of the face to learn; 0 or less: the only one in view, or the largest if `largest` is set.

        store_crops: whether the templates get the aligned crop of their look.
        """
        self.session = session
        self._given = track_id > 0
        self._largest = largest
        self._store_crops = store_crops
        self._track_id = max(track_id, 0)
        self._frames = 0
        self._in_view = False
        self._last_seen: float | None = None
        self._companions: set[int] = set()
        """Tracks that were in view beside the face, and so are other people's."""

    @property
    def instruction(self) -> str:
        """What the person should do next; before the first frame, as if they stood there."""
        missing = self._frames and not (self._in_view or self.session.is_complete)
        return STEP_INTO_VIEW if missing else self.session.instruction

    def see(self, faces: Sequence[RecognizedFace], stamp: float) -> tuple[str, ...]:
        """Takes the faces of a frame; returns why it gave no look to keep, in sentences, or nothing where it gave one.

        Raises EnrollmentError where several faces are in view and nothing says which, or the face is lost.
        """
        self._frames += 1
        face = self._find(faces, stamp)
        self._in_view = face is not None
        if face is None:
            return (self._absence(faces),)
        self._track_id, self._last_seen = face.track_id, stamp
        self._companions |= {other.track_id for other in faces if other is not face}
        crop = encode_png(face.crop) if self._store_crops and face.crop is not None else None
        return self.session.add(face.embedding, face.quality, stamp, crop)

    def timed_out(self, seconds: float) -> EnrollmentError:
        """What has gone wrong when so many seconds were not enough."""
        if self._last_seen is not None:
            return self.session.shortfall(seconds)
        if not self._frames:
            missing = "no image was processed; does the camera send any?"
        else:
            missing = f"track {self._track_id} was not in view." if self._given else "nobody was in view."
        return EnrollmentError(
            f"{self.session.name!r} was not enrolled: for {seconds:g} s {missing}", EnrollmentFailure.NO_FACE
        )

    def _find(self, faces: Sequence[RecognizedFace], stamp: float) -> RecognizedFace | None:
        """The face that is learned, if it is in view."""
        for face in faces:
            if face.track_id == self._track_id:
                return face
        learned = self.session.looks_kept > 0
        if self._last_seen is not None and (learned or self._given):
            self._last_seen = min(self._last_seen, stamp)  # the clock may be set back
            if stamp - self._last_seen > LOST_AFTER:
                raise EnrollmentError(
                    f"{self.session.name!r} was not enrolled: the face was out of view for more than {LOST_AFTER:g} s, "
                    f"with {self.session.looks_kept} of {self.session.looks_wanted} looks kept.",
                    EnrollmentFailure.FACE_LOST,
                )
        if learned:
            return self._returned(faces)
        return None if self._given else self._chosen(faces)

    def _returned(self, faces: Sequence[RecognizedFace]) -> RecognizedFace | None:
        """The face on its new track, known by the looks that were kept."""
        resembling = [
            (self.session.recognizes(face.embedding), face)
            for face in faces
            if face.embedding is not None and face.quality.usable_for_matching
            if face.track_id not in self._companions
        ]
        similarity, face = max(resembling, key=lambda pair: pair[0], default=(0.0, None))
        return face if similarity > 0 else None

    def _chosen(self, faces: Sequence[RecognizedFace]) -> RecognizedFace | None:
        """The face to begin with."""
        if len(faces) > 1 and not self._largest:
            raise EnrollmentError(
                f"{self.session.name!r} was not enrolled: {len(faces)} faces are in view. Let only one person stand "
                f"before the camera, ask for the largest, or give the track_id of the face meant "
                f"(in view: {_tracks(faces)}).",
                EnrollmentFailure.SEVERAL_FACES,
            )
        return max(faces, key=lambda face: face.detection.width * face.detection.height, default=None)

    def _absence(self, faces: Sequence[RecognizedFace]) -> str:
        if not self._track_id:
            return "Nobody is in view."
        return f"Track {self._track_id} is not in view; {f'there are: {_tracks(faces)}' if faces else 'nobody is'}."


def _tracks(faces: Sequence[RecognizedFace]) -> str:
    return ", ".join(str(face.track_id) for face in faces)
