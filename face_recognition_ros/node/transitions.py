"""What rclpy leaves out of lifecycle transitions: why one failed, and an answer where one is not possible."""

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol, TypeVar

from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn

from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.rclpy_errors import RCLError


class Complaining(Protocol):
    """A node that keeps the reason why a transition failed."""

    def complain(self, sentence: str) -> None:
        """Takes the reason."""


N = TypeVar("N", bound=Complaining)


def transition(step: Callable[[N, LifecycleState], None]) -> Callable[[N, LifecycleState], TransitionCallbackReturn]:
    """Makes a lifecycle callback of a step: an error of ours fails it with its sentence, any other is an ERROR.

    rclpy itself would swallow both without a word.
    """

    @wraps(step)
    def callback(node: N, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            step(node, state)
        except FaceRecognitionError as error:
            node.complain(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception:
            node.complain(traceback.format_exc().strip())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    return callback


def answer_invalid_transitions(node: Any) -> None:
    """Has a transition that the state does not allow refused; rclpy would raise and leave the client waiting."""
    (service,) = (entry for entry in node.services if entry.srv_name.endswith("/change_state"))
    change_state = service.callback

    def answer(request: Any, response: Any) -> Any:
        try:
            return change_state(request, response)
        except RCLError:
            asked_for = request.transition.label or request.transition.id
            node.get_logger().error(f"The transition {asked_for} is not possible in the state {node.state}.")
            response.success = False
            return response

    service.callback = answer
