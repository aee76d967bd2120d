"""The errors this package raises on purpose; each message is a sentence for a person."""


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


class GalleryError(FaceRecognitionError):
    """A gallery file that cannot be used, or a change to it that cannot be made."""


class UnknownIdentityError(GalleryError):
    """An identity id or name that the gallery does not hold."""


class EnrollmentError(FaceRecognitionError):
    """An enrolment that did not happen: no face, several faces, or too poor a quality."""


class SettingsError(FaceRecognitionError):
    """A parameter or setting out of its range."""
