"""Errors of rollouts, for people who start, move or end one.

RegistryError
├── RolloutRefused       this rollout must not start, or not move like that: expected, got, what to do
├── RolloutNotFound      the component has no rollout
├── RolloutRaced         somebody else moved it meanwhile; read it anew and decide again
└── RolloutsUnavailable  the store cannot be read or written; workers keep the last known state
"""

from registry.errors import RegistryError


class RolloutRefused(RegistryError):
    """This rollout must not start, or must not move like that; nothing was changed."""


class RolloutNotFound(RegistryError):
    """There is no such rollout; the message says how to start one."""


class RolloutRaced(RegistryError):
    """Somebody else moved this rollout since it was read; nothing was changed. Read it anew."""


class RolloutsUnavailable(RegistryError):
    """The store of rollouts cannot be read or written; the message says what to look at."""
