"""Random edits of a raw tree, as people and downloads make them: for tests of scans that update."""

from __future__ import annotations

import gzip
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path

IMAGES = (".png", ".jpg", ".dcm", ".gz")
OLD = 1_500_000_000
TABLES = (".csv", ".tsv", ".json", ".txt", ".xml")
Edit = Callable[[Path, random.Random], None]


def walk(tree: Path) -> list[Path]:
    """Return every folder and file of a tree, also those in folders that are links."""
    found = [tree]
    for folder, below, names in os.walk(tree, followlinks=True):
        found += [Path(folder) / name for name in (*below, *names)]
    return sorted(found)


def files(tree: Path, *suffixes: str) -> list[Path]:
    return [p for p in walk(tree) if p.suffix in suffixes and p.is_file() and not p.is_symlink()]


def images(tree: Path) -> list[Path]:
    return [p for p in files(tree, *IMAGES) if ".csv" not in p.name]


def reports(tree: Path) -> list[Path]:
    return [p for p in files(tree, ".txt", ".xml") if re.search(r"\d", p.stem)]


def change(tree: Path, rng: random.Random) -> None:
    path = rng.choice(images(tree))
    path.write_bytes(path.read_bytes() + b"\0")


def change_report(tree: Path, rng: random.Random) -> None:
    if found := reports(tree):
        path = rng.choice(found)
        path.write_bytes(path.read_bytes().replace(b"the", b"teh", 1) + b"\n")


def same_size(tree: Path, rng: random.Random) -> None:
    path = rng.choice(images(tree))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def touch(tree: Path, rng: random.Random) -> None:
    for path in rng.sample(images(tree), 2):
        path.touch()


def remove(tree: Path, rng: random.Random) -> None:
    rng.choice(images(tree)).unlink()


def remove_report(tree: Path, rng: random.Random) -> None:
    if found := reports(tree):
        rng.choice(found).unlink()


def rename(tree: Path, rng: random.Random) -> None:
    path = rng.choice(images(tree))
    path.rename(path.with_name(f"x{path.name}"))


def swap(tree: Path, rng: random.Random) -> None:
    one, other = rng.sample(images(tree), 2)
    first, second = one.read_bytes(), other.read_bytes()
    one.write_bytes(second)
    other.write_bytes(first)


def exchange(tree: Path, rng: random.Random) -> None:
    """Exchange two files by renames: their sizes, times and inodes move with them."""
    one, other = rng.sample(images(tree), 2)
    held = one.with_name("held")
    one.rename(held)
    other.rename(one)
    held.rename(other)


def break_file(tree: Path, rng: random.Random) -> None:
    path = rng.choice(images(tree))
    path.write_bytes(path.read_bytes()[: rng.randrange(200)])


def move(tree: Path, rng: random.Random) -> None:
    """Move an image into the folder of another study."""
    one, other = rng.sample(images(tree), 2)
    if not (other.parent / one.name).exists():
        one.rename(other.parent / one.name)


def copy(tree: Path, rng: random.Random) -> None:
    """Copy an image, with its time, into another folder."""
    one, other = rng.sample(images(tree), 2)
    if not (other.parent / one.name).exists():
        shutil.copy2(one, other.parent / one.name)


def add_study(tree: Path, rng: random.Random) -> None:
    """Copy a folder under the name of another study, of the same patient or of a new one."""
    folder = rng.choice(images(tree)).parent
    while folder.parent != tree and rng.random() < 0.5:
        folder = folder.parent
    name = re.sub(r"\d(?=\D*$)", lambda d: str((int(d[0]) + 1) % 10), folder.name)
    if folder != tree and not (folder.parent / name).exists():
        shutil.copytree(folder, folder.parent / name)


def remove_folder(tree: Path, rng: random.Random) -> None:
    folder = rng.choice(images(tree)).parent
    if folder.is_symlink():
        folder.unlink()
    elif len(images(tree)) > 2 * len(images(folder)):
        shutil.rmtree(folder)


def stray(tree: Path, rng: random.Random) -> None:
    """Add a file that is no image of the collection."""
    (rng.choice(images(tree)).parent / f"notes{rng.randrange(9)}.md").write_text("x")


def add_quietly(tree: Path, rng: random.Random) -> None:
    """Copy an image into another folder, and set the folder's time back, as tar and rsync do."""
    one, other = rng.sample(images(tree), 2)
    before = other.parent.stat()
    if not (other.parent / one.name).exists():
        shutil.copy2(one, other.parent / one.name)
        os.utime(other.parent, ns=(before.st_atime_ns, before.st_mtime_ns))


def exchange_folders(tree: Path, rng: random.Random) -> None:
    """Exchange two folders that have the same time."""
    one, other = (path.parent for path in rng.sample(images(tree), 2))
    if one in (other, *other.parents) or other in one.parents:
        return
    held = tree / "held"
    one.rename(held)
    other.rename(one)
    held.rename(other)
    for path in {one, other, one.parent, other.parent, tree}:
        os.utime(path, (OLD, OLD))


def deepen(tree: Path, rng: random.Random) -> None:
    """Put a folder one level deeper."""
    folder = rng.choice(images(tree)).parent
    if folder != tree and not (folder.parent / "more").exists():
        (folder.parent / "more").mkdir()
        folder.rename(folder.parent / "more" / folder.name)


def other_case(tree: Path, rng: random.Random) -> None:
    path = rng.choice(images(tree))
    path.rename(path.with_name(path.name.swapcase()))


def hide(tree: Path, rng: random.Random) -> None:
    path = rng.choice(images(tree))
    path.rename(path.with_name(f".{path.name}"))


def no_file(tree: Path, rng: random.Random) -> None:
    """Put a folder or a FIFO in the place of an image."""
    path = rng.choice(images(tree))
    path.unlink()
    if rng.random() < 0.5:
        path.mkdir()
    else:
        os.mkfifo(path)


def same_table(tree: Path, rng: random.Random) -> None:
    """Put a table with the same bytes in the place of a table."""
    found = sorted(p for p in tree.rglob("*") if p.name.lower().endswith((*TABLES, ".csv.gz")))
    if found := [path for path in found if not re.search(r"\d", path.stem)] or found:
        path = rng.choice(found)
        path.write_bytes(path.read_bytes())


def edit_digests(tree: Path, rng: random.Random) -> None:
    """Take a line out of the collection's list of digests, or change a digest."""
    if found := sorted(tree.rglob("SHA256SUMS.txt")):
        lines = found[0].read_text().splitlines(keepends=True)
        at = rng.randrange(len(lines))
        lines[at] = "" if rng.random() < 0.5 else f"{rng.randrange(10)}{lines[at][1:]}"
        found[0].write_text("".join(lines))


def pack(tree: Path, rng: random.Random) -> None:
    """Put an archive beside a folder, with what is in it."""
    folder = rng.choice(images(tree)).parent
    if folder != tree:
        shutil.make_archive(str(folder), "zip", folder)


def edit_table(tree: Path, rng: random.Random) -> None:
    if found := [p for p in files(tree, ".csv") if p.stat().st_size]:
        path = rng.choice(found)
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        if len(lines) > 4:
            del lines[rng.randrange(1, len(lines))]
        path.write_text("".join(lines), encoding="utf-8")


def tables(tree: Path) -> list[Path]:
    named = [path for path in walk(tree) if path.name.lower().endswith((".csv", ".csv.gz"))]
    return [path for path in named if path.stat().st_size and not path.is_symlink()]


def unpacked(table: Path) -> list[str]:
    data = table.read_bytes()
    text = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
    return text.decode().splitlines(keepends=True)


def write(table: Path, lines: list[str]) -> None:
    data = "".join(lines).encode()
    table.write_bytes(gzip.compress(data, mtime=0) if table.suffix == ".gz" else data)


def edit_row(tree: Path, rng: random.Random) -> None:
    """Change, repeat, remove or move a row of a table, which may be packed."""
    if found := tables(tree):
        path = rng.choice(found)
        lines = unpacked(path)
        at = rng.randrange(1, max(2, len(lines)))
        if at < len(lines):
            changed = re.sub(r"PA|AP|LL|[FM](?=,)|[0-9](?=\D*$)", rng.choice("123"), lines[at])
            ways = ([changed], [lines[at]] * 2, [], [lines[at], "x,y\n"])
            lines[at : at + 1] = rng.choice(ways)
            if rng.random() < 0.3:
                lines.insert(rng.randrange(1, len(lines) + 1), lines.pop())
        write(path, lines)


def repack(tree: Path, rng: random.Random) -> None:
    """Put the packed form of a table in its place, or the unpacked form."""
    if found := tables(tree):
        path = rng.choice(found)
        lines = unpacked(path)
        path.unlink()
        is_packed = path.suffix == ".gz"
        write(path.with_suffix("") if is_packed else path.with_name(f"{path.name}.gz"), lines)


def add_film(tree: Path, rng: random.Random) -> None:
    """Add an image and its row, at the end of the table or between others."""
    for table in tree.glob("films.csv"):
        lines = unpacked(table)
        name = f"film{rng.randrange(20, 99)}.png"
        shutil.copy(rng.choice(images(tree)), tree / name)
        row = re.sub(r"[^,/]*\.png", name, rng.choice(lines[1:]))
        lines.insert(rng.choice((len(lines), 1)), row)
        write(table, lines)


def outside(tree: Path, rng: random.Random) -> Path:
    folder = tree.parent / "elsewhere" / f"{rng.random()}"
    folder.mkdir(parents=True)
    return folder


def lead_out(tree: Path, rng: random.Random) -> None:
    """Move an image out of the tree, and put a link to it in its place: the state is the same."""
    path = rng.choice(images(tree))
    path.symlink_to(path.rename(outside(tree, rng) / path.name))


def lead_in(tree: Path, rng: random.Random) -> None:
    """Put the file to which a link leads in the place of the link."""
    links = [path for path in walk(tree) if path.is_symlink() and path.is_file()]
    if links:
        path = rng.choice(links)
        path.resolve().replace(path)


def folder_out(tree: Path, rng: random.Random) -> None:
    """Move a folder out of the tree, and put a link to it in its place."""
    folder = rng.choice(images(tree)).parent
    while folder.parent != tree and rng.random() < 0.4:
        folder = folder.parent
    if folder != tree and not folder.is_symlink():
        folder.symlink_to(folder.rename(outside(tree, rng) / "moved"))


def other_folder(tree: Path, rng: random.Random) -> None:
    """Have a link lead to another folder."""
    links = [path for path in walk(tree) if path.is_symlink() and path.is_dir()]
    if links:
        path, target = rng.choice(links), rng.choice(images(tree)).parent.resolve()
        if not path.resolve().is_relative_to(target):
            path.unlink()
            if target.exists() and not path.parent.resolve().is_relative_to(target):
                path.symlink_to(target)


def other_name(tree: Path, rng: random.Random) -> None:
    """Give an image a name that is not UTF-8, or one with an accent in two characters."""
    path = rng.choice(images(tree))
    word = os.fsdecode(rng.choice((b"\xe9", "\u0065\u0301".encode(), "\u00e9".encode())))
    path.rename(path.with_name(word + path.name))


def second_name(tree: Path, rng: random.Random) -> None:
    """Give an image a second name by a hard link."""
    one, other = rng.sample(images(tree), 2)
    if not (other.parent / one.name).exists():
        os.link(one, other.parent / one.name)


def later(tree: Path, rng: random.Random) -> None:
    """Change an image while the clock is ahead."""
    path = rng.choice(images(tree))
    path.write_bytes(path.read_bytes() + b"\1")
    os.utime(path, (4_000_000_000 + rng.randrange(9),) * 2)


def change_side(tree: Path, rng: random.Random) -> None:
    """Change a file of JSON beside an image."""
    if found := files(tree, ".json"):
        path = rng.choice(found)
        path.write_text(path.read_text().replace("1", "2", 1))


def link(tree: Path, rng: random.Random) -> None:
    """Replace an image by a link to another."""
    one, other = rng.sample(images(tree), 2)
    one.unlink()
    one.symlink_to(os.path.relpath(other, one.parent))


def link_folder(tree: Path, rng: random.Random) -> None:
    folder = rng.choice(images(tree)).parent
    at = folder.with_name(f"{folder.name}9")
    if folder != tree and not at.exists():
        at.symlink_to(folder.name)


EDITS: dict[str, Edit] = {
    each.__name__: each
    for each in (change, change_report, same_size, touch, remove, remove_report, rename, swap,
                 exchange, break_file, move, copy, add_study, remove_folder, stray, edit_table,
                 link, link_folder, add_quietly, exchange_folders, deepen, other_case, hide,
                 no_file, same_table, edit_digests, pack, edit_row, repack, add_film, lead_out,
                 lead_in, folder_out, other_folder, other_name, second_name, later, change_side)
}  # fmt: skip
