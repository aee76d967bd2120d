"""The lifecycle node: a camera's images in, names out. It converts, calls the recogniser, and converts back."""

import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.utilities import ok, try_shutdown
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from face_recognition_ros.assembly import Assembly, assemble, matcher_options
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.depth import DepthBuffer
from face_recognition_ros.node.diagnostics import NodeReport, StreamStatistics, diagnostics_message, facts, fallback
from face_recognition_ros.node.enrollment_action import EnrollmentAction
from face_recognition_ros.node.frame_pipeline import FramePipeline
from face_recognition_ros.node.gallery_services import GalleryServices
from face_recognition_ros.node.inference import InferenceThread
from face_recognition_ros.node.parameters import (
    change_validator,
    declare_parameters,
    read_node_settings,
    read_settings,
)
from face_recognition_ros.node.publishers import AnswerPublishers, GalleryPublisher
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.settings import Settings

RCLError = rclpy_implementation.RCLError
UnknownROSArgsError = rclpy_implementation.UnknownROSArgsError

NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
"""The SensorData profile, but with room for the newest image only."""

POLL = 0.2
"""Seconds after which the main thread looks for a signal; Python's handlers run in no other."""

LAST_STEPS = 20
"""How many callbacks may still run at the end, so that whoever waits for an answer gets it."""

LAST_SECONDS = 5.0
"""How long an enrolment may take to end, then."""


@dataclass(frozen=True, slots=True)
class _Configured:
    """What there is between configure and cleanup."""

    assembly: Assembly
    answers: AnswerPublishers
    gallery: GalleryPublisher
    services: GalleryServices
    enrollment: EnrollmentAction


@dataclass(frozen=True, slots=True)
class _Active:
    """What there is between activate and deactivate."""

    topic: str
    statistics: StreamStatistics
    inference: InferenceThread


Step = Callable[["FaceRecognitionNode", LifecycleState], None]
Transition = Callable[["FaceRecognitionNode", LifecycleState], TransitionCallbackReturn]


def transition(step: Step) -> Transition:
    """Makes a lifecycle callback of a step: an error of ours fails it with its sentence, any other is an ERROR.

    rclpy itself would swallow both without a word.
    """

    @wraps(step)
    def callback(node: "FaceRecognitionNode", state: LifecycleState) -> TransitionCallbackReturn:
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


class FaceRecognitionNode(LifecycleNode):
    """Recognises faces in a camera's images; see docs/ros_interface.md.

    All callbacks run in the executor's thread, all networks in the inference thread.
    """

    def __init__(self, **arguments: Any) -> None:
        """Takes the arguments of rclpy's Node; raises SettingsError for a parameter that is not allowed."""
        super().__init__("face_recognition", **arguments)
        declare_parameters(self)
        self._complaint = ""
        self._gallery_complaint = ""
        self._configured: _Configured | None = None
        self._active: _Active | None = None
        self._undo_configure = ExitStack()
        self._undo_activate = ExitStack()
        self.add_on_set_parameters_callback(change_validator(self, lambda: self._configured is not None))
        self.add_post_set_parameters_callback(self._apply_parameters)
        self._answer_invalid_transitions()
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 1)
        # Real seconds: a paused simulation must not look like a dead node.
        self.create_timer(1.0, self._publish_periodically, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # --- transitions: what is done in configure and activate is undone in reverse by cleanup and deactivate ----------

    @transition
    def on_configure(self, state: LifecycleState) -> None:
        with ExitStack() as undo:
            assembly = assemble(read_settings(self))
            undo.callback(assembly.close)
            answers = AnswerPublishers(self, read_node_settings(self).publish_detections)
            undo.callback(answers.destroy)
            gallery = GalleryPublisher(self, assembly.store)
            undo.callback(gallery.destroy)
            on_change = partial(self._publish_changes, gallery)
            enrollment = EnrollmentAction(self, assembly, self._submit, self._settings, on_change)
            undo.callback(enrollment.destroy)
            services = GalleryServices(self, assembly, self._submit, on_change, enrollment.forget)
            undo.callback(services.destroy)
            self._undo_configure = undo.pop_all()
        self._configured = _Configured(assembly, answers, gallery, services, enrollment)
        self._complaint = ""
        self.get_logger().info(f"configured: {', '.join(f'{key} {value}' for key, value in facts(assembly).items())}")

    @transition
    def on_activate(self, state: LifecycleState) -> None:
        configured = self._require_configured()
        with ExitStack() as undo:
            super().on_activate(state)
            undo.callback(super().on_deactivate, state)
            configured.gallery.publish()
            self._active = self._start_inference(configured, undo)
            self._undo_activate = undo.pop_all()
        self._complaint = ""
        self.get_logger().info(f"active: looking at {self._active.topic}")

    @transition
    def on_deactivate(self, state: LifecycleState) -> None:
        self._deactivate()

    @transition
    def on_cleanup(self, state: LifecycleState) -> None:
        self._clean_up()

    @transition
    def on_shutdown(self, state: LifecycleState) -> None:
        self._deactivate()
        self._clean_up()

    @transition
    def on_error(self, state: LifecycleState) -> None:
        self._deactivate()
        self._clean_up()

    def _deactivate(self) -> None:
        if self._configured is not None:
            self._configured.enrollment.stop("The enrolment was given up because the node was deactivated.")
        self._undo_activate.close()
        self._active = None
        self._gallery_complaint = ""

    def _clean_up(self) -> None:
        self._configured = None
        self._undo_configure.close()

    def _start_inference(self, configured: _Configured, undo: ExitStack) -> _Active:
        """Starts the inference thread and then opens the subscriptions."""
        transport = read_node_settings(self).image_transport
        # As image_transport does it, the remapping of `image` holds for its compressed form as well.
        topic = self.resolve_topic_name("image") + ("/compressed" if transport == "compressed" else "")
        statistics = StreamStatistics(time.monotonic())
        depth = DepthBuffer()
        pipeline = FramePipeline(
            configured.assembly.recognizer,
            configured.answers.publish,
            statistics,
            depth,
            self.get_clock(),
            self.get_logger(),
            topic,
            self._show_to_enrollment,
        )
        inference = InferenceThread(pipeline.process, statistics.image_dropped, self._wake)
        inference.start()
        undo.callback(configured.assembly.recognizer.reset_tracks)
        undo.callback(inference.stop)

        def take(message: Any) -> None:
            statistics.image_arrived(time.monotonic())
            inference.offer(message)

        for kind, name, callback in (
            (Image, "depth", depth.add_image),
            (CameraInfo, "camera_info", depth.set_camera_info),
            (CompressedImage if transport == "compressed" else Image, topic, take),
        ):
            subscription = self.create_subscription(kind, name, callback, NEWEST)
            undo.callback(self.destroy_subscription, subscription)
        return _Active(topic, statistics, inference)

    # --- between the threads ------------------------------------------------------------------------------------------

    def _submit(self, job: Callable[[], Any]) -> Future:
        """Has the job done by the inference thread; raises FaceRecognitionError while there is none."""
        if self._active is None:
            raise FaceRecognitionError("The node is not active, so it looks at no picture; activate it first.")
        return self._active.inference.submit(job)

    def _show_to_enrollment(self, result: FrameResult, stamp: float) -> None:
        """Hands a result from the inference thread to the executor's, where enrolment lives."""
        configured = self._configured
        if configured is not None and configured.enrollment.wants_frames and self.executor is not None:
            self.executor.create_task(configured.enrollment.add_frame, result, stamp)

    def _wake(self) -> None:
        if self.executor is not None:
            self.executor.wake()

    # --- parameters and diagnostics -----------------------------------------------------------------------------------

    def _settings(self) -> Settings:
        return read_settings(self)

    def _apply_parameters(self, changes: list[Parameter]) -> None:
        """Has live changes obeyed from the next frame on; the validator has accepted them."""
        if self._configured is not None:
            self._configured.assembly.matcher.options = matcher_options(self._settings())

    def _publish_periodically(self) -> None:
        if self._active is not None and self._configured is not None:
            self._publish_changes(self._configured.gallery)
        self._publish_diagnostics()

    def _publish_changes(self, gallery: GalleryPublisher) -> None:
        """Publishes the gallery if it has changed; a failure undoes no change, and the next second tries again."""
        try:
            gallery.publish_changes()
            complaint = ""
        except FaceRecognitionError as error:
            complaint = str(error)
        if complaint and complaint != self._gallery_complaint:
            self.get_logger().error(complaint)
        self._gallery_complaint = complaint

    def _publish_diagnostics(self) -> None:
        active, name = self._active, self.get_fully_qualified_name().lstrip("/")
        assembly = self._configured.assembly if self._configured else None
        report = NodeReport(
            state=self.state,
            topic=active.topic if active else "",
            publishers=self.count_publishers(active.topic) if active else 0,
            complaint=self._complaint or self._gallery_complaint,
            warning=fallback(assembly.backend) if assembly else "",
            facts=facts(assembly) if assembly else {},
        )
        measured = active.statistics.measure(time.monotonic()) if active else None
        stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(diagnostics_message(stamp, f"{name}: face recognition", name, report, measured))

    # --- lifecycle ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Label of the lifecycle state: unconfigured, inactive, active or finalized."""
        return str(self._state_machine.current_state[1])  # rclpy offers it by service only

    @property
    def is_settled(self) -> bool:
        """Whether no goal waits to be answered."""
        return self._configured is None or not self._configured.enrollment.busy

    def start(self) -> None:
        """Configures and activates the node, where the parameter autostart says so."""
        if read_node_settings(self).autostart and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def complain(self, sentence: str) -> None:
        """Logs why a transition failed, and keeps it for the diagnostics."""
        self._complaint = sentence
        self.get_logger().error(sentence)

    def _require_configured(self) -> _Configured:
        if self._configured is None:
            raise FaceRecognitionError("The node is not configured.")
        return self._configured

    def _answer_invalid_transitions(self) -> None:
        """Has a transition that the state does not allow refused; rclpy would raise and leave the client waiting."""
        (service,) = (entry for entry in self.services if entry.srv_name.endswith("/change_state"))
        change_state = service.callback

        def answer(request: Any, response: Any) -> Any:
            try:
                return change_state(request, response)
            except RCLError:
                asked_for = request.transition.label or request.transition.id
                self.get_logger().error(f"The transition {asked_for} is not possible in the state {self.state}.")
                response.success = False
                return response

        service.callback = answer


def main(arguments: list[str] | None = None) -> int:
    """Runs the node until SIGINT or SIGTERM; returns the process's exit code."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Instead of rclpy's own handlers, which end the context under the node's feet.
        signal.signal(number, lambda *_: stop.set())
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
        node = FaceRecognitionNode()
        with SingleThreadedExecutor() as executor:
            _run(executor, node, stop)
    except (FaceRecognitionError, RCLError, UnknownROSArgsError) as error:
        rclpy.logging.get_logger("face_recognition").fatal(f"The node ends. {error}")
        return 1
    finally:
        try_shutdown()
    return 0


def _run(executor: Executor, node: FaceRecognitionNode, stop: threading.Event) -> None:
    executor.add_node(node)
    try:
        node.start()
        while ok() and not stop.is_set():
            _spin_once(executor, node)
        if node.state == "active":
            node.trigger_deactivate()
        _let_requests_end(executor, node)
        if ok() and node.state != "finalized":
            node.trigger_shutdown()
    finally:
        executor.remove_node(node)
        node.destroy_node()


def _let_requests_end(executor: Executor, node: FaceRecognitionNode) -> None:
    """Sends the answers that are due; an enrolment's result takes a few steps of the executor after it has ended."""
    steps, end = 0, time.monotonic() + LAST_SECONDS
    while ok() and steps < LAST_STEPS and time.monotonic() < end:
        _spin_once(executor, node, timeout=0.0)
        steps += node.is_settled


def _spin_once(executor: Executor, node: FaceRecognitionNode, timeout: float = POLL) -> None:
    try:
        executor.spin_once(timeout_sec=timeout)
    except ExternalShutdownException:
        pass  # the loop ends
    except (RCLError, InvalidHandle) as error:
        # A client that left before its answer, or a service that cleanup removed while a request waited.
        node.get_logger().warning(f"A request could not be answered: {error}")


if __name__ == "__main__":
    sys.exit(main())
