"""Every error a user can meet, as one tree. Knows nothing of the rooms that raise them.

    InhouseError
    ├── ModelFileError        a model file is damaged, truncated or not what it says
    │   └── TensorError       one tensor in it is missing, misshapen or of an unknown type
    ├── UnsupportedModelError a sound file whose architecture or option we do not implement
    ├── ModelNotFoundError    no such name in the catalogue or file on disk
    ├── DownloadError         a model could not be fetched or failed its checksum
    ├── ContextLengthError    a prompt does not fit the context
    ├── TemplateError         a chat template refused the conversation
    ├── ParameterError        a value given by the user is out of range
    ├── QueueFullError        an engine has as much to do as it takes
    ├── SandboxError          commands cannot be confined on this machine
    ├── WorkspaceError        the repository cannot be used, or an edit does not apply
    └── PeerError             a program we compare with or talk to is missing or failed

A message names the file or value and ends with what to do next.
"""

from __future__ import annotations

from os import PathLike


class InhouseError(Exception):
    """Base of all errors meant for a user: the command line prints them without a traceback."""


class ModelFileError(InhouseError):
    """A model file is damaged, truncated or not what it says."""

    def __init__(self, path: str | PathLike[str], problem: str, remedy: str) -> None:
        super().__init__(f"{path}: {problem}; {remedy}")
        self.path = str(path)
        self.problem = problem
        self.remedy = remedy


class TensorError(ModelFileError):
    """One tensor of a model file is missing, misshapen or of an unknown type."""

    def __init__(self, path: str | PathLike[str], tensor: str, problem: str, remedy: str) -> None:
        super().__init__(path, f"tensor {tensor!r}: {problem}", remedy)
        self.tensor = tensor


class UnsupportedModelError(InhouseError):
    """A sound file whose architecture or option is not implemented."""


class ModelNotFoundError(InhouseError):
    """No such name in the catalogue, and no such file."""


class DownloadError(InhouseError):
    """A model could not be fetched, or what came does not match its checksum."""


class ContextLengthError(InhouseError):
    """A prompt (plus the room asked for the answer) does not fit the context.

    `prompt` and `context` are their tokens, where they are known (0: not).
    """

    def __init__(self, message: str, prompt: int = 0, context: int = 0) -> None:
        super().__init__(message)
        self.prompt, self.context = prompt, context


class TemplateError(InhouseError):
    """A chat template refused the conversation or is itself at fault."""


class ParameterError(InhouseError, ValueError):
    """A value given by the user is out of range."""


class QueueFullError(InhouseError):
    """An engine has as much to do as it takes; in `retry_after` seconds there may be room."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SandboxError(InhouseError):
    """Commands cannot be confined on this machine."""


class WorkspaceError(InhouseError):
    """The repository cannot be used as asked, or an edit does not apply."""


class BaselineError(WorkspaceError):
    """The test command tells nothing of the program, whatever a patch did. `kind` is one of DiagnosisKind's."""

    def __init__(self, kind: str, reason: str, next_step: str) -> None:
        super().__init__(f"{reason}; {next_step}")
        self.kind, self.reason, self.next_step = kind, reason, next_step


class PeerError(InhouseError):
    """A program we compare with or talk to is missing or failed."""
