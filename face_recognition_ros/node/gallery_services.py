"""The node's services that list and change the gallery, each change one transaction of the store."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from face_recognition_msgs import srv
from rclpy.node import Node
from rclpy.task import Future

from face_recognition_ros.errors import GalleryError, UnknownIdentityError
from face_recognition_ros.gallery.store import GalleryStore
from face_recognition_ros.node.diagnostics import utc
from face_recognition_ros.node.messages import identity_message
from face_recognition_ros.node.services import ServiceGroup
from face_recognition_ros.types import Identity


@dataclass(frozen=True, slots=True)
class ChangeHooks:
    """What the rest of the node does when a request changes the gallery. None of them may raise."""

    changed: Callable[[], None]
    """After each change, and after one that failed half-way."""
    forgetting: Callable[[str], bool]
    """Before a person is removed, with the name: returns whether that has ended an enrolment."""
    forgotten: Callable[[Sequence[str]], Awaitable[None]]
    """After the removal, with the ids: returns when nothing of them is used any more, not even by work in flight."""


class GalleryServices:
    """Each request is a job of a worker, as the disk may take its time; requests are carried out in their order."""

    def __init__(
        self, node: Node, store: GalleryStore, in_background: Callable[[Callable[[], Any]], Future], hooks: ChangeHooks
    ) -> None:
        """in_background: has a job done by the worker."""
        self._store = store
        self._in_background = in_background
        self._hooks = hooks
        self._services = ServiceGroup(
            node,
            store,
            {
                "list_identities": (srv.ListIdentities, self._list_identities),
                "rename": (srv.Rename, self._rename),
                "merge": (srv.Merge, self._merge),
                "set_consent": (srv.SetConsent, self._set_consent),
                "purge_observed": (srv.PurgeObserved, self._purge_observed),
                "forget": (srv.Forget, self._forget),
                "undo": (srv.Undo, self._undo),
                "export_gallery": (srv.ExportGallery, self._export),
                "import_gallery": (srv.ImportGallery, self._import),
            },
        )

    @property
    def busy(self) -> bool:
        """Whether a request waits for its answer."""
        return self._services.busy

    def destroy(self) -> None:
        self._services.destroy()

    async def _change(self, job: Callable[[], Any]) -> Any:
        """What the job returns, once its change is stored and published."""
        try:
            return await self._in_background(job)
        finally:
            self._hooks.changed()

    async def _list_identities(self, request: Any, response: srv.ListIdentities.Response) -> str:
        response.gallery_revision, identities = await self._in_background(self._store.snapshot)
        response.identities = [identity_message(identity) for identity in identities]
        strangers = sum(identity.remembered for identity in identities)
        remembered = f", and {strangers} remembered stranger(s)" if strangers else ""
        return f"{len(identities) - strangers} people are in the gallery{remembered}."

    async def _rename(self, request: srv.Rename.Request, response: srv.Rename.Response) -> str:
        def rename() -> tuple[Identity, Identity]:
            before = self._store.resolve(request.identity)
            return before, self._store.rename(before.identity_id, request.new_name)

        before, after = await self._change(rename)
        return f"{before.name!r} is called {after.name!r} now."

    async def _merge(self, request: srv.Merge.Request, response: srv.Merge.Response) -> str:
        def merge() -> tuple[Identity, Identity]:
            absorbed = self._store.resolve(request.absorb)
            return absorbed, self._store.merge(request.keep, absorbed.identity_id)

        absorbed, kept = await self._change(merge)
        return f"{absorbed.name!r} is merged into {kept.name!r}, who has {kept.templates} templates now."

    async def _set_consent(self, request: srv.SetConsent.Request, response: srv.SetConsent.Response) -> str:
        expires = moment_after(request.expires_after)
        consent = request.consent.strip()
        person = await self._change(lambda: self._store.set_consent(request.identity, consent, expires))
        agreed = f"agreed to {person.consent!r}" if person.consent else "agreed to nothing that is noted"
        until = "for good" if expires is None else f"until {utc(expires)}"
        return f"{person.name!r} {agreed}, and is remembered {until}."

    async def _purge_observed(self, request: srv.PurgeObserved.Request, response: srv.PurgeObserved.Response) -> str:
        response.removed = await self._change(lambda: self._store.purge_observed(request.identity or None))
        of_whom = f" of {request.identity!r}" if request.identity else ""
        return f"{response.removed} template(s){of_whom} that were learned in passing are removed."

    async def _forget(self, request: srv.Forget.Request, response: srv.Forget.Response) -> str:
        if request.all_unknown == bool(request.identity):
            raise GalleryError("Give either identity, an id or name, or all_unknown: true; nobody was forgotten.")
        # Whoever is being enrolled may not be in the gallery yet.
        ended = bool(request.identity) and self._hooks.forgetting(request.identity)
        if request.all_unknown:
            everybody = await self._in_background(self._store.list_identities)
            people = [person for person in everybody if person.remembered]
        else:
            try:
                people = [await self._in_background(lambda: self._store.resolve(request.identity))]
            except UnknownIdentityError:
                if ended:
                    return f"The enrolment of {request.identity!r} is ended; nobody of that name was in the gallery."
                raise
        for person in people:
            self._hooks.forgetting(person.name)
        try:
            if request.all_unknown:
                people = await self._in_background(self._store.forget_strangers)
            else:
                await self._in_background(lambda: self._store.forget(people[0].identity_id))
        finally:
            await self._hooks.forgotten([person.identity_id for person in people])
            self._hooks.changed()
        response.forgotten = len(people)
        if not request.all_unknown:
            return f"{people[0].name!r} and {people[0].templates} templates are forgotten."
        return f"{len(people)} remembered stranger(s) are forgotten." if people else "There was no remembered stranger."

    async def _undo(self, request: Any, response: srv.Undo.Response) -> str:
        response.undone = await self._change(self._store.undo)
        return str(response.undone)

    async def _export(self, request: srv.ExportGallery.Request, response: srv.ExportGallery.Response) -> str:
        path = file_path(request.path)
        response.people = await self._in_background(lambda: self._store.export_to(path))
        return f"{response.people} people are written to {path}."

    async def _import(self, request: srv.ImportGallery.Request, response: srv.ImportGallery.Response) -> str:
        path = file_path(request.path)
        report = await self._change(lambda: self._store.import_from(path, request.merge_names))
        response.added, response.extended = len(report.added), len(report.extended)
        return f"From {path}: {response.added} people are new, {response.extended} got further templates."


def moment_after(seconds: float) -> float | None:
    """Seconds since the epoch so many seconds from now; None, never, for 0. Raises GalleryError for other values."""
    if not 0 <= seconds < float("inf"):
        raise GalleryError(f"expires_after must be a number of seconds from now, or 0 for never, not {seconds:g}.")
    return time.time() + seconds if seconds else None


def file_path(text: str) -> Path:
    """The absolute path that a request names, with ~ expanded; raises GalleryError for any other."""
    try:
        path = Path(text).expanduser()
    except RuntimeError as error:  # ~ of a user who does not exist
        raise GalleryError(f"The path {text!r} cannot be used: {str(error).rstrip('.')}.") from error
    if not path.is_absolute():
        raise GalleryError(
            f"The path {text!r} is not absolute: the node does not know your folder. Give it from / or ~ on."
        )
    return path
