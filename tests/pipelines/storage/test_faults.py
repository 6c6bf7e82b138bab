"""Stores that are slow, busy, away or closed: a run ends well, or with 74 and one line."""

from __future__ import annotations

import time

import buckets
import pytest
import s3fs
from botocore import exceptions
from published_sets import OWNER, files_of, publish, read

from cxr_vlp.pipelines import errors
from cxr_vlp.pipelines.errors import StorageError
from cxr_vlp.pipelines.files import jsonl
from cxr_vlp.pipelines.format.remote import faults
from cxr_vlp.pipelines.storage import objects
from cxr_vlp.pipelines.storage.place import place

SECRETS = ("AKIA", "secret", "p10000032", "Traceback", "botocore", "Signature")


def run(command, capsys) -> tuple[int, str]:
    """Run as a command does; return its exit code and what it says."""
    code = errors.run(lambda: command() or 0)
    return code, capsys.readouterr().err


@pytest.mark.sampled(4)
@pytest.mark.parametrize(
    "fault", ["lost", "busy", "slowdown", "error", "cut-answer", "cut", "slow"]
)
def test_a_fault_that_passes_does_no_harm(proxy, s3, fault):
    out = place(f"{s3}/p10000032")
    publish(out, "old")
    proxy.choose = lambda number, *_: fault if number % 4 == 0 else ""
    publish(out, "new")
    assert read(out) == files_of("new")


@pytest.mark.sampled(5)
@pytest.mark.parametrize("since", ["publishing", "start"])
@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("busy", "busy"),
        ("error", "busy"),
        ("expired", "expired"),
        ("slowdown", "busy"),
        ("cut", "cut or timed out"),
        ("denied", "access is denied"),
        ("hang", "cut or timed out"),
    ],
)
def test_a_fault_that_stays_ends_the_run(proxy, s3, capsys, monkeypatch, fault, says, since):
    out = place(f"{s3}/p10000032")
    publish(out, "old")
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 2)

    def choose(_: int, method: str, path: str) -> str:
        late = method == "PUT" and "/p10000032/" in path and "/." not in path
        choose.now = choose.now or since == "start" or late
        return fault if choose.now else ""

    choose.now = False
    proxy.choose = choose
    start = time.monotonic()
    code, said = run(lambda: publish(out, "new"), capsys)
    assert code == 74, said
    assert said.startswith(f"error: {s3}/...: ")
    # the answer to a HEAD has no code but its status
    assert says in said or (fault == "expired" and "credentials may have expired" in said)
    assert not [secret for secret in SECRETS if secret in said]
    assert time.monotonic() - start < 100
    proxy.choose = lambda *_: ""
    assert read(out) == files_of("old")
    publish(out, "new")
    assert read(out) == files_of("new")


def test_a_store_that_is_away_is_no_empty_store(proxy, s3):
    """The library answers "no such file" then, and a run would replace what it cannot see."""
    out = place(f"{s3}/set")
    publish(out, "old")
    for fault in ("denied", "expired", "busy"):
        proxy.choose = lambda *_, fault=fault: fault
        for ask in (
            (out / OWNER).exists,
            (out / OWNER).is_file,
            out.is_dir,
            lambda: list(out.iterdir()),
            lambda: list(out.glob("*")),
            lambda: objects.listing(out),
            lambda: objects.identity(out / OWNER),
            lambda: jsonl.glimpse(out / OWNER),
            lambda: jsonl.read_header(out, OWNER, "texts"),
        ):
            with pytest.raises(StorageError):
                ask()


def test_a_bucket_that_does_not_exist(s3, capsys):
    out = place(f"{s3}-other/p10000032")
    for command in (lambda: publish(out, "new"), lambda: jsonl.read_header(out, OWNER, "texts")):
        code, said = run(command, capsys)
        assert (code, said) == (
            74,
            f"error: {s3}-other/...: the bucket does not exist: create it, or correct its name\n",
        )


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        (
            {
                "AWS_ACCESS_KEY_ID": None,
                "AWS_SECRET_ACCESS_KEY": None,
                "AWS_SHARED_CREDENTIALS_FILE": "none",
            },
            "no credentials were found: set AWS_ACCESS_KEY_ID",
        ),
        ({"AWS_PROFILE": "lab"}, "AWS_PROFILE"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "cannot be reached"),
    ],
    ids=["no-credentials", "absent-profile", "nobody-answers"],
)
def test_what_the_environment_lacks_is_named(s3, capsys, monkeypatch, environment, said):
    for name, value in environment.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    buckets.ask_environment()
    code, printed = run(lambda: publish(place(f"{s3}/set"), "new"), capsys)
    assert code == 74
    assert said in printed


def test_a_stream_that_ends_early_is_no_short_file(proxy, s3, monkeypatch):
    path = place(f"{s3}/set/a.jsonl")
    jsonl.write_records(path, [{"k": "x" * 100}] * 1000)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 2)
    proxy.choose = lambda _, method, path: "cut-answer" if method == "GET" else ""
    with pytest.raises(Exception) as error:  # noqa: PT011 - any, but no short list
        list(jsonl.read_records(path))
    assert errors.unwrapped(error.value).exit_code == 74
    with pytest.raises(StorageError), objects.local_copy(path):
        pass


def response(code: str) -> exceptions.ClientError:
    answer = {"Error": {"Code": code, "Message": "key AKIASECRET, object p10000032"}}
    return exceptions.ClientError(answer, "PutObject")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (response("AccessDenied"), "access is denied"),
        (response("InvalidAccessKeyId"), "credentials are refused"),
        (response("SignatureDoesNotMatch"), "credentials are refused"),
        (response("RequestTimeTooSkewed"), "clock"),
        (response("PermanentRedirect"), "AWS_DEFAULT_REGION"),
        (response("KMS.DisabledException"), "refused a request"),
        (response("QuotaExceeded"), "refused a request (QuotaExceeded)"),
        (exceptions.NoCredentialsError(), "no credentials"),
        (exceptions.ReadTimeoutError(endpoint_url="http://u:p@h/"), "cut or timed out"),
        (exceptions.ConnectTimeoutError(endpoint_url="http://u:p@h/"), "cannot be reached"),
        (exceptions.SSLError(endpoint_url="x", error="y"), "certificate"),
    ],
)
def test_what_is_said_of_an_error(error, says):
    assert says in faults.message(error)
    assert "AKIA" not in faults.message(error)
    assert "p10000032" not in faults.message(error)
    wrapped = OSError(5, "key AKIASECRET")
    wrapped.__cause__ = error
    assert says in str(errors.unwrapped(RuntimeError("x from y")) and errors.unwrapped(wrapped))


@pytest.mark.parametrize(
    "error",
    [response("NoSuchKey"), response("404"), response("PreconditionFailed"), OSError(28, "full"),
     FileNotFoundError("x"), ValueError("x"), StorageError("x")],
)  # fmt: skip
def test_what_is_no_fault_of_a_store(error):
    assert faults.message(error) == ""


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (response("SlowDown"), True),
        (response("InternalError"), True),
        (response("AccessDenied"), False),
        (response("ExpiredToken"), False),
        (response("NoSuchBucket"), False),
        (response("NoSuchKey"), False),
        (response("PreconditionFailed"), False),
        (response("InvalidRange"), False),
        (response("QuotaExceeded"), False),
        (exceptions.NoCredentialsError(), False),
        (exceptions.ProfileNotFound(profile="lab"), False),
        (exceptions.ParamValidationError(report="x"), False),
        (exceptions.ReadTimeoutError(endpoint_url="x"), True),
        (exceptions.EndpointConnectionError(endpoint_url="x"), True),
        (exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2), True),
        (ConnectionResetError(), True),
        (FileNotFoundError("x"), False),
        (PermissionError("x"), False),
        (StorageError("x"), False),
        (TypeError("x"), False),
    ],
)
def test_which_requests_are_tried_again(error, passes):
    assert faults.may_pass(error) == passes
