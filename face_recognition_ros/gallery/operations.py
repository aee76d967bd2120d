"""What can be done to the gallery: each function is one change, made in a transaction and written to the journal."""

import hashlib
import math
import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from face_recognition_ros.errors import GalleryError, StaleRevisionError
from face_recognition_ros.gallery.journal import FIELDS, former_state, record, strike_out
from face_recognition_ros.gallery.names import clean_name
from face_recognition_ros.gallery.rows import Rows
from face_recognition_ros.gallery.schema import LATEST_TIME
from face_recognition_ros.gallery.templates import Template
from face_recognition_ros.types import Identity


def enroll(
    rows: Rows, name: str, templates: Sequence[Template], identity_id: str | None, consent: str | None,
    expires: float | None, absorb: Iterable[str],
) -> Identity:  # fmt: skip
    """See GalleryStore.enroll."""
    if not templates:
        raise GalleryError(f"There is no template to enroll {name!r} with; at least one is needed.")
    _check_expiry(rows, expires)
    person = rows.holder(clean_name(name)) if identity_id is None else rows.find(identity_id)
    given = {field: value for field, value in (("consent", consent), ("expires", expires)) if value is not None}
    if person is None:
        person_id, former = new_identity_id(), None
        rows.insert(person_id, rows.now, name=clean_name(name), **given)
    else:
        if person.remembered:
            given = {**_naming(rows, person, clean_name(name)), **given}
        given = {field: value for field, value in given.items() if value != getattr(person, field)}
        person_id, former = person.identity_id, former_state(person, given)
    strangers = [rows.find(stranger) for stranger in dict.fromkeys(absorb)]
    if wrong := [one.name for one in strangers if not one.remembered or one.identity_id == person_id]:
        raise GalleryError(f"{wrong[0]!r} is no remembered stranger, whom an enrolment could absorb; merge the two.")
    moved = {stranger.identity_id: _take_over(rows, person_id, stranger) for stranger in strangers}
    added = rows.add(person_id, "enrolled", templates)
    if person is not None and not (added or given or moved):
        return person  # all of it was there
    rows.update(person_id, **given)
    absorbed = {stranger.identity_id: former_state(stranger) for stranger in strangers}
    record(rows, "enroll", former={person_id: former, **absorbed}, added=added, moved=moved)
    return rows.find(person_id)


def observe(rows: Rows, identity_id: str, templates: Iterable[Template], replacing: Iterable[int]) -> Identity:
    """See GalleryStore.observe."""
    person = rows.find(identity_id)
    hers = {template.template_id for template in rows.templates(person.identity_id) if template.kind == "observed"}
    replaced = hers.intersection(replacing)
    rows.remove(replaced)
    if not rows.add(person.identity_id, "observed", templates) and not replaced:
        return person
    rows.update(person.identity_id)
    record(rows, "observe")
    return rows.find(person.identity_id)


def remember(rows: Rows, templates: Sequence[Template], expires: float | None, revision: int | None) -> Identity:
    """See GalleryStore.remember."""
    if revision not in (None, rows.revision):
        raise StaleRevisionError(f"Nobody is remembered: the gallery has changed since revision {revision}.")
    if not templates:
        raise GalleryError("There is no template to remember a stranger by; at least one is needed.")
    _check_expiry(rows, expires)
    name = rows.new_stranger_name()
    stranger = founded_id(name, templates)
    rows.insert(stranger, rows.now, name=name, remembered=True, expires=expires)
    rows.add(stranger, "enrolled", templates)
    record(rows, "remember")
    return rows.find(stranger)


def postpone(rows: Rows, identity_id: str, expires: float) -> None:
    """See GalleryStore.postpone."""
    _check_expiry(rows, expires)
    person = rows.find(identity_id)
    if not person.remembered:
        raise GalleryError(f"{person.name!r} is no remembered stranger; set consent and expiry together.")
    rows.update(person.identity_id, expires=expires)
    record(rows, "postpone")


def set_consent(rows: Rows, identity: str, consent: str, expires: float | None) -> Identity:
    """See GalleryStore.set_consent."""
    _check_expiry(rows, expires)
    person = rows.find(identity)
    rows.update(person.identity_id, consent=consent, expires=expires)
    record(rows, "consent", former={person.identity_id: former_state(person, ("consent", "expires"))})
    return rows.find(person.identity_id)


def rename(rows: Rows, identity: str, new_name: str) -> Identity:
    """See GalleryStore.rename."""
    person = rows.find(identity)
    changes = _naming(rows, person, clean_name(new_name))
    rows.update(person.identity_id, **changes)
    record(rows, "rename", former={person.identity_id: former_state(person, changes)})
    return rows.find(person.identity_id)


def merge(rows: Rows, keep: str, absorb: str) -> Identity:
    """See GalleryStore.merge."""
    kept, absorbed = rows.find(keep), rows.find(absorb)
    if kept.identity_id == absorbed.identity_id:
        raise GalleryError(f"{kept.name!r} cannot be merged with itself; name two people.")
    moved = _take_over(rows, kept.identity_id, absorbed)
    changes = {field: value for field, value in _together(kept, absorbed).items() if value != getattr(kept, field)}
    rows.update(kept.identity_id, **changes)
    former = {kept.identity_id: former_state(kept, changes), absorbed.identity_id: former_state(absorbed)}
    record(rows, "merge", former=former, moved={absorbed.identity_id: moved})
    return rows.find(kept.identity_id)


def forget(rows: Rows, people: Sequence[Identity], operation: str = "forget") -> None:
    """Removes people for good, from the journal too."""
    strike_out(rows, {person.identity_id for person in people})
    for person in people:
        rows.delete(person.identity_id)
    record(rows, operation)
    rows.mark_traces()


def forget_expired(rows: Rows) -> list[Identity]:
    """Forgets everybody whose time has passed."""
    passed = rows.expired()
    if passed:
        forget(rows, passed, "expire")
    return passed


def purge_observed(rows: Rows, identity: str | None) -> int:
    """See GalleryStore.purge_observed."""
    people = rows.identities() if identity is None else [rows.find(identity)]
    concerned = [person for person in people if person.observed]
    if not concerned:
        return 0
    for person in concerned:
        rows.remove_observed(person.identity_id)
        rows.update(person.identity_id)
    record(rows, "purge")
    rows.mark_traces()
    return sum(person.observed for person in concerned)


def new_identity_id() -> str:
    """Random, so that it says nothing of the person."""
    return f"p-{uuid.uuid4().hex[:12]}"


def founded_id(name: str, templates: Iterable[Template]) -> str:
    """Follows from a generated name, which is never given twice, and the founding looks: a replay gives it again."""
    looks = b"".join(template.embedding.astype("<f4").tobytes() for template in templates)
    return f"p-{hashlib.sha256(name.encode() + looks).hexdigest()[:12]}"


def _take_over(rows: Rows, identity_id: str, absorbed: Identity) -> list[int]:
    """Makes all templates of the absorbed one the other's, and removes the absorbed; returns the templates' ids."""
    moved = [template.template_id for template in rows.templates(absorbed.identity_id)]
    rows.move(moved, identity_id)
    rows.delete(absorbed.identity_id)
    return moved


def _naming(rows: Rows, person: Identity, name: str) -> dict[str, Any]:
    """FIELDS of a person who gets that name; a stranger becomes somebody who stays."""
    holder = rows.holder(name)
    if holder is not None and holder.identity_id != person.identity_id:
        raise GalleryError(
            f"{person.name!r} cannot be renamed: another person is called {name!r}. "
            "Choose another name, or merge the two if they are one person."
        )
    return {"name": name, "remembered": False, "expires": None} if person.remembered else {"name": name}


def _together(kept: Identity, absorbed: Identity) -> dict[str, Any]:
    """FIELDS of two identities that are found to be one person: see GalleryStore.merge."""
    if kept.remembered != absorbed.remembered:
        return former_state(absorbed if kept.remembered else kept, FIELDS)
    times = [math.inf if person.expires is None else person.expires for person in (kept, absorbed)]
    expires = max(times) if kept.remembered else min(times)
    return {
        "name": kept.name,
        "remembered": kept.remembered,
        "consent": kept.consent or absorbed.consent,
        "expires": None if math.isinf(expires) else expires,
    }


def _check_expiry(rows: Rows, expires: float | None) -> None:
    if expires is not None and LATEST_TIME <= expires < math.inf:
        raise GalleryError("Nobody can expire later than the year 9999; without a time they never do.")
    if expires is not None and not rows.now < expires < math.inf:
        raise GalleryError(
            f"The time at which somebody expires must lie in the future (now it is {rows.now:.0f} seconds since the "
            f"epoch), not at {expires:.0f}; to remove somebody now, forget them."
        )
