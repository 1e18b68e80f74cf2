"""What goes wrong with a request, and how the APIs say so. Knows no endpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from inhouse.errors import ContextLengthError, InhouseError, ParameterError, TemplateError

Flavour = Literal["openai", "anthropic", "ollama"]

_OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "invalid_request_error",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    408: "invalid_request_error",
    413: "invalid_request_error",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "service_unavailable",
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
}


class ApiError(Exception):
    """An answer that is an error. `param` names the field at fault; `retry_after` is in seconds.

    `anthropic` is the message in Anthropic's API, where clients look for other words than in OpenAI's.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        anthropic: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.anthropic = anthropic or message

    @property
    def headers(self) -> dict[str, str]:
        """What the response says besides its body."""
        if self.retry_after is None:
            return {}
        return {"Retry-After": str(max(1, round(self.retry_after)))}

    def body(self, flavour: Flavour) -> dict[str, Any]:
        """The JSON of the response in the API's own shape."""
        if flavour == "anthropic":
            kind = _ANTHROPIC_TYPES.get(self.status, "api_error" if self.status >= 500 else "invalid_request_error")
            return {"type": "error", "error": {"type": kind, "message": self.anthropic}}
        if flavour == "ollama":
            return {"error": self.message}
        kind = _OPENAI_TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A 400."""
    return ApiError(400, message, code, param)


def flavour_of(path: str) -> Flavour:
    """Whose shape an answer at `path` has."""
    if path.startswith("/api/"):
        return "ollama"
    return "anthropic" if path.startswith("/v1/messages") else "openai"


def from_engine(error: Exception) -> ApiError:
    """What an engine's error is to a client. Errors not meant for users say nothing of our inside."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ContextLengthError):
        return _too_long(error)
    if isinstance(error, ParameterError | TemplateError):
        return ApiError(400, str(error), "invalid_value")
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        return ApiError(429, str(error), "rate_limit_exceeded", retry_after=retry_after)
    if isinstance(error, InhouseError):
        return ApiError(503, str(error), "unavailable", retry_after=5)
    return ApiError(500, "the server failed on this request; its log says how", "internal_error")


def _too_long(error: ContextLengthError) -> ApiError:
    """In the words by which clients know that they have to shorten the conversation: OpenAI's and Anthropic's own."""
    if not error.context:
        return ApiError(400, str(error), "context_length_exceeded", "messages")
    openai = (
        f"This model's maximum context length is {error.context} tokens. However, your messages resulted in "
        f"{error.prompt} tokens. Please reduce the length of the messages."
    )
    anthropic = f"prompt is too long: {error.prompt} tokens > {error.context} maximum"
    return ApiError(400, openai, "context_length_exceeded", "messages", anthropic=anthropic)


def from_validation(errors: Sequence[Mapping[str, Any]], body: Any) -> ApiError:
    """Pydantic's complaints about a body, told of the field at fault; of a union's branches, of the one that fits best.

    Where a type is a union, `loc` names its branches as well; a client knows nothing of those, only of its own `body`.
    """
    first = errors[0]
    if first.get("type") == "json_invalid":
        reason = (first.get("ctx") or {}).get("error", "not JSON")
        return ApiError(400, f"the body is not valid JSON: {reason}", "invalid_json")
    paths = [_path(error, body) for error in errors]
    deepest = max(paths, key=lambda path: path.count(".") + path.count("["))
    told = [error for error, path in zip(errors, paths, strict=True) if path == deepest]
    if not deepest:
        message = "the body must be a JSON object with content type application/json"
        return ApiError(400, message, "invalid_type")
    if told[0].get("type") == "missing":
        return ApiError(400, f"missing field {deepest!r}", "missing_required_parameter", deepest)
    wanted = list(dict.fromkeys(str(error.get("msg", "wrong type")) for error in told))
    also = [message.removeprefix("Input should be ") for message in wanted[1:]]
    return ApiError(400, f"field {deepest!r}: {' or '.join([wanted[0], *also])}", "invalid_type", deepest)


def _path(error: Mapping[str, Any], body: Any) -> str:
    """Where in the body an error is."""
    path, here = "", body
    parts = error.get("loc", ())[1:]
    for number, part in enumerate(parts, 1):
        if isinstance(here, Mapping) and part in here:
            path, here = f"{path}.{part}", here[part]
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path, here = f"{path}[{part}]", here[part]
        elif number == len(parts) and error.get("type") == "missing":
            path = f"{path}.{part}"
    return path.lstrip(".")
