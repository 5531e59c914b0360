"""Where a page and its figures are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pasctl.errors import InputError
from pasctl.report.page import Page, render
from pasctl.report.png import png, require_png
from pasctl.report.theme import standalone


@dataclass(frozen=True)
class Places:
    """Where a page and its figures go, each None for nowhere.

    Attributes:
        page: the HTML file.
        svg: folder of the figures as SVG files.
        png: folder of the figures as PNG files.
    """

    page: Path | None
    svg: Path | None = None
    png: Path | None = None

    @classmethod
    def of(cls, page: Path | str | None, *, svg: Path | str | None, png: Path | str | None) -> Places:
        """The places that a caller names."""
        return cls(*(None if each is None else Path(each) for each in (page, svg, png)))

    def require(self) -> None:
        """Refuse places that cannot be written to, before anything is read or computed.

        Raises:
            InputError: a folder is missing, or a file stands where a folder should or the other way round.
            MissingError: PNG files cannot be made here.
        """
        for path in filter(None, (self.page, self.svg, self.png)):
            if not path.absolute().parent.is_dir():
                raise InputError(
                    f"{path} cannot be written: there is no folder {path.parent}", hint="make the folder first"
                )
        if self.page is not None and self.page.is_dir():
            raise InputError(
                f"{self.page} is a folder, expected a file to write the page to", hint="such as report.html"
            )
        for folder in filter(None, (self.svg, self.png)):
            if folder.exists() and not folder.is_dir():
                raise InputError(f"{folder} is a file, expected a folder for the figures")
        if self.png is not None:
            require_png()

    def write(self, page: Page) -> tuple[Path, ...]:
        """Write the page and its figures, and give the figures' files."""
        if self.page is not None:
            with _writing(self.page):
                self.page.write_text(render(page), encoding="utf-8", newline="\n")
        written = []
        kinds: tuple[tuple[str, Path | None, Callable[[str], bytes]], ...] = (
            ("svg", self.svg, lambda drawn: standalone(drawn).encode()),
            ("png", self.png, png),
        )
        for ending, folder, encoded in kinds:
            if folder is None:
                continue
            with _writing(folder):
                folder.mkdir(exist_ok=True)
                for name, figure in page.figures():
                    path = folder / f"{name}.{ending}"
                    path.write_bytes(encoded(figure.wide))
                    written.append(path)
        return tuple(written)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
