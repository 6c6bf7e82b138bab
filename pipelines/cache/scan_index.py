"""The index of an inventory: which files gave which studies, which patients, and which parts.

`scan` writes it into the inventory's folder as index.sqlite, and compares the next listing of the
tree with it: then only what changed is read, joined and written. It may be deleted: then the next
scan lists the whole tree. It is never changed in place. A scan writes another and puts it there, so
that whoever has the old one open reads the old one. Every row has a digest; a row that does not
match it makes the whole index count as absent.

    files     name -> size, time, inode, facts       what was read (file_index.py)
    official  path -> sha256                         the collection's own digests
    folders   path -> its names with their states    the listing (tree_listing.py)
    owners    path -> study                          whose rows name a file
    studies   study -> patient, given, rows, made    digests of the rows of the tables; all rows;
                                                     what they add to counts
    patients  patient -> made                        what reading the patient's files adds to them
    lines     part, key -> patient                   the lines of the parts, in their order
    facts     name -> value                          of the run as a whole
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_vlp.pipelines.cache import file_index, row_digest
from cxr_vlp.pipelines.cache.file_index import State, name_of
from cxr_vlp.pipelines.cache.tree_listing import Folder
from cxr_vlp.pipelines.files.csv_tables import Row

NAME = "index.sqlite"
VERSION = 4  # of the tables below, and of the facts
FACTS = "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT, digest BLOB)"
SET_FILE = "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?)"
TABLES = (
    file_index.TABLE,
    "CREATE TABLE official (path BLOB PRIMARY KEY, sha256 TEXT, digest BLOB) WITHOUT ROWID",
    "CREATE TABLE folders (path BLOB PRIMARY KEY, text TEXT, digest BLOB)",
    "CREATE TABLE owners (path BLOB, study TEXT, digest BLOB, PRIMARY KEY (path, study))"
    " WITHOUT ROWID",
    "CREATE TABLE studies (study TEXT PRIMARY KEY, patient TEXT, given BLOB, rows BLOB, made TEXT,"
    " digest BLOB)",
    "CREATE TABLE patients (patient TEXT PRIMARY KEY, made TEXT, digest BLOB)",
    "CREATE TABLE lines (part TEXT, key TEXT, patient TEXT, digest BLOB, PRIMARY KEY (part, key))"
    " WITHOUT ROWID",
    FACTS,
)
INDICES = (
    "CREATE INDEX IF NOT EXISTS of_patient ON studies (patient)",
    "CREATE INDEX IF NOT EXISTS lines_of_patient ON lines (patient)",
)
SPEED = ("synchronous = OFF", "journal_mode = OFF", "locking_mode = EXCLUSIVE",
         "cache_size = -16384", f"user_version = {VERSION}")  # fmt: skip
OF_DISK = (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY,
           sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_PERM)  # fmt: skip
LARGE = 400  # characters of a study's rows from which on they are compressed
Rows = Mapping[str, Sequence[tuple[str, Row]]]  # table -> (file that gave the row or "", row)


class DamagedError(Exception):
    """An index cannot be used: a row does not match its digest, or a page is damaged."""


@dataclass(frozen=True)
class StudyRow:
    """What the index holds of one study."""

    study: str
    patient: str  # "" for a study of which nothing is left
    given: bytes  # digests of the rows of the tables that are read as a whole (scan_join.py)
    rows: Rows
    made: Mapping[str, Any]  # what it adds to the counts


class ScanIndex:
    """One index, open; see the module. Errors of a damaged database become DamagedError."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._empty: set[str] = set()  # tables that have no row, and need no look-up

    @classmethod
    def new(cls, path: Path) -> ScanIndex:
        """Create an empty index in a new file."""
        return cls._to_write(path, TABLES)

    @classmethod
    def copied(cls, old: Path, path: Path) -> ScanIndex:
        """Copy an index to a file of its own, which is then changed."""
        shutil.copyfile(old, path)
        return cls._to_write(path)

    def learn(self, others: Iterable[Path], root: str) -> None:
        """Copy what other indices know of the files of a root; of a damaged one, what can be read.

        Another root may be on another disk, whose inodes say nothing here.
        """
        for path in others:
            other = self.opened(path)
            if other is None:
                continue
            with contextlib.closing(other._database):
                try:
                    if other.fact("root") == root:
                        # row by row: what was copied before a damaged page stays
                        self._many(SET_FILE, other._all("SELECT * FROM files"))
                except DamagedError:
                    row_digest.DISCARDED.add()
        if self._one("SELECT 1 FROM files LIMIT 1") is None:
            self._empty.add("files")  # what is stored from here on is asked for by nobody

    def save(self) -> None:
        """Write to the disk what was stored so far, and go on."""
        with _faults():
            self._database.execute("COMMIT")
            self._database.execute("BEGIN")

    @classmethod
    def _to_write(cls, path: Path, tables: Iterable[str] = ()) -> ScanIndex:
        address = path.absolute().as_uri()
        database = sqlite3.connect(address, uri=True, isolation_level=None)
        with _faults():
            for pragma in SPEED:  # a file that a killed run leaves is never read
                database.execute(f"PRAGMA {pragma}")
            database.execute("BEGIN")
            for table in tables:
                database.execute(table)
        return cls(database)

    @classmethod
    def opened(cls, path: Path) -> ScanIndex | None:
        """Open an index to read it; None if there is none, or one of another version."""
        if not path.is_file():
            return None
        try:
            found = cls(file_index.reading(path))
            (version,) = found._one("PRAGMA user_version")
        except (DamagedError, sqlite3.Error):
            row_digest.DISCARDED.add()
            return None
        return found if version == VERSION else None

    @classmethod
    @contextlib.contextmanager
    def appended(cls, path: Path) -> Iterator[ScanIndex]:
        """Yield an index of files that outlives a killed run; in memory if it cannot be written."""
        try:
            made = cls._partial(path)
        except sqlite3.Error:  # locked, damaged, or a disk that is full
            made = cls._partial(Path(":memory:"))
        try:
            yield made
        finally:
            with contextlib.suppress(sqlite3.Error):
                made._database.execute("COMMIT")
            made._database.close()

    @classmethod
    def _partial(cls, path: Path) -> ScanIndex:
        database = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        database.execute("PRAGMA synchronous = OFF")
        database.execute(f"PRAGMA user_version = {VERSION}")
        for table in (file_index.TABLE, FACTS):
            database.execute(table)
        database.execute("BEGIN")
        return cls(database)

    def close(self) -> None:
        """Write what waits, and close the file."""
        if self._database.in_transaction:
            with _faults():
                for sql in INDICES:
                    self._database.execute(sql)
                self._database.execute("COMMIT")
        self._database.close()

    def _one(self, sql: str, *values: Any) -> Any:
        return next(self._all(sql, *values), None)

    def _all(self, sql: str, *values: Any) -> Iterator[Any]:
        with _faults():
            yield from self._database.execute(sql, values)

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        with _faults():
            self._database.executemany(sql, rows)

    def fact(self, name: str) -> Any:
        """Return a fact of the run; None if it is not there."""
        row = self._one("SELECT * FROM facts WHERE name = ?", name)
        return json.loads(_checked(row)[1]) if row else None

    def set_fact(self, name: str, value: Any) -> None:
        """Store a fact of the run, a JSON value."""
        row = (name, json.dumps(value, sort_keys=True))
        self._many("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", [_signed(*row)])

    def folder(self, path: str) -> Folder | None:
        """Return the listing of a folder."""
        row = self._one("SELECT * FROM folders WHERE path = ?", name_of(path))
        return Folder.of(*_folder(row)) if row else None

    def folders(self, rows: range) -> Iterator[tuple[int, str, str]]:
        """Yield (row, path, text) of the folders in some rows of their table."""
        asked = "SELECT rowid, * FROM folders WHERE rowid >= ? AND rowid < ?"
        for row, *folder in self._all(asked, rows.start, rows.stop):
            yield row, *_folder(folder)

    def folder_of(self, row: int) -> tuple[str, str]:
        """Return (path, text) of a folder. Raises DamagedError if the row is lost."""
        found = self._one("SELECT * FROM folders WHERE rowid = ?", row)
        if found is None:
            raise DamagedError
        return _folder(found)

    def last_folder(self) -> int:
        """Return the last row of the table of folders, 0 if it is empty."""
        (last,) = self._one("SELECT MAX(rowid) FROM folders")
        return int(last or 0)

    def number_of_folders(self) -> int:
        """Return the number of folders, counted by their names and not by their rows."""
        (number,) = self._one("SELECT COUNT(path) FROM folders")
        return int(number)

    def set_folders(self, found: Iterable[Folder]) -> None:
        """Store listings of folders."""
        pairs = ((name_of(each.path), each.text()) for each in found)
        rows = ((path, text, _of_folder(path, text)) for path, text in pairs)
        self._many("INSERT OR REPLACE INTO folders VALUES (?, ?, ?)", rows)

    def folder_paths(self) -> Iterator[str]:
        """Yield the paths of all folders."""
        for (path,) in self._all("SELECT path FROM folders"):
            yield path.decode("utf-8", "surrogateescape")

    def remove_folders(self, gone: Iterable[str]) -> None:
        """Remove folders that are no longer there."""
        self._many("DELETE FROM folders WHERE path = ?", ((name_of(path),) for path in gone))

    def read_facts(self, names: Iterable[str]) -> Iterator[tuple[str, tuple[State, Any]]]:
        """Yield (name, (state, facts)) of the files that are known; damaged rows are counted."""
        for name in names if "files" not in self._empty else ():
            row = self._one("SELECT * FROM files WHERE name = ?", name_of(name))
            found = file_index.kept(row) if row else None
            if found is not None:
                yield name, found

    def set_facts(self, found: Iterable[tuple[str, State, Any]]) -> None:
        """Store (name, state, facts) of files that were read."""
        self._many(SET_FILE, file_index.rows(found))

    def official(self, paths: Iterable[str]) -> dict[str, str]:
        """Return path -> digest, of the files that the collection's own lists name."""
        found = {}
        for path in paths:
            row = self._one("SELECT * FROM official WHERE path = ?", name_of(path))
            if row:
                found[path] = str(_checked(row)[1])
        return found

    def set_official(self, rows: Iterable[tuple[str, str]]) -> None:
        """Store (path, digest) of the collection's own lists."""
        signed = (_signed(name_of(path), sha256) for path, sha256 in rows)
        self._many("INSERT OR REPLACE INTO official VALUES (?, ?, ?)", signed)

    def owners(self, path: str) -> list[str]:
        """Return the studies whose rows name a file."""
        found = self._all("SELECT * FROM owners WHERE path = ?", name_of(path))
        return [_checked(row)[1] for row in found]

    def set_owners(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Store (path, study)."""
        rows = (_signed(name_of(path), study) for path, study in pairs)
        self._many("INSERT OR IGNORE INTO owners VALUES (?, ?, ?)", rows)

    def study(self, study: str) -> StudyRow | None:
        """Return a study."""
        row = self._one("SELECT * FROM studies WHERE study = ?", study)
        return _study(row) if row else None

    def studies_of(self, patient: str) -> list[StudyRow]:
        """Return the studies of a patient."""
        return [
            _study(row) for row in self._all("SELECT * FROM studies WHERE patient = ?", patient)
        ]

    def set_studies(self, found: Iterable[StudyRow]) -> None:
        """Store studies."""
        rows = (_signed(s.study, s.patient, s.given, _packed(s.rows), _json(s.made)) for s in found)
        self._many("INSERT OR REPLACE INTO studies VALUES (?, ?, ?, ?, ?, ?)", rows)

    def given(self) -> Iterator[tuple[str, bytes]]:
        """Yield (study, `given`) of all studies; a damaged one differs from what a table gives."""
        yield from self._all("SELECT study, given FROM studies")

    def remove_study(self, study: str) -> None:
        """Remove a study that no row names."""
        self._many("DELETE FROM studies WHERE study = ?", [(study,)])

    def patient(self, patient: str) -> Any:
        """Return what a patient adds to the counts; None for an unknown one."""
        row = self._one("SELECT * FROM patients WHERE patient = ?", patient)
        return json.loads(_checked(row)[1]) if row else None

    def set_patients(self, found: Iterable[tuple[str, Any]]) -> None:
        """Store what patients add to the counts."""
        rows = (_signed(patient, _json(made)) for patient, made in found)
        self._many("INSERT OR REPLACE INTO patients VALUES (?, ?, ?)", rows)

    def remove_patient(self, patient: str) -> None:
        """Remove a patient, and the lines of the patient's studies."""
        self._many("DELETE FROM patients WHERE patient = ?", [(patient,)])
        self._many("DELETE FROM lines WHERE patient = ?", [(patient,)])

    def parts_of(self, patient: str) -> set[str]:
        """Return the parts that hold lines of a patient."""
        found = self._all("SELECT DISTINCT part FROM lines WHERE patient = ?", patient)
        return {part for (part,) in found}

    def lines(self, part: str) -> Iterator[tuple[str, str]]:
        """Yield (key, patient) of the lines of a part, in their order."""
        for row in self._all("SELECT * FROM lines WHERE part = ? ORDER BY key", part):
            yield _checked(row)[1], row[2]

    def remove_lines(self, part: str) -> None:
        """Remove all lines of a part; they are then set anew."""
        self._many("DELETE FROM lines WHERE part = ?", [(part,)])

    def number_of_lines(self) -> int:
        """Return the number of lines of all parts."""
        (number,) = self._one("SELECT COUNT(*) FROM lines")
        return int(number)

    def set_lines(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Store (part, key, patient) of lines."""
        self._many("INSERT INTO lines VALUES (?, ?, ?, ?)", (_signed(*row) for row in rows))


def place(state: Path, root: Path, out: Path) -> Path:
    """Return where the state folder keeps an index: a second name, for when `out` is removed."""
    name = hashlib.sha256(os.fsencode(f"{root}\0{out}")).hexdigest()[:16]
    return state / "scan" / f"{name}.sqlite"


def keep(index: Path, at: Path) -> None:
    """Give an index a second name in the state folder, or copy it there; it is no loss if not."""
    with contextlib.suppress(OSError):
        at.parent.mkdir(parents=True, exist_ok=True)
        at.unlink(missing_ok=True)
        try:
            os.link(index, at)
        except OSError:  # another file system
            shutil.copyfile(index, at)


@contextlib.contextmanager
def _faults() -> Iterator[None]:
    """Raise OSError for a full or unreadable disk, else DamagedError.

    SQLite's own message names no cell.
    """
    try:
        yield
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in OF_DISK:
            raise OSError(0, f"index of the scan: {error}") from None
        raise DamagedError from None


_json = json.JSONEncoder(separators=(",", ":")).encode  # a new encoder for each row takes as long


def _signed(*fields: Any) -> tuple[Any, ...]:
    return (*fields, row_digest.short(*fields))


def _checked(row: tuple[Any, ...]) -> tuple[Any, ...]:
    if row[-1] != row_digest.short(*row[:-1]):
        raise DamagedError
    return row


def _of_folder(path: bytes, text: str) -> bytes:
    return row_digest.of_bytes(path, text.encode())


def _folder(row: Sequence[Any]) -> tuple[str, str]:
    path, text, digest = row
    if digest != _of_folder(path, text):
        raise DamagedError
    return path.decode("utf-8", "surrogateescape"), text


def _study(row: tuple[Any, ...]) -> StudyRow:
    study, patient, given, rows, made, _ = _checked(row)
    return StudyRow(study, patient, given, _unpacked(rows), json.loads(made))


def _packed(rows: Rows) -> bytes:
    text = _json(rows).encode()
    return zlib.compress(text, 1) if len(text) > LARGE else text


def _unpacked(data: bytes) -> Rows:
    text = data if data[:1] == b"{" else zlib.decompress(data)
    found = json.loads(text)
    return {table: [(at, row) for at, row in rows] for table, rows in found.items()}
