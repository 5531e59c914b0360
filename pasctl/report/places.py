"""Where a page and its figures are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pasctl.errors import InputError
from pasctl.report.blocks import WIDE

if TYPE_CHECKING:
    from pasctl.report.blocks import Drawn
    from pasctl.report.page import Page


@dataclass(frozen=True)
class Places:
    """Where a page and its figures go, each None for nowhere.

    Attributes:
        page: the HTML file.
        svg: folder of the figures as SVG files.
        png: folder of the figures as PNG files.
        pdf: folder of the figures as PDF files.
    """

    page: Path | None
    svg: Path | None = None
    png: Path | None = None
    pdf: Path | None = None

    @classmethod
    def of(
        cls,
        page: Path | str | None,
        *,
        svg: Path | str | None = None,
        png: Path | str | None = None,
        pdf: Path | str | None = None,
    ) -> Places:
        """The places that a caller names."""
        return cls(*(None if path is None else Path(path) for path in (page, svg, png, pdf)))

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those of figures."""
        return tuple(filter(None, (self.svg, self.png, self.pdf)))

    def require(self) -> None:
        """Refuse places that cannot be written to, before anything is read or computed.

        Raises:
            InputError: a folder is missing, or a file stands where a folder should or the other way round.
        """
        for path in filter(None, (self.page, *self.folders)):
            if not path.absolute().parent.is_dir():
                raise InputError(
                    f"{path} cannot be written: there is no folder {path.parent}", hint="make the folder first"
                )
        if self.page is not None and self.page.is_dir():
            raise InputError(
                f"{self.page} is a folder, expected a file to write the page to", hint="such as report.html"
            )
        for folder in self.folders:
            if folder.exists() and not folder.is_dir():
                raise InputError(f"{folder} is a file, expected a folder for the figures")

    def write(self, page: Page) -> tuple[Path, ...]:
        """Write the page and its figures, and give the figures' files."""
        from pasctl.report.encode import pdf, png, standalone
        from pasctl.report.page import render

        if self.page is not None:
            self.write_html(render(page))
        kinds: tuple[tuple[str, Path | None, Callable[[Drawn], bytes]], ...] = (
            ("svg", self.svg, lambda drawn: standalone(drawn.draw(WIDE), drawn.title, drawn.caption).encode()),
            ("png", self.png, lambda drawn: png(drawn.draw(WIDE))),
            ("pdf", self.pdf, lambda drawn: pdf(drawn.draw(WIDE))),
        )
        written = []
        for ending, folder, encoded in kinds:
            if folder is None:
                continue
            with _writing(folder):
                folder.mkdir(exist_ok=True)
                for name, figure in page.figures():
                    path = folder / f"{name}.{ending}"
                    path.write_bytes(encoded(figure))
                    written.append(path)
        return tuple(written)

    def write_html(self, html: str) -> None:
        """Write the page alone, if it has a place."""
        if self.page is not None:
            with _writing(self.page):
                self.page.write_text(html, encoding="utf-8", newline="\n")


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror or error}") from error
