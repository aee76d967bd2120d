"""Learns a person: gathers good and different looks, then stores them, all or nothing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from face_recognition_ros.errors import EnrollmentError, EnrollmentFailure, UnknownIdentityError
from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.looks import Look, differs, mean_similarity, next_pose, remedy
from face_recognition_ros.gallery.matcher import Matcher, evidence
from face_recognition_ros.gallery.names import clean_name, name_key
from face_recognition_ros.gallery.scrutiny import together
from face_recognition_ros.gallery.store import GalleryStore, Template
from face_recognition_ros.types import Candidate, Decision, FloatArray, Identity, IdentityStatus, Quality

AGREEMENT_FALSE_ACCEPT_RATE = 0.05
"""Looks of one person must resemble each other more than all but this part of the pairs of two people."""
NAMESAKE_FALSE_ACCEPT_RATE = 0.01
"""How often a second person of a name may be taken for the first, and a bystander for the one who left the view."""

TOO_POOR = "the face is not good enough to be learned from"
"""What is said of a face that cannot be used, where nothing better is known."""

ALIKE, ODD, ENOUGH = "alike", "odd", "enough"
"""Reasons not to keep a good look; those against a poor one have the name of a quality measure."""
_REASONS = {
    ALIKE: "the look is too much like one that is kept already",
    ODD: "the look does not agree with the other looks",
    ENOUGH: "there are enough looks already",
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
class EnrollmentTerms:
    """What was agreed on with a person; None leaves it as it is with somebody whom the gallery knows."""

    force: bool = False
    """Enrol also somebody who seems to be in the gallery under another name, or unlike the one of that name."""
    consent: str | None = None
    """What the person agreed to."""
    expires: float | None = None
    """Seconds since the epoch from which on the person is forgotten."""


DEFAULT_TERMS = EnrollmentTerms()


class EnrollmentSession:
    """Gathers the looks of one track at a person; nothing is stored before `finish`."""

    def __init__(
        self, name: str, calibration: Calibration, looks_wanted: int = 5, patience: float = 2.0, source: str = ""
    ) -> None:
        """Starts without a look; raises GalleryError for a name that cannot be stored.

        looks_wanted: looks to keep. patience: seconds since the last look was kept after which one that is like it is
        kept as well: who does not turn is learned all the same. source: provenance of the templates.
        """
        self.name = clean_name(name)
        self.looks_wanted = looks_wanted
        self.rejected: Counter[str] = Counter()
        """How many looks were not kept, by kind of reason; a look may have several."""
        self.looks_rejected = 0
        self._reasons = dict(_REASONS)
        self._agreement = calibration.accept_similarity(AGREEMENT_FALSE_ACCEPT_RATE, 1)
        self._return = calibration.accept_similarity(NAMESAKE_FALSE_ACCEPT_RATE, 1)
        # Only one in six pairs of photographs of one person is more alike, as far as these are distributed normally.
        self._alike = calibration.genuine_mean + calibration.genuine_std
        self._patience = patience
        self._source = source
        self._looks: list[Look] = []
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
        return self._remedy or next_pose(self._looks)

    def add(
        self, embedding: FloatArray | None, quality: Quality, stamp: float, crop: bytes | None = None
    ) -> tuple[str, ...]:
        """Offers a look, and returns why it was not kept, a sentence for each reason; nothing where it was.

        embedding: (D,) float32 unit vector, or None. stamp: the image's, in seconds. crop: the template's.
        """
        if embedding is None or not quality.usable_for_enrollment:
            self._remedy = remedy(quality)
            complaints = {measure.name: measure.sentence for measure in quality.measures if measure.sentence}
            return self._reject(complaints or {"quality": TOO_POOR})
        self._remedy = ""
        look = Look.of(Template(embedding, quality.score, self._source, crop), quality)
        if reason := self._objection(look, stamp):
            return self._reject({reason: _REASONS[reason]})
        self._looks.append(look)
        self._last_kept = stamp
        return ()

    def recognizes(self, embedding: FloatArray) -> float:
        """Mean cosine of a look (D,) with those kept; 0 where there is none, or where it may be somebody else."""
        similarity = mean_similarity(embedding, self.templates) if self._looks else 0.0
        return similarity if similarity >= self._return else 0.0

    def shortfall(self, seconds: float | None = None) -> EnrollmentError:
        """Why the enrolment has failed, when it ends (after so many seconds) before all looks are there."""
        poor = self.looks_rejected - sum(self.rejected[reason] for reason in _REASONS)
        failure = EnrollmentFailure.TIMEOUT
        for count, kind in ((poor, EnrollmentFailure.QUALITY), (self.rejected[ODD], EnrollmentFailure.DISAGREEMENT)):
            if 2 * count > self.looks_kept + self.looks_rejected:
                failure = kind
        after = "" if seconds is None else f" after {seconds:g} s"
        commonest = [kind for kind, _ in self.rejected.most_common()]
        if failure is EnrollmentFailure.QUALITY:
            commonest = [kind for kind in commonest if kind not in _REASONS]
        why = ", ".join(f"{self._reasons[kind]} ({self.rejected[kind]}x)" for kind in commonest[:2])
        others = f"Others were not kept: {why}." if why else "No other was seen."
        return EnrollmentError(
            f"{self.name!r} was not enrolled: {self.looks_kept} of {self.looks_wanted} good looks{after}. {others}",
            failure,
        )

    def finish(self, store: GalleryStore, matcher: Matcher, terms: EnrollmentTerms = DEFAULT_TERMS) -> EnrollmentResult:
        """Stores the looks, as `enroll_looks` does; raises EnrollmentError where there are too few of them."""
        if not self.is_complete:
            raise self.shortfall()
        return enroll_looks(store, matcher, self.name, self.templates, terms)

    @property
    def templates(self) -> list[Template]:
        """Of the looks that were kept."""
        return [look.template for look in self._looks]

    def _reject(self, reasons: dict[str, str]) -> tuple[str, ...]:
        self.looks_rejected += 1
        self.rejected.update(reasons.keys())
        self._reasons |= reasons
        return tuple(f"{reason[:1].upper()}{reason[1:]}." for reason in reasons.values())

    def _objection(self, look: Look, stamp: float) -> str:
        if self.is_complete:
            return ENOUGH
        if self._looks and mean_similarity(look.template.embedding, self.templates) < self._agreement:
            if len(self._looks) > 1:
                return ODD
            self._looks.clear()  # of two looks nobody can say which is the odd one: the newer may stay
        if differs(look, self._looks, self._alike) or abs(stamp - self._last_kept) >= self._patience:
            return ""
        return ALIKE


def enroll_looks(
    store: GalleryStore, matcher: Matcher, name: str, looks: Sequence[Template], terms: EnrollmentTerms = DEFAULT_TERMS
) -> EnrollmentResult:
    """Stores looks at one person, from a camera or from files, as templates of the person of that name.

    A remembered stranger whose face it is becomes that person. A face that the gallery knows as somebody else is
    reported and not stored, unless terms.force says so. Raises EnrollmentError where the looks do not agree with each
    other, or (without force) not with the person who already has the name; GalleryError where the name or the looks
    cannot be stored.
    """
    name = clean_name(name)
    if not looks:
        raise EnrollmentError(f"{name!r} was not enrolled: there is no usable look.", EnrollmentFailure.NO_FACE)
    _require_agreement(name, looks, matcher.calibration.accept_similarity(AGREEMENT_FALSE_ACCEPT_RATE, 1))
    holder = _holder(store, name)
    seen = together(looks)
    resembled = _resembled(matcher.decide_stills([seen]).decisions[0])
    if not terms.force:
        people = [candidate for candidate in resembled if not candidate.remembered]
        if people and not any(name_key(candidate.name) == name_key(name) for candidate in people):
            refusal = f"{name!r} was not enrolled: the face is already known as {people[0].name!r}."
            return EnrollmentResult(None, people[0], refusal)
        if holder is not None:
            _require_resemblance(matcher, holder, name, evidence(seen))
    strangers = _too_near(resembled, matcher.options.min_margin)
    ids = [stranger.identity_id for stranger in strangers]
    adopted = ids.pop(0) if ids and holder is None else None
    identity = store.enroll(name, looks, adopted, terms.consent, terms.expires, absorb=ids)
    so_far = f", {' and '.join(repr(stranger.name) for stranger in strangers)} so far," if strangers else ""
    return EnrollmentResult(
        identity, None, f"{identity.name!r}{so_far} is enrolled with {identity.templates} templates."
    )


def _holder(store: GalleryStore, name: str) -> Identity | None:
    try:
        return store.resolve(name)
    except UnknownIdentityError:
        return None


def _require_agreement(name: str, looks: Sequence[Template], agreement: float) -> None:
    """Raises EnrollmentError that names the looks which do not resemble the others taken together."""
    odd = []
    for i, look in enumerate(looks):
        others = [*looks[:i], *looks[i + 1 :]]
        if others and mean_similarity(look.embedding, others) < agreement:
            odd.append(look.source or f"look {i + 1}")
    if odd:
        raise EnrollmentError(
            f"{name!r} was not enrolled: {', '.join(odd)} of {len(looks)} looks do not resemble the others; "
            "all must show the same person.",
            EnrollmentFailure.DISAGREEMENT,
        )


def _resembled(decision: Decision) -> list[Candidate]:
    """Those whom the looks are over the accept line for: the best first, whether or not it leads by the margin."""
    if decision.stranger is not None:
        return [decision.stranger]
    if decision.status not in (IdentityStatus.KNOWN, IdentityStatus.AMBIGUOUS):
        return []
    return [candidate for candidate in decision.candidates if candidate.similarity >= decision.accept_similarity]


def _too_near(resembled: Sequence[Candidate], min_margin: float) -> list[Candidate]:
    """The remembered strangers among them beside whom the face would stay ambiguous, or theirs: they are the same."""
    return [one for one in resembled if one.remembered and resembled[0].similarity - one.similarity < min_margin]


def _require_resemblance(matcher: Matcher, holder: Identity, name: str, probe: FloatArray) -> None:
    """Raises EnrollmentError where the name belongs to somebody who looks otherwise."""
    similarity = matcher.refresh().similarity(holder.identity_id, probe)
    if similarity is not None and similarity < matcher.calibration.accept_similarity(NAMESAKE_FALSE_ACCEPT_RATE, 1):
        raise EnrollmentError(
            f"{name!r} was not enrolled: the gallery has a {holder.name!r} already, whom this face does not "
            f"resemble (similarity {similarity:.2f}). Choose another name, or force the enrolment.",
            EnrollmentFailure.DISAGREEMENT,
        )
