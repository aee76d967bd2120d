"""Learns while the robot runs: watches results, and proposes looks worth adding and strangers worth remembering."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from face_recognition_ros.errors import SettingsError, StaleRevisionError, UnknownIdentityError
from face_recognition_ros.gallery.index import PrototypeIndex
from face_recognition_ros.gallery.matcher import Matcher
from face_recognition_ros.gallery.scrutiny import (
    Person,
    agrees,
    distinct_line,
    doubt,
    is_distinct,
    person_of,
    place,
    together,
)
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.gallery.templates import Template
from face_recognition_ros.gallery.watched_track import WatchedLook, WatchedTrack
from face_recognition_ros.types import ByteArray, Identity, IdentityStatus, RecognizedFace

AGREEING_LOOKS = 3
"""So many looks make a stranger."""
POSTPONED_PART = 0.1
"""The expiry of a recognised stranger is put off when this part of the time has passed: not in every frame."""
TRACK_MEMORY = 60.0
"""Seconds for which a track that is not seen is kept in mind: longer than any tracker keeps it."""

EncodeCrop = Callable[[ByteArray], bytes]
"""Makes of an aligned face, (112, 112, 3) uint8 BGR, what is stored with a template."""


@dataclass(frozen=True, slots=True)
class LearnerOptions:
    """What is learned. A value out of its range raises SettingsError."""

    learn_observed: bool = True
    """Further looks at people, and at remembered strangers, who are recognised beyond doubt."""
    remember_unknown: bool = False
    """Strangers, under an id, so that they can be told apart and named later."""
    unknown_max_age: float = 86400.0
    """Seconds for which a stranger who is not seen again is remembered; over 0."""

    def __post_init__(self) -> None:
        if not self.unknown_max_age > 0:
            raise SettingsError(f"unknown_max_age must be over 0 seconds, not {self.unknown_max_age:g}.")


@dataclass(frozen=True, slots=True, eq=False)
class Observe:
    """Add a look to the observed templates of somebody."""

    identity_id: str
    name: str
    looks: tuple[Template, ...]
    """The look, and those that followed it on its track."""
    epoch: int
    """Grows whenever the Learner is told to forget: what was proposed before is not done any more."""


@dataclass(frozen=True, slots=True, eq=False)
class Remember:
    """Make a remembered stranger of looks that agree."""

    looks: tuple[Template, ...]
    epoch: int


@dataclass(frozen=True, slots=True)
class Postpone:
    """Put off the expiry of a remembered stranger who is here."""

    identity_id: str
    epoch: int


Proposal = Observe | Remember | Postpone


class Learner:
    """Watches what is recognised, and says what the gallery should learn from it. May be used from several threads.

    `watch` changes nothing; `apply` checks each proposal against the gallery as it is by then.

    A look is judged by what follows it on its track, never by what preceded it: who takes over a track unnoticed is
    compared with the person by their own looks alone, however well that person was recognised before.
    """

    def __init__(
        self,
        store: GalleryStore,
        matcher: Matcher,
        options: LearnerOptions | None = None,
        encode_crop: EncodeCrop | None = None,
    ) -> None:
        """encode_crop: for the crops of a stranger's founding looks, which are not stored without it."""
        self.options = options or LearnerOptions()
        self._store = store
        self._matcher = matcher
        self._calibration = matcher.calibration
        self._encode_crop = encode_crop
        self._watching = threading.Lock()
        self._applying = threading.Lock()
        self._epoch = 0
        self._tracks: dict[int, WatchedTrack] = {}
        self._people: tuple[int, dict[str, Person | None]] = (-1, {})

    def watch(self, faces: Sequence[RecognizedFace], stamp: float, stream: int = 0) -> tuple[Proposal, ...]:
        """What is to be learned from a frame taken at `stamp` seconds; faces of single pictures are passed over.

        stream: its number; each may have a clock of its own, but no two a track of the same id. Raises GalleryError
        where the gallery cannot be read.
        """
        index = self._matcher.refresh()
        shown = Counter(face.decision.identity_id for face in faces)
        proposals: list[Proposal] = []
        with self._watching:
            self._tracks = {
                number: track
                for number, track in self._tracks.items()
                if track.stream != stream or abs(stamp - track.seen) <= TRACK_MEMORY
            }
            for face in faces:
                if face.embedding is None or face.track_id < 1:
                    continue
                track = self._tracks.setdefault(face.track_id, WatchedTrack(stamp, stream))
                track.seen = stamp
                counts = self._follow(track, face, index)
                subject = index.identity(track.subject)
                if subject is None:
                    proposals += self._remember(track, face, index) if counts else ()
                elif shown[subject.identity_id] > 1:
                    track.looks.clear()  # nobody is there twice: one of the two is somebody else
                else:
                    proposals += self._postpone(subject)
                    proposals += self._observe(track, subject, index) if counts else ()
        return tuple(proposals)

    def apply(self, proposals: Iterable[Proposal]) -> tuple[str, ...]:
        """Changes the gallery as proposed, in one transaction each; returns why proposals were not followed, if any.

        That is no error: the gallery has moved on since. Raises GalleryError where it cannot be read or written.
        """
        with self._applying:
            return tuple(reason for reason in map(self._apply, proposals) if reason)

    def forget(self, identity_ids: Iterable[str]) -> None:
        """Drops all looks that were taken for these identities, and all proposals that were not yet applied.

        Until their tracks end, nobody is remembered from them.
        """
        gone = set(identity_ids)
        with self._watching:
            self._epoch += 1
            self._people = (-1, {})
            for track in self._tracks.values():
                if not gone.isdisjoint(track.people):
                    track.bar()

    def reset(self) -> None:
        """Drops all tracks and all proposals that were not yet applied, as when the tracker is reset."""
        with self._watching:
            self._epoch += 1
            self._people = (-1, {})
            self._tracks = {}

    def _follow(self, track: WatchedTrack, face: RecognizedFace, index: PrototypeIndex) -> bool:
        """Takes the face into its track; returns whether it brought a look that counts."""
        decision, line = face.decision, distinct_line(index, self._calibration)
        track.take_for(decision.identity_id)
        track.people.update(one.identity_id for one in decision.candidates if one.similarity >= line)
        track.people |= {decision.identity_id} - {""}
        if not track.barred and any(index.identity(one) is None for one in track.people):
            track.bar()  # forgotten, expired or merged, by whatever process
        if decision.status is IdentityStatus.AMBIGUOUS:
            track.looks.clear()
            return False
        return track.look(face)

    def _observe(self, track: WatchedTrack, subject: Identity, index: PrototypeIndex) -> Iterable[Observe]:
        """Proposes the look that has come through its quarantine, if any."""
        if not (self.options.learn_observed and track.is_complete and track.looks[0].enrollable) or track.rests:
            return ()
        looks = tuple(look.template for look in track.looks)
        person = self._person(subject, index)
        if person is None or self._objection(looks, person, index):
            return ()
        track.learned, track.learned_at = track.learned + 1, track.seen
        return (Observe(subject.identity_id, subject.name, looks, self._epoch),)

    def _remember(self, track: WatchedTrack, face: RecognizedFace, index: PrototypeIndex) -> Iterable[Remember]:
        """Proposes the person on a track as a stranger to be remembered, if there are looks enough and no doubts."""
        good = [look for look in track.looks if look.enrollable]
        if not self.options.remember_unknown or track.barred or len(good) < AGREEING_LOOKS:
            return ()
        if face.decision.status is not IdentityStatus.UNKNOWN:
            return ()
        looks = together([look.template for look in good])
        if not (
            face.decision.similarity < distinct_line(index, self._calibration)
            and is_distinct(looks, index, self._calibration)
            and all(agrees(looks, number, self._calibration) for number in range(len(good)))
        ):
            return ()
        track.looks.clear()  # it takes as many new ones to propose the same again
        return (Remember(tuple(self._with_crop(look) for look in good), self._epoch),)

    def _postpone(self, subject: Identity) -> Iterable[Postpone]:
        return (Postpone(subject.identity_id, self._epoch),) if self._is_due(subject) else ()

    def _is_due(self, identity: Identity) -> bool:
        """Whether a stranger's expiry is to be put off."""
        if not identity.remembered or identity.expires is None:
            return False
        return identity.expires - self._store.clock() < (1 - POSTPONED_PART) * self.options.unknown_max_age

    def _apply(self, proposal: Proposal) -> str:
        """Returns why the proposal was not followed; empty where it was."""
        if proposal.epoch != self._epoch:
            return "Somebody was forgotten since, or the tracks were reset: nothing seen before that is learned."
        try:
            match proposal:
                case Observe():
                    return self._apply_observe(proposal)
                case Remember():
                    return self._apply_remember(proposal)
                case Postpone():
                    return self._apply_postpone(proposal)
        except UnknownIdentityError as error:
            return f"Nothing is learned of somebody who is gone. {error}"

    def _apply_observe(self, proposal: Observe) -> str:
        index = self._matcher.refresh()
        identity = self._store.resolve(proposal.identity_id)
        if (identity.identity_id, identity.name) != (proposal.identity_id, proposal.name):
            return f"{proposal.name!r} is {identity.name!r} by now: nothing seen before that is learned."
        person = person_of(identity, self._store.identity_templates(identity.identity_id))
        objection = self._objection(proposal.looks, person, index) if person else "nothing was enrolled"
        if objection or person is None:
            return f"A look at {identity.name!r} is not learned: {objection}."
        replaced = place(proposal.looks[0].embedding, person.templates)
        self._store.observe(identity.identity_id, proposal.looks[:1], replaced or ())
        return ""

    def _apply_remember(self, proposal: Remember) -> str:
        index = self._matcher.refresh()
        revision = index.revision
        if not is_distinct(together(proposal.looks), index, self._calibration):
            return "A stranger is not remembered: by now the gallery has somebody who looks like that."
        try:
            self._store.remember(proposal.looks, self._store.clock() + self.options.unknown_max_age, revision)
        except StaleRevisionError as error:  # whoever is still there is proposed again
            return str(error)
        return ""

    def _apply_postpone(self, proposal: Postpone) -> str:
        identity = self._store.resolve(proposal.identity_id)
        if not self._is_due(identity):
            return f"The expiry of {identity.name!r} needs not be put off any more."
        self._store.postpone(identity.identity_id, self._store.clock() + self.options.unknown_max_age)
        return ""

    def _objection(self, looks: Sequence[Template], person: Person, index: PrototypeIndex) -> str:
        """Why the first of the looks is not to be learned; empty where it is."""
        if reason := doubt(together(looks), person, index, self._calibration, self._matcher.options):
            return reason
        return "it adds nothing to the templates" if place(looks[0].embedding, person.templates) is None else ""

    def _person(self, identity: Identity, index: PrototypeIndex) -> Person | None:
        """With templates that are read once a revision; None where they are gone."""
        if self._people[0] != index.revision:
            self._people = (index.revision, {})
        known = self._people[1]
        if identity.identity_id not in known:
            try:
                templates = self._store.identity_templates(identity.identity_id)
            except UnknownIdentityError:  # since the index was read
                templates = ()
            known[identity.identity_id] = person_of(identity, templates)
        return known[identity.identity_id]

    def _with_crop(self, look: WatchedLook) -> Template:
        one = look.template
        crop = None if self._encode_crop is None or look.crop is None else self._encode_crop(look.crop)
        return Template(one.embedding, one.quality, one.source, crop)
