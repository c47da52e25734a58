"""The pages as they were built: a few files, held in memory."""

import mimetypes
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Site"]

_NOT_BUILT = "The pages of Genus were not built on installation (that needs the npm registry); the API works: /v1/models\n"


class Site:
    """Paths and contents. `built` tells whether there are any."""

    def __init__(self, folder: Path | None = None) -> None:
        folder = folder or Path(__file__).with_name("pages")
        found = (
            sorted(path for path in folder.rglob("*.*") if path.is_file() and path.suffix != ".sha256")
            if folder.is_dir()
            else []
        )
        self.files = {f"/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in found}
        self.built = "/index.html" in self.files
        self.files["/"] = self.files["/index.html"] if self.built else _NOT_BUILT.encode()

    async def answer(self, http: Request) -> Response:
        """A file. Names under assets/ hold a digest of their content, so they may be kept for ever."""
        path = http.scope["path"]
        kind = "text/html" if path == "/" and self.built else mimetypes.guess_type(path)[0] or "text/plain"
        kept = "public, max-age=31536000, immutable" if path.startswith("/assets/") else "no-cache"
        return Response(self.files[path], media_type=kind, headers={"cache-control": kept})
