"""The errors this package raises on purpose; each message is a sentence for a person."""

import enum


class FaceRecognitionError(Exception):
    """Base of all of them: what was wrong, where, and what would be right."""


class ImageError(FaceRecognitionError):
    """An image that cannot be used: its size, step, encoding or content."""


class AlignmentError(FaceRecognitionError):
    """Landmarks from which no alignment can be computed."""


class ModelError(FaceRecognitionError):
    """A model file that is missing, damaged, or not what its description says."""


class BackendError(FaceRecognitionError):
    """An inference backend that is not available or failed."""


class UnsuitedNetworkError(BackendError):
    """A backend is not made for networks of this kind; another one is to run it."""


class GalleryError(FaceRecognitionError):
    """A gallery file that cannot be used, or a change to it that cannot be made."""


class UnknownIdentityError(GalleryError):
    """An identity id or name that the gallery does not hold."""


class StaleRevisionError(GalleryError):
    """A change to the gallery that is based on a revision which is not the latest any more."""


class EnrollmentFailure(enum.IntEnum):
    """Why somebody was not enrolled. The numbers are those of the result of face_recognition_msgs/Enroll."""

    NONE = 0
    """They were."""
    NO_FACE = 1
    """Nobody was seen, or not the one who was meant."""
    SEVERAL_FACES = 2
    """More than one face, and nothing said which."""
    FACE_LOST = 3
    """The face that was being learned left the view."""
    TIMEOUT = 4
    """The time was over before there were enough looks, and not for their quality."""
    QUALITY = 5
    """The face was seen, but hardly ever well enough."""
    ALREADY_KNOWN = 6
    """The gallery knows the face under another name."""
    DISAGREEMENT = 7
    """The looks do not show one person, or not the one who has that name."""
    CANCELED = 8
    """By whoever asked for it."""
    REFUSED = 9
    """Not possible now, or not with these values."""


class EnrollmentError(FaceRecognitionError):
    """An enrolment that did not happen, and what kind of reason it has."""

    def __init__(self, sentence: str, failure: EnrollmentFailure = EnrollmentFailure.REFUSED) -> None:
        super().__init__(sentence)
        self.failure = failure


class SettingsError(FaceRecognitionError):
    """A parameter or setting out of its range."""
