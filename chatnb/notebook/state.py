"""What one kernel remembers: its store, its current session, and the agent each session was asked with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from chatnb.errors import AgentError, BadInput, nearest
from chatnb.notebook.place import notebook_path
from chatnb.records import Session
from chatnb.settings import default_project
from chatnb.stores.opening import shared_store
from chatnb.stores.store import Store

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


__all__ = ["KernelState", "Magics", "Remembered", "state_of"]


@dataclass(frozen=True)
class Remembered:
    """The names a session was last asked with in this kernel."""

    agent: str | None = None
    deps: str | None = None


class Magics(Protocol):
    """What the kernel's state needs of the magics: the settings, the shell, and a place for itself."""

    model: str
    store: str
    rerun: str
    state: Any

    @property
    def shell(self) -> InteractiveShell | None: ...

    @property
    def owner(self) -> str: ...


@dataclass
class KernelState:
    """One kernel's memory. `current` is the session of cells that name none; `seen` are ids of sessions it has used."""

    magics: Magics
    current: str | None = None
    seen: set[str] = field(default_factory=set)
    remembered: dict[str, Remembered] = field(default_factory=dict)

    @property
    def shell(self) -> InteractiveShell:
        """The kernel's shell."""
        shell = self.magics.shell
        assert shell is not None
        return shell

    @property
    def store(self) -> Store:
        """The store that the settings name."""
        return shared_store(self.magics.store or None)

    @property
    def notebook(self) -> str | None:
        """The notebook's path."""
        return notebook_path(self.shell)

    @property
    def project(self) -> str:
        """The project that the notebook belongs to."""
        return default_project(self.notebook)

    def session_name(self) -> str:
        """The session of a cell that names none: the kernel's current one, else one kept for this notebook."""
        if self.current is None:
            kept = None
            if self.notebook is not None:
                kept = self.store.notebook_session(user=self.magics.owner, notebook=self.notebook)
            self.current = kept.id if kept is not None and kept.is_active else self.fresh_name()
        return self.current

    def other_session(self) -> str:
        """The session of a cell that names none, now that the kernel's current one is gone."""
        self.current = None
        return self.session_name()

    def fresh_name(self) -> str:
        """The name of a session that nothing names: the notebook's."""
        if self.notebook is None:
            return "chat"
        return self.notebook.rsplit("/", 1)[-1].removesuffix(".ipynb")

    def named(self, name: str, what: str) -> object:
        """The notebook's object of this name.

        Raises
        ------
        AgentError
            When there is none; the sentence names the nearest.
        """
        names = self.shell.user_ns
        if name not in names:
            own = set(names) - set(self.shell.user_ns_hidden)  # what IPython itself put there is no agent
            known = sorted(known for known in own if not known.startswith("_"))
            raise AgentError(
                f"The notebook has no {name!r} to use as {what}.{nearest(name, known)} Define it in a cell first."
            )
        return names[name]

    def found(self, ref: str | None = None, *, active: bool = True) -> Session:
        """The session of this id or name, or the current one.

        Raises
        ------
        BadInput
            When none is named and none is current.
        SessionNotFound
            When there is no such session.
        """
        if ref is None and self.current is None:
            raise BadInput("No session is current. Name one, or list them with %chat ls.")
        name = ref if ref is not None else self.session_name()
        return self.store.find_session(name, user=self.magics.owner, project=self.project, active=active)


def state_of(magics: Magics) -> KernelState:
    """The kernel's memory, made at the first use."""
    if magics.state is None:
        magics.state = KernelState(magics)
    state: KernelState = magics.state
    return state
