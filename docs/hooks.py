"""What `mkdocs build` adds to the pages in docs/: the READMEs of the rooms, and generated tables.

README.md, CONTRIBUTING.md, CHANGELOG.md and the README of each room become pages of the site; they
are read at build time and not copied. Their links, written for a reader of the repository, are
rewritten: a link to another page stays a link, a link to a source file becomes one into `repo_url`,
or plain text where none is set. `<!-- fields -->`, `<!-- schema -->` and `<!-- codes -->` are
replaced, up to `<!-- end -->`, by what the code says.
"""

from __future__ import annotations

import json
import posixpath
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / ".src"))  # the registries are read from this checkout

PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    **{f"{room}/README.md": f"{room}.md" for room in ("nlp", "pipelines", "train", "benchmarks")},
}
ORIGINS = {page: path for path, page in PAGES.items()}
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
MARK = re.compile(r"<!-- (fields|schema|codes) -->.*?<!-- end -->", re.S)
FENCE = re.compile(r"^```.*?^```[^\n]*$", re.S | re.M)


def on_files(files: Files, config: Any) -> Files:
    """Add a page for each README; raise PluginError where one is missing."""
    for path, page in PAGES.items():
        if not (ROOT / path).is_file():
            raise PluginError(f"{path} is missing: the page {page} is made of it")
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """Return a page's text with its tables filled in and its links rewritten."""
    uri = page.file.src_uri
    origin = ORIGINS.get(uri, f"docs/{uri}")
    filled = MARK.sub(lambda match: GENERATED[match[1]](), markdown)
    return relinked(filled, origin, config.repo_url)


def relinked(text: str, origin: str, repository: str | None) -> str:
    """Return Markdown with the links of a file of the repository made links of the site."""
    done, last = [], 0
    for fence in FENCE.finditer(text):
        done += [_relinked(text[last : fence.start()], origin, repository), fence[0]]
        last = fence.end()
    return "".join([*done, _relinked(text[last:], origin, repository)])


def _relinked(text: str, origin: str, repository: str | None) -> str:
    def changed(match: re.Match[str]) -> str:
        image, words, target = match.groups()
        link = site_link(target, origin, repository)
        return f"{image}[{words}]({link})" if link else words

    return LINK.sub(changed, text)


def site_link(target: str, origin: str, repository: str | None) -> str:
    """Return where a link of the file `origin` leads on the site; "" where it leads nowhere."""
    path, hash_, anchor = target.partition("#")
    if "://" in target or target.startswith("mailto:") or not path:
        return target
    real = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
    if real in PAGES:
        return f"{PAGES[real]}{hash_}{anchor}"
    if real.startswith("docs/") and not real.endswith(".py"):
        return f"{real.removeprefix('docs/')}{hash_}{anchor}"
    return f"{repository.rstrip('/')}/blob/main/{real}" if repository else ""


def fields() -> str:
    """Return the table of the fields of a sample."""
    from cxr_vlp.pipelines.format import schema

    return schema.markdown().replace("| field | type | |", "| field | type | meaning |")


def json_schema() -> str:
    """Return the JSON Schema of a sample and of the manifest, "" where the package has none."""
    path = ROOT / "pipelines" / "format" / "schema.json"
    if not path.is_file():
        return ""
    text = json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=2)
    about = "`pipelines/format/schema.json`, for validators in any language:"
    return f"## JSON Schema\n\n{about}\n\n```json\n{text}\n```\n"


def codes() -> str:
    """Return a table for each stage of the registry: code, meaning, remedy."""
    from cxr_vlp.pipelines import codes as registry

    page = getattr(registry, "PAGE", None) or (
        ("Rejects and notes of `scan`", registry.SCAN),
        ("Rejects and notes of `texts`", registry.TEXTS),
        ("Rejects and notes of `shards`", registry.SHARDS),
    )
    return "\n".join(line for title, held in page for line in _table(title, held))


def _table(title: str, held: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    yield from (f"\n## {title}\n", "| code | meaning | remedy |", "|---|---|---|")
    for code, (meaning, remedy) in sorted(held.items()):
        yield f"| `{code}` | {_cell(meaning)} | {_cell(remedy)} |"


def _cell(words: str) -> str:
    return words.replace("|", r"\|")


GENERATED: Mapping[str, Callable[[], str]] = {
    "fields": fields,
    "schema": json_schema,
    "codes": codes,
}
