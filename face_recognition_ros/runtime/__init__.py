"""Running a network: one session protocol, its backends, and the honest choice between them."""

from face_recognition_ros.runtime.selection import BACKENDS, FALLBACK, BackendChoice, create_session
from face_recognition_ros.runtime.session import InferenceSession
from face_recognition_ros.runtime.takeover import allow_takeovers

__all__ = ["BACKENDS", "FALLBACK", "BackendChoice", "InferenceSession", "allow_takeovers", "create_session"]
