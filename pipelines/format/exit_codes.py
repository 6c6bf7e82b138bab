"""The exit codes of the commands, from sysexits.h where it has one.

They are not part of the format. They are here because `pipelines` and `train` both use them and
share only this package. `nlp` imports neither and has its own two (nlp/cli.py).
"""

OK = 0
CONFIG = 2  # wrong arguments or parameters, as argparse gives it
DATA = 65  # EX_DATAERR: data that breaks its contract, or too much bad data
UNAVAILABLE = 69  # EX_UNAVAILABLE: an engine that cannot start, lost its workers, or stalls
IO = 74  # EX_IOERR: a disk that is full, unreadable or read-only
LOCKED = 75  # EX_TEMPFAIL: another run holds the lock on the output
STOPPED = 130  # stopped by the user
