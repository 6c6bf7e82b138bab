"""Checks that a run on a Spark cluster can begin: the kind of master, pyspark, Java, an answer.

Spark itself would end with a Java stack trace, or try for a minute. No pyspark is imported here.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

from cxr_vlp.pipelines.errors import ConfigError, EngineError

JAVA = 17  # the oldest version that Spark 4 accepts
INSTALL_JAVA = "install Java 17 (Debian: openjdk-17-jre-headless), or set JAVA_HOME to it"
CONNECT_TIMEOUT = 5.0  # seconds for each address of the master
COUNT = r"(?:\*|[1-9]\d{0,5})"  # of threads; `*`: as many as cores
ADDRESS = r"(?:[^\s,/:@]+|\[[\da-fA-F:.]+\]):\d{1,5}"
MASTERS = re.compile(
    rf"(local)(?:\[{COUNT}(?:,\d+)?\]|-cluster\[\d+,\d+,\d+\])?"
    rf"|(spark)://{ADDRESS}(?:,{ADDRESS})*|(k8s)://\S+|(yarn)"
)
RUN_HERE = ("local", "spark")  # kinds of masters that were run with this program


def problem(master: str) -> str:
    """Return why a run on this kind of master is untested; "" if it was tested.

    Raises ConfigError for what is no master, and if pyspark or Java is absent.
    """
    found = MASTERS.fullmatch(master)
    if found is None:
        raise ConfigError(f"--master {master}: use spark://HOST:PORT, local[N], yarn or k8s://...")
    if importlib.util.find_spec("pyspark") is None:
        raise ConfigError("--engine spark needs pyspark: pip install 'cxr-vlp[spark]'")
    _check_java()
    kind = next(filter(None, found.groups()))
    return "" if kind in RUN_HERE else f"--master {kind} has never been run with this program"


def check_answers(master: str) -> None:
    """Raise EngineError if nobody listens at the addresses of a standalone master."""
    if not master.startswith("spark://"):
        return
    for address in master.removeprefix("spark://").split(","):
        with contextlib.suppress(OSError, ValueError):
            found = urlsplit(f"//{address}")
            socket.create_connection((found.hostname, found.port), CONNECT_TIMEOUT).close()
            return
    raise EngineError(f"no Spark master answers at {master}: is it started, and is the port right?")


def _check_java() -> None:
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else "java"
    if shutil.which(java) is None:
        where = f"at JAVA_HOME ({home})" if home else "on the PATH"
        raise ConfigError(f"--engine spark needs Java, and there is none {where}: {INSTALL_JAVA}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', said)  # Java 8 calls itself 1.8
    if found is None or int(found[1]) < JAVA:
        version = found[1] if found else "of an unknown version"
        raise ConfigError(
            f"--engine spark needs Java {JAVA} or later, and {java} is {version}: {INSTALL_JAVA}"
        )
