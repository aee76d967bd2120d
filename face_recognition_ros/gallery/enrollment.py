"""Learns a person: gathers good and different looks, then stores them, all or nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from face_recognition_ros.errors import EnrollmentError, UnknownIdentityError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.matcher import Looks, Matcher, evidence
from face_recognition_ros.gallery.names import clean_name, name_key
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.types import Candidate, FloatArray, Identity, IdentityStatus, Quality

AGREEMENT_FALSE_ACCEPT_RATE = 0.05
"""Looks of one person must resemble each other more than all but this part of the pairs of two people."""
NAMESAKE_FALSE_ACCEPT_RATE = 0.01
"""How often a second person of a name may be taken for the first, whatever number of templates that one has."""

_POSES = (
    "Look straight at the camera.",
    "Turn your head a little to the left.",
    "Turn your head a little to the right.",
    "Lift your chin a little.",
    "Lower your chin a little.",
)
_REMEDIES = {
    "size": "Come closer, please.",
    "sharpness": "Hold still for a moment, please.",
    "yaw": "Turn your face towards the camera, please.",
    "pitch": "Look straight ahead at the camera, please.",
    "roll": "Hold your head upright, please.",
    "exposure": "Find a place with more even light, please.",
}


@dataclass(frozen=True, slots=True)
class EnrollmentResult:
    """What came of an enrolment. Either it succeeded and is stored, or the person was known already and nothing is."""

    identity: Identity | None
    """The person as stored; None where nothing was stored."""
    already_known_as: Candidate | None
    """Whom of the gallery the face belongs to, where that is somebody else than was to be enrolled."""
    message: str
    """A sentence for the person."""


@dataclass(frozen=True, slots=True)
class LookOutcome:
    """What became of one look."""

    kept: bool
    reason: str
    """Why it was not kept; empty where it was."""


class EnrollmentSession:
    """Gathers the looks of one track at a person; nothing is stored before `finish`."""

    def __init__(
        self,
        name: str,
        calibration: Calibration,
        looks_wanted: int = 5,
        duplicate_similarity: float = 0.97,
        patience: float = 1.0,
        source: str = "",
    ) -> None:
        """Starts without a look; raises GalleryError for a name that cannot be stored.

        looks_wanted: looks to keep. duplicate_similarity: two looks with a higher cosine are too much alike, unless
        `patience` seconds have passed since the last one was kept: who does not turn is learned all the same.
        source: provenance of the templates.
        """
        self.name = clean_name(name)
        self.looks_wanted = looks_wanted
        self.rejected: Counter[str] = Counter()
        """How many looks were not kept, by reason."""
        self._agreement = calibration.accept_similarity(AGREEMENT_FALSE_ACCEPT_RATE, 1)
        self._duplicate_similarity = duplicate_similarity
        self._patience = patience
        self._source = source
        self._looks: list[Template] = []
        self._last_kept = 0.0
        self._remedy = ""

    @property
    def looks_kept(self) -> int:
        """How many there are so far."""
        return len(self._looks)

    @property
    def is_complete(self) -> bool:
        """Whether there are as many looks as wanted; further ones are not kept."""
        return len(self._looks) >= self.looks_wanted

    @property
    def instruction(self) -> str:
        """What the person should do next."""
        if self.is_complete:
            return "Thank you, that is enough."
        return self._remedy or _POSES[len(self._looks) % len(_POSES)]

    def add(self, embedding: FloatArray | None, quality: Quality, stamp: float) -> LookOutcome:
        """Offers one look: embedding (D,) float32 unit vector or None, its quality, the image's stamp in seconds."""
        reason = self._objection(embedding, quality, stamp)
        if reason or embedding is None:
            self.rejected[reason] += 1
            return LookOutcome(False, reason)
        self._looks.append(Template(embedding, quality.score, self._source))
        self._last_kept = stamp
        return LookOutcome(True, "")

    def finish(self, store: GalleryStore, matcher: Matcher, force: bool = False) -> EnrollmentResult:
        """Stores the looks, as `enroll_looks` does; raises EnrollmentError where there are too few of them."""
        if not self.is_complete:
            why = "; ".join(reason.rstrip(".") for reason, _ in self.rejected.most_common(2)) or "the face was not seen"
            raise EnrollmentError(
                f"{self.name!r} was not enrolled: {self.looks_kept} of {self.looks_wanted} good looks. "
                f"The others were not kept: {why}."
            )
        return enroll_looks(store, matcher, self.name, self._looks, force)

    def _objection(self, embedding: FloatArray | None, quality: Quality, stamp: float) -> str:
        if self.is_complete:
            return "There are enough looks already."
        if embedding is None or not quality.usable_for_enrollment:
            complained = [measure for measure in quality.measures if measure.sentence]
            worst = min(complained, key=lambda measure: measure.score, default=None)
            self._remedy = _REMEDIES.get(worst.name, "") if worst else ""
            return " ".join(quality.complaints) or "The face is not good enough to be learned from."
        self._remedy = ""
        if not self._looks:
            return ""
        kept = np.stack([look.embedding for look in self._looks])
        similarities = kept @ embedding
        if evidence(Looks(kept, np.ones(len(kept), np.float32))) @ embedding < self._agreement:
            if len(self._looks) > 1:
                return "The look does not agree with the other looks."
            self._looks.clear()  # of two looks nobody can say which is the odd one: the newer may stay
            return ""
        if similarities.max() > self._duplicate_similarity and abs(stamp - self._last_kept) < self._patience:
            return "The look is too much like one that is kept already."
        return ""


def enroll_looks(
    store: GalleryStore, matcher: Matcher, name: str, looks: Sequence[Template], force: bool = False
) -> EnrollmentResult:
    """Stores looks at one person, from a camera or from files, as templates of the person of that name.

    A face that the gallery knows as somebody else is reported and not stored, unless force says so. Raises
    EnrollmentError where the looks do not agree with each other, or (without force) not with the person who already
    has the name; GalleryError where the name or the looks cannot be stored.
    """
    name = clean_name(name)
    if not looks:
        raise EnrollmentError(f"{name!r} was not enrolled: there is no usable look.")
    embeddings = np.stack([look.embedding for look in looks])
    together = Looks(embeddings, np.array([max(look.quality, 1e-3) for look in looks], np.float32))
    agreement = matcher.calibration.accept_similarity(AGREEMENT_FALSE_ACCEPT_RATE, 1)
    _require_agreement(name, looks, together, agreement)
    if not force:
        known_as = _known_as_another(matcher, name, together)
        if known_as is not None:
            return EnrollmentResult(
                None, known_as, f"{name!r} was not enrolled: the face is already known as {known_as.name!r}."
            )
        _require_resemblance(store, matcher, name, together)
    identity = store.enroll(name, looks)
    return EnrollmentResult(identity, None, f"{identity.name!r} is enrolled with {identity.templates} templates.")


def _require_agreement(name: str, looks: Sequence[Template], together: Looks, agreement: float) -> None:
    """Raises EnrollmentError that names the looks which do not resemble the others taken together."""
    if len(looks) < 2:
        return
    odd = []
    for i, look in enumerate(looks):
        others = Looks(np.delete(together.embeddings, i, axis=0), np.delete(together.weights, i))
        if float(evidence(others) @ look.embedding) < agreement:
            odd.append(look.source or f"look {i + 1}")
    if odd:
        raise EnrollmentError(
            f"{name!r} was not enrolled: {', '.join(odd)} of {len(looks)} looks do not resemble the others; "
            "all must show the same person."
        )


def _known_as_another(matcher: Matcher, name: str, together: Looks) -> Candidate | None:
    """The person of the gallery whom the looks are over the accept line for, unless one of them has that name."""
    decision = matcher.decide_stills([together]).decisions[0]
    if decision.status not in (IdentityStatus.KNOWN, IdentityStatus.AMBIGUOUS):
        return None
    accepted = [candidate for candidate in decision.candidates if candidate.similarity >= decision.accept_similarity]
    return None if any(name_key(candidate.name) == name_key(name) for candidate in accepted) else accepted[0]


def _require_resemblance(store: GalleryStore, matcher: Matcher, name: str, together: Looks) -> None:
    """Raises EnrollmentError where the name belongs to somebody who looks otherwise."""
    try:
        holder = store.resolve(name)
    except UnknownIdentityError:
        return
    index = matcher.refresh()
    similarities = index.similarities(evidence(together))
    for identity, similarity in zip(index.identities, similarities, strict=True):
        line = matcher.calibration.accept_similarity(NAMESAKE_FALSE_ACCEPT_RATE, identity.templates)
        if identity.identity_id == holder.identity_id and similarity < line:
            raise EnrollmentError(
                f"{name!r} was not enrolled: the gallery has a {holder.name!r} already, whom this face does not "
                f"resemble (similarity {similarity:.2f}). Choose another name, or force the enrolment."
            )
