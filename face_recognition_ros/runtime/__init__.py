"""Running a network: one session protocol, its backends, and the honest choice between them."""

from face_recognition_ros.runtime.selection import BACKENDS, BackendChoice, create_session
from face_recognition_ros.runtime.session import InferenceSession

__all__ = ["BACKENDS", "BackendChoice", "InferenceSession", "create_session"]
