"""Says in one line what is wrong with an object store, and what to do about it.

The errors of its library hold keys, tokens, signed addresses and names of objects, which hold ids.
Nothing of their text is repeated: a message is made from the kind of the error and its code.
"""

from __future__ import annotations

from collections.abc import Iterator

from cxr_vlp.pipelines.format.remote.addresses import CREDENTIALS

_NONE = f"no credentials were found: {CREDENTIALS}"
_REFUSED = f"the credentials are refused: check the keys, or {CREDENTIALS}"
_EXPIRED = "the credentials have expired: get new ones, and run the same command again"
_DENIED = (
    "access is denied: check the keys, which need the rights to list the bucket and to read its "
    "objects (an output: also to write and to delete them); where the bucket wants that "
    "the one who asks pays, set CXR_REQUESTER_PAYS=1"
)
_BUCKET = "the bucket does not exist: create it, or correct its name"
_NAME = "the name of the bucket is not valid: correct the address"
_BUSY = (
    "the store is busy or has an error of its own, after several tries: run the same command again "
    "later, or with fewer workers"
)
CUT = (
    "the connection was cut or timed out, after several tries: check the network, and run the same "
    "command again; if the store is slow, set CXR_STORE_TIMEOUT to more seconds (without it: 30)"
)
_UNREACHABLE = (
    "the store cannot be reached: check the network and AWS_ENDPOINT_URL, if it is set, and run "
    "the same command again"
)
_CLOCK = "the clock of this machine is wrong: set it"
_REGION = "the bucket is in another region: set AWS_DEFAULT_REGION to it"
_BAD = (
    "the store refused a request (400): the credentials may have expired, or be those of another "
    "store: get new ones, check AWS_ENDPOINT_URL and AWS_DEFAULT_REGION"
)
_UNKNOWN = "the store refused a request"

_CODES = {
    "NoSuchBucket": _BUCKET,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "403": _DENIED,
    "Forbidden": _DENIED,
    "ExpiredToken": _EXPIRED,
    "ExpiredTokenException": _EXPIRED,
    "RequestExpired": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidAccessKeyId": _REFUSED,
    "SignatureDoesNotMatch": _REFUSED,
    "InvalidToken": _REFUSED,
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "301": _REGION,
    "RequestTimeTooSkewed": _CLOCK,
    "400": _BAD,  # of a HEAD, which has no body that says more
    "RequestTimeout": CUT,
    "SlowDown": _BUSY,
    "InternalError": _BUSY,
    "ServiceUnavailable": _BUSY,
    "Throttling": _BUSY,
    "500": _BUSY,
    "502": _BUSY,
    "503": _BUSY,
    "504": _BUSY,
    "401": _REFUSED,
    "429": _BUSY,
    "InvalidObjectState": "an object is in an archive (Glacier): restore it first",
    "InvalidBucketName": _NAME,
}
_KINDS = {
    "NoCredentialsError": _NONE,
    "PartialCredentialsError": _NONE,
    "ProfileNotFound": "AWS_PROFILE names a profile that ~/.aws/config lacks: correct it",
    "DefaultCredentialsError": _NONE,  # google.auth
    "CredentialRetrievalError": _EXPIRED,
    "TokenRetrievalError": _EXPIRED,
    "UnauthorizedSSOTokenError": _EXPIRED,
    "SSOTokenLoadError": _EXPIRED,
    "RefreshError": _EXPIRED,  # google.auth
    "ParamValidationError": _NAME,
    "EndpointConnectionError": _UNREACHABLE,
    "ConnectTimeoutError": _UNREACHABLE,
    "ProxyConnectionError": _UNREACHABLE,
    "ClientConnectorError": _UNREACHABLE,  # aiohttp
    "ServiceRequestError": _UNREACHABLE,  # azure.core
    "InvalidEndpointError": _UNREACHABLE,
    "ConnectionClosedError": CUT,
    "ReadTimeoutError": CUT,
    "IncompleteRead": CUT,
    "IncompleteReadError": CUT,
    "ResponseStreamingError": CUT,
    "HTTPClientError": CUT,
    "ClientPayloadError": CUT,
    "FSTimeoutError": CUT,
    "SSLError": "the store's certificate is not valid: check AWS_ENDPOINT_URL and AWS_CA_BUNDLE",
}
_LIBRARIES = ("botocore", "aiobotocore", "aiohttp", "s3fs", "gcsfs", "google", "adlfs", "azure")
# answers that are values for the code that asked: no object, or a condition that does not hold
ABSENT = ("NoSuchKey", "404", "NotFound", "NoSuchUpload")
CONDITION = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")


def message(error: BaseException) -> str:
    """Return what is wrong with the store, "" if the error is of something else."""
    return next(filter(None, map(_of_one, _chain(error))), "")


def code(error: BaseException) -> str:
    """Return the code of the store's answer that an error stands for, "" if there was none."""
    return next(filter(None, map(_code, _chain(error))), "")


def conflict(error: BaseException) -> bool:
    """Return whether an error says that the condition of a put does not hold."""
    return isinstance(error, FileExistsError) or code(error) in CONDITION


def may_pass(error: BaseException) -> bool:
    """Return whether the same request may succeed at another time."""
    if text := message(error):
        unknown = text.startswith(_UNKNOWN) and not code(error)
        return unknown or text in (_BUSY, CUT, _UNREACHABLE)
    final = FileNotFoundError | FileExistsError | PermissionError
    return isinstance(error, OSError) and not isinstance(error, final)


def silent(error: BaseException) -> bool:
    """Return whether an error says that the store could not be reached, or did not answer."""
    return message(error) in (CUT, _UNREACHABLE)


def is_bare(error: BaseException) -> bool:
    """Return whether an error has a status that may mean several faults, and no code."""
    return code(error) in ("400", "403")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _of_one(error: BaseException) -> str:
    found = _code(error)
    if found in _CODES:
        return _CODES[found]
    if not _of_library(error):
        return ""
    if found:
        return "" if found in (*ABSENT, *CONDITION) else f"{_UNKNOWN} ({_word(found)})"
    for kind in type(error).__mro__:
        if kind.__name__ in _KINDS:
            return _KINDS[kind.__name__]
    if isinstance(error, FileNotFoundError | FileExistsError):
        return ""
    return f"{_UNKNOWN} ({type(error).__name__})"


def _of_library(error: BaseException) -> bool:
    return type(error).__module__.partition(".")[0] in _LIBRARIES or (
        type(error).__module__ == "fsspec.exceptions"
    )


def _code(error: BaseException) -> str:
    """Return the code in an answer of S3, or the status of one of Google's or Azure's."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        return str(answer.get("Error", {}).get("Code", ""))
    if not _of_library(error):
        return ""
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    return str(status) if isinstance(status, int | str) else ""


def _word(found: str) -> str:
    """Return a code of an answer for a message: a word of letters and digits, or nothing of it."""
    return found if found.isalnum() and len(found) < 40 else "unknown code"
