"""Sources behind an address: files of the web and data sets of the Hugging Face hub, fetched once into a cache folder.

What is fetched is whole or absent. Not for crawling: one address is one file or one data set.
"""

import hashlib
import os
import re
import urllib.request
from collections.abc import Iterator
from fnmatch import fnmatch
from glob import escape
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit

from genus.core.errors import GenusError
from genus.core.files import new_folder
from genus.core.progress import progress
from genus.data.sources.kinds import kind_of
from genus.data.sources.limits import Limits

__all__ = ["fetched"]

_HUB = "hf://datasets/"
_WEB = ("http://", "https://")
_DATASET = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?:/([^@?#]+))?")
_PATIENCE = 60  # seconds without a byte
_BY_TYPE = {"text/html": ".html", "text/plain": ".txt", "application/json": ".json", "application/x-ndjson": ".jsonl"}


def fetched(source: str, cache: Path | None = None) -> Path:
    """The file or folder of an address in `cache`, fetched where it is not there yet. Raises GenusError if that fails."""
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "genus" / "sources"
    place = cache / hashlib.sha256(source.encode()).hexdigest()[:16]
    here = sorted(place.iterdir()) if place.is_dir() else []
    if not here:
        with new_folder(place) as folder:
            (_fetch_file if source.startswith(_WEB) else _fetch_dataset)(source, folder)
        here = sorted(place.iterdir())
    return here[0]


def _fetch_file(address: str, folder: Path) -> None:
    try:
        reply = _opener().open(urllib.request.Request(address, headers={"User-Agent": "genus"}), timeout=_PATIENCE)
    except (OSError, HTTPException, ValueError) as error:
        if isinstance(error, HTTPError):
            error.close()
        raise _unreachable(address, error) from error
    with reply:
        total = int(reply.headers.get("Content-Length") or 0)
        if total > Limits.FETCHED:
            raise _too_large(address, total)
        name, done = _file_name(address, reply.headers.get_content_type()), 0
        with (folder / name).open("wb") as file, progress(f"fetching {name}", total) as update:
            for chunk in _chunks(address, reply):
                done += file.write(chunk)
                update(done, "")
                if done > Limits.FETCHED:
                    raise _too_large(address, done)
    if total and done != total:  # urllib says nothing of a connection that ends too soon
        raise _unreachable(address, f"it ended after {done} of {total} bytes")


def _chunks(address: str, reply: Any) -> Iterator[bytes]:
    try:
        while chunk := reply.read(2**20):
            yield chunk
    except (OSError, HTTPException) as error:
        raise _unreachable(address, error) from error


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Leads to the web only, and never from an encrypted connection to a plain one."""

    def redirect_request(  # noqa: PLR0917 - as urllib has it
        self, req: Any, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        """The next request. Raises OSError where it would lead elsewhere."""
        if not newurl.lower().startswith(_WEB if req.type == "http" else _WEB[1:]):
            raise OSError(f"it redirects to {newurl[:100]!a}, which is not followed")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _opener() -> urllib.request.OpenerDirector:
    # Not build_opener: that also opens file:// and ftp://.
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


def _file_name(address: str, content_type: str) -> str:
    """The last part of the address; with an ending that tells the kind, from the reply's type where it has none."""
    name = re.sub(r"[^\w.-]", "_", PurePosixPath(unquote(urlsplit(address).path)).name).lstrip(".")[-100:] or "page"
    return name if kind_of(name) else name + _BY_TYPE.get(content_type, "")


def _fetch_dataset(address: str, folder: Path) -> None:
    match = _DATASET.fullmatch(address.removeprefix(_HUB))
    if match is None:
        raise GenusError(
            f"{address[:80]!a} is not a data set of the hub; write hf://datasets/OWNER/NAME, then @REVISION, /FILES"
        )
    from huggingface_hub import HfApi, snapshot_download

    name, revision, below = match.groups()
    try:
        found = HfApi().dataset_info(name, revision=revision, files_metadata=True)
        sizes = {entry.rfilename: entry.size or 0 for entry in found.siblings or [] if _wanted(entry.rfilename, below)}
    except Exception as error:  # of many kinds: no network, no such name, gated
        raise _unreachable(address, error) from error
    if not sizes:
        raise GenusError(
            f"{address} has no files of a kind that is read; name others, as in hf://datasets/OWNER/NAME/data/*.txt"
        )
    if sum(sizes.values()) > Limits.FETCHED:
        raise _too_large(address, sum(sizes.values()))
    names, place = [escape(file) for file in sizes], folder / name.replace("/", "--")
    try:
        snapshot_download(name, repo_type="dataset", revision=found.sha, allow_patterns=names, local_dir=place)
    except Exception as error:
        raise _unreachable(address, error) from error


def _wanted(file: str, below: str | None) -> bool:
    """Of a data set: its data, not its card or the code that loads it, unless they are asked for."""
    if below:
        return fnmatch(file, below) or file.startswith(f"{below.rstrip('/')}/")
    return kind_of(file) not in ("", "code") and file != "README.md"


def _unreachable(address: str, error: Exception | str) -> GenusError:
    told = error if isinstance(error, HTTPError) else getattr(error, "reason", "") or error
    reason = (str(told).strip() or type(error).__name__).splitlines()[0][:200]
    return GenusError(f"{address} could not be fetched ({reason}); check the address and the network")


def _too_large(address: str, size: int) -> GenusError:
    return GenusError(
        f"{address} is {size} bytes or more, above {Limits.FETCHED}; fetch a part of it yourself and name that"
    )
