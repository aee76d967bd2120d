"""What may be learned unasked: looks that are somebody's beyond doubt and add something, strangers whom nobody is like.

Pure functions of looks and templates; `learning.py` gathers the looks and acts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from face_recognition_ros.gallery.calibration import Calibration
from face_recognition_ros.gallery.index import LEAST_WEIGHT, PrototypeIndex, cosine
from face_recognition_ros.gallery.matcher import Looks, MatcherOptions, evidence
from face_recognition_ros.gallery.templates import StoredTemplate, Template
from face_recognition_ros.types import FloatArray, Identity

STRICTNESS = 0.1
"""Who is learned from must resemble the enrolled templates as if the target false accept rate were this part of it."""
LOOK_FALSE_ACCEPT_RATE = 1e-3
"""A look that is learned resembles the enrolled templates by itself more than all but this part of strangers do."""
AGREEMENT_FALSE_ACCEPT_RATE = 3e-4
"""It resembles each of the looks that followed it more than all but this part of pairs of strangers do. Each, not all
together: if another person was there for several looks, every one of these would find its like among them."""
DISTINCT_FALSE_ACCEPT_RATE = 0.3
"""A stranger is remembered who resembles the likeliest person of the gallery less than this part of strangers do: three
newcomers of ten stay plainly unknown, so that few people get a second id."""
ALIKE = 0.9
"""A look with a higher cosine to a template has nothing to add to it."""
MAX_OBSERVED = 10
"""Observed templates of one person."""


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Somebody who may be learned from."""

    identity: Identity
    templates: tuple[StoredTemplate, ...]
    enrolled: FloatArray
    """(D,) the enrolled templates fused: learning is judged by them alone, so that no chain of looks leads away."""


def person_of(identity: Identity, templates: tuple[StoredTemplate, ...]) -> Person | None:
    """None where nothing was enrolled, so that there is nothing to judge by."""
    enrolled = [one for one in templates if one.kind == "enrolled"]
    return Person(identity, templates, evidence(together(enrolled))) if enrolled else None


def together(looks: Sequence[Template | StoredTemplate]) -> Looks:
    """Looks, one or more, as they are compared."""
    weights = np.array([max(look.quality, LEAST_WEIGHT) for look in looks], np.float32)
    return Looks(np.stack([look.embedding for look in looks]), weights)


def doubt(
    looks: Looks, person: Person, index: PrototypeIndex, calibration: Calibration, options: MatcherOptions
) -> str:
    """Why the first of the looks might not be this person's, as part of a sentence; empty where there is no doubt.

    looks: the one in question, and those that followed it on its track.
    """
    line, look = calibration.accept_similarity, looks.embeddings[0]
    peers = index.strangers if person.identity.remembered else index.people
    if cosine(evidence(looks), person.enrolled) < line(STRICTNESS * options.target_false_accept_rate, peers):
        return "the looks together are not near enough to what was enrolled"
    if cosine(look, person.enrolled) < line(LOOK_FALSE_ACCEPT_RATE, 1):
        return "the look by itself is not near enough to what was enrolled"
    if not agrees(looks, 0, calibration):
        return "it does not agree with the looks that followed it"
    (hits,) = index.search(look[None], 2).hits
    runner_up = max((hit.similarity for hit in hits if hit.identity.identity_id != person.identity.identity_id),
                    default=0.0)  # fmt: skip
    if (index.similarity(person.identity.identity_id, look) or -1.0) - runner_up < options.min_margin:
        return "it resembles somebody else as much"
    return ""


def agrees(looks: Looks, number: int, calibration: Calibration) -> bool:
    """Whether one of the looks, two or more, resembles each of the others."""
    cosines = np.delete(looks.embeddings, number, axis=0) @ looks.embeddings[number]
    return float(cosines.min()) >= calibration.accept_similarity(AGREEMENT_FALSE_ACCEPT_RATE, 1)


def distinct_line(index: PrototypeIndex, calibration: Calibration) -> float:
    """The similarity to the likeliest of the gallery from which on somebody is not surely new."""
    return calibration.accept_similarity(DISTINCT_FALSE_ACCEPT_RATE, index.people + index.strangers)


def is_distinct(looks: Looks, index: PrototypeIndex, calibration: Calibration) -> bool:
    """Whether the looks are at somebody who surely is not in the gallery."""
    (hits,) = index.search(evidence(looks)[None], 1).hits
    return not hits or hits[0].similarity < distinct_line(index, calibration)


def place(look: FloatArray, templates: Sequence[StoredTemplate]) -> tuple[int, ...] | None:
    """Ids of the observed templates that make room for a look (D,), often none; None where it is not worth a place.

    Where all places are taken, the template goes that is most like another one, if the look is less so.
    """
    every = np.stack([template.embedding for template in templates])
    similarities = every @ look
    if similarities.max() > ALIKE:
        return None
    observed = [i for i, template in enumerate(templates) if template.kind == "observed"]
    if len(observed) < MAX_OBSERVED:
        return ()
    others = every @ every.T - 2 * np.eye(len(every))
    redundant = max(observed, key=lambda i: float(others[i].max()))
    if np.delete(similarities, redundant).max() >= others[redundant].max():
        return None
    return (templates[redundant].template_id,)
