"""Errors of this room, for people who run flows.

FlowError
├── StepError      a step cannot do its work: what is missing, and which step makes it
└── ProcessError   a server that a command started did not come up, or ended
"""


class FlowError(Exception):
    """Base of every error that this room raises on purpose."""


class StepError(FlowError):
    """A step cannot do its work; the message names what is missing and which step makes it."""


class ProcessError(FlowError):
    """A server that a command started did not come up, or ended; the message names its log."""
