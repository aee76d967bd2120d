"""The lifecycle node: cameras' images in, names out. It converts, calls the recognisers, and converts back."""

import gc
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_msgs.msg import Header

from face_recognition_ros.assembly import Assembly, assemble, learner_options, matcher_options
from face_recognition_ros.errors import FaceRecognitionError
from face_recognition_ros.node.camera_stream import CameraStream
from face_recognition_ros.node.diagnostics import Facts, NodeReport, diagnostics_status, fallback
from face_recognition_ros.node.enrollment_action import EnrollmentAction
from face_recognition_ros.node.frame_pipeline import Received
from face_recognition_ros.node.gallery_keeper import GalleryKeeper
from face_recognition_ros.node.gallery_services import ChangeHooks, GalleryServices
from face_recognition_ros.node.group_thread import GroupThread
from face_recognition_ros.node.inference import Job
from face_recognition_ros.node.loading import Loader
from face_recognition_ros.node.parameters import (
    change_validator,
    declare_parameters,
    read_node_settings,
    read_settings,
)
from face_recognition_ros.node.picture_services import PictureServices
from face_recognition_ros.node.publishers import AnswerPublishers, GalleryPublisher
from face_recognition_ros.node.rounds import Rounds
from face_recognition_ros.node.transitions import answer_invalid_transitions, transition
from face_recognition_ros.node.watchdog import Watchdog
from face_recognition_ros.node.worker import Worker
from face_recognition_ros.recognizer import FrameResult
from face_recognition_ros.runtime import allow_takeovers
from face_recognition_ros.settings import Settings
from face_recognition_ros.streams import process_together


@dataclass(frozen=True, slots=True)
class _Configured:
    """What there is between configure and cleanup."""

    assembly: Assembly
    facts: Facts
    answers: Mapping[str, AnswerPublishers]
    """Of the cameras, by their names, in the order of their streams."""
    gallery: GalleryPublisher
    keeper: GalleryKeeper
    enrollment: EnrollmentAction
    pictures: PictureServices
    services: GalleryServices


@dataclass(frozen=True, slots=True)
class _Active:
    """What there is between activate and deactivate."""

    streams: tuple[CameraStream, ...]
    inference: Watchdog


class FaceRecognitionNode(LifecycleNode):
    """Recognises faces in the images of one camera or several; see docs/ros_interface.md.

    The cameras' messages are taken in a thread of their own, all networks run in the inference thread, changes of the
    gallery are made in a worker's, and all else is done in the executor's.
    """

    def __init__(self, **arguments: Any) -> None:
        """Takes the arguments of rclpy's Node; raises SettingsError for a parameter that is not allowed."""
        super().__init__("face_recognition", **arguments)
        declare_parameters(self)
        allow_takeovers()
        self._loader = Loader(self._publish_diagnostics, self.get_logger())
        self._complaint = ""
        self._configured: _Configured | None = None
        self._active: _Active | None = None
        self._undo_configure = ExitStack()
        self._undo_activate = ExitStack()
        self.add_on_set_parameters_callback(change_validator(self, lambda: self._configured is not None))
        self.add_post_set_parameters_callback(self._apply_parameters)
        answer_invalid_transitions(self)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", 1)
        # Real seconds: a paused simulation must not look like a dead node.
        self.create_timer(1.0, self._look_after, clock=Clock(clock_type=ClockType.STEADY_TIME))

    # --- transitions: what is done in configure and activate is undone in reverse by cleanup and deactivate ----------

    @transition
    def on_configure(self, state: LifecycleState) -> None:
        with ExitStack() as undo:
            own = read_node_settings(self)
            load = partial(assemble, read_settings(self), streams=len(own.camera_names))
            assembly = self._loader.load(load)
            undo.callback(assembly.close)
            worker = Worker("gallery", self._wake)
            undo.callback(worker.stop)
            answers: dict[str, AnswerPublishers] = {}
            for name in own.camera_names:
                answers[name] = AnswerPublishers(self, own.publish_detections, name)
                undo.callback(answers[name].destroy)
            gallery = GalleryPublisher(self, assembly.store)
            undo.callback(gallery.destroy)
            keeper = GalleryKeeper(self, assembly, gallery, worker, self._between_frames)
            undo.callback(keeper.stop)
            enrollment = EnrollmentAction(self, assembly, self._submit, worker.submit, self._settings, keeper.tell)
            undo.callback(enrollment.destroy)
            hooks = ChangeHooks(changed=keeper.tell, forgetting=enrollment.forget, forgotten=keeper.forget)
            pictures = PictureServices(self, assembly, self._submit)
            undo.callback(pictures.destroy)
            services = GalleryServices(self, assembly.store, worker.submit, hooks)
            undo.callback(services.destroy)
            self._undo_configure = undo.pop_all()
        facts = Facts(assembly)
        self._configured = _Configured(assembly, facts, answers, gallery, keeper, enrollment, pictures, services)
        self._complaint = ""
        self.get_logger().info(f"configured: {', '.join(f'{key} {value}' for key, value in facts.read().items())}")

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
        self.get_logger().info(f"active: looking at {', '.join(stream.topic for stream in self._active.streams)}")

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

    def _clean_up(self) -> None:
        self._configured = None
        self._undo_configure.close()
        gc.collect()  # callbacks and what they belong to refer to each other; the networks' memory is wanted back now

    def _start_inference(self, configured: _Configured, undo: ExitStack) -> _Active:
        """Starts the inference thread and then opens the subscriptions."""
        assembly, transport = configured.assembly, read_node_settings(self).image_transport
        streams = tuple(CameraStream(self, name, answers, transport) for name, answers in configured.answers.items())

        def recognize(images: Mapping[int, Received]) -> Mapping[int, FrameResult | Exception]:
            enrolls = configured.enrollment.wants_frames
            frames = {number: streams[number].frame(image, enrolls(number)) for number, image in images.items()}
            return process_together(assembly.recognizers, frames)

        def create_rounds(on_backend_error: Callable[[], None]) -> Rounds:
            answered = [partial(self._frame_answered, configured, number) for number in range(len(streams))]
            pipelines = [
                stream.create_pipeline(note, on_backend_error) for stream, note in zip(streams, answered, strict=True)
            ]
            return Rounds(pipelines, recognize)

        statistics = [stream.statistics for stream in streams]
        inference = Watchdog(assembly, create_rounds, statistics, self._wake, self.get_logger())
        undo.callback(assembly.learner.reset)
        undo.callback(assembly.reset_tracks)
        undo.callback(inference.stop)
        cameras = GroupThread(self, "cameras")
        for number, stream in enumerate(streams):
            undo.callback(stream.close)
            stream.open(partial(inference.offer, stream=number), cameras.group)
        undo.callback(cameras.stop)
        cameras.start()
        return _Active(streams, inference)

    # --- between the threads ------------------------------------------------------------------------------------------

    def _submit(self, job: Job) -> Future:
        """Has the job done by the inference thread; raises FaceRecognitionError while there is none."""
        if self._active is None:
            raise FaceRecognitionError("The node is not active, so it looks at no picture; activate it first.")
        return self._active.inference.submit(job)

    async def _between_frames(self, job: Job) -> Any:
        """Has the job done while no frame is in work; see GalleryKeeper.forget."""
        return job() if self._active is None else await self._active.inference.submit(job, urgent=True)

    def _frame_answered(self, configured: _Configured, stream: int, result: FrameResult, stamp: float) -> None:
        """Hands what is to be learned from the inference thread to the executor's, where enrolment lives."""
        if configured.enrollment.wants_frames(stream) and self.executor is not None:
            self.executor.create_task(configured.enrollment.add_frame, result, stamp, stream)
        configured.keeper.watch(result, stamp, stream)

    def _wake(self) -> None:
        if self.executor is not None:
            self.executor.wake()

    # --- parameters and diagnostics -----------------------------------------------------------------------------------

    def _settings(self) -> Settings:
        return read_settings(self)

    def _apply_parameters(self, changes: list[Parameter]) -> None:
        """Has live changes obeyed from the next frame on; the validator has accepted them."""
        if self._configured is not None:
            settings, assembly = self._settings(), self._configured.assembly
            assembly.matcher.options = matcher_options(settings)
            assembly.learner.options = learner_options(settings)

    def _look_after(self) -> None:
        """Once a second, in every state."""
        if self._active is not None:
            self._active.inference.look()
        if self._configured is not None:
            self._configured.keeper.look_after()
        self._publish_diagnostics()

    def _publish_diagnostics(self) -> None:
        configured = self._configured
        report = NodeReport(
            state=self.state,
            complaint=self._complaint or (configured.keeper.complaint if configured else ""),
            warning=fallback(configured.assembly) if configured else "",
            facts=configured.facts.read() if configured else {},
        )
        header = Header(stamp=self.get_clock().now().to_msg())
        self._diagnostics.publish(DiagnosticArray(header=header, status=self._statuses(report)))

    def _statuses(self, report: NodeReport) -> list[DiagnosticStatus]:
        """One for each camera, named after it where it has a name."""
        own, cameras = self.get_fully_qualified_name().lstrip("/"), read_node_settings(self).camera_names
        names = [f"{f'{own}/{camera}'.rstrip('/')}: face recognition" for camera in cameras]
        if self._active is None:
            return [diagnostics_status(name, own, report, None) for name in names]
        return [stream.status(name, own, report) for stream, name in zip(self._active.streams, names, strict=True)]

    # --- lifecycle ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """Label of the lifecycle state: unconfigured, inactive, active or finalized."""
        return str(self._state_machine.current_state[1])  # rclpy offers it by service only

    @property
    def is_settled(self) -> bool:
        """Whether no goal and no request waits to be answered."""
        configured = self._configured
        if configured is None:
            return True
        return not (configured.enrollment.busy or configured.pictures.busy or configured.services.busy)

    def start(self) -> None:
        """Configures and activates the node, where the parameter autostart says so."""
        if read_node_settings(self).autostart and self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
            self.trigger_activate()

    def destroy_node(self) -> None:
        self._loader.stop()
        super().destroy_node()

    def complain(self, sentence: str) -> None:
        """Logs why a transition failed, and keeps it for the diagnostics."""
        self._complaint = sentence
        self.get_logger().error(sentence)

    def _require_configured(self) -> _Configured:
        if self._configured is None:
            raise FaceRecognitionError("The node is not configured.")
        return self._configured
