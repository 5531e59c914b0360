"""Documents are known by their content: their words are read, other files refused in a line, texts stay as they are."""

from __future__ import annotations

import io
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from pasctl.errors import InputError, MissingError
from pasctl.memory import documents
from pasctl.memory.documents import kind_of
from pasctl.stages.text import Text

needs_converter = pytest.mark.skipif(find_spec("markitdown") is None, reason="needs pasctl[documents]")
WORDS = "The letter is behind the blue door"


def pdf(words: str) -> bytes:
    """A PDF of one page, written by hand."""
    stream = f"BT /F1 12 Tf 72 720 Td ({words}) Tj ET".encode()
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%b\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    data, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(data))
        data += b"%d 0 obj%b endobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    end = b"xref\n0 6\n0000000000 65535 f \n%btrailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF"
    return data + end % (table, len(data))


def docx(words: str) -> bytes:
    """A Word document of one paragraph."""
    space = "http://schemas.openxmlformats.org"
    kind = f"{space}/officeDocument/2006/relationships/officeDocument"
    files = {
        "[Content_Types].xml": f'<Types xmlns="{space}/package/2006/content-types">'
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
        '<Override PartName="/word/document.xml" ContentType='
        '"application/vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
        "_rels/.rels": f'<Relationships xmlns="{space}/package/2006/relationships">'
        f'<Relationship Id="r1" Type="{kind}" Target="word/document.xml"/></Relationships>',
        "word/document.xml": f'<w:document xmlns:w="{space}/wordprocessingml/2006/main"><w:body><w:p><w:r>'
        f"<w:t>{words}</w:t></w:r></w:p></w:body></w:document>",
    }
    return zipped(files)


def zipped(files: dict[str, str]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return data.getvalue()


HTML = f"""<!-- a page -->
<!DOCTYPE html>
<html><head><title>T</title><script>var hidden = 1;</script></head><body><p>{WORDS}</p></body></html>""".encode()
DOCUMENTS = {
    "a PDF document": pdf(WORDS),
    "a Word document": docx(WORDS),
    "an HTML page": HTML,
    "an EPUB book": zipped({"mimetype": "application/epub+zip", "META-INF/container.xml": "<container/>"}),
    "an Excel document": zipped({"[Content_Types].xml": "", "xl/workbook.xml": ""}),
}


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_documents_are_known_whatever_they_are_called(kind: str) -> None:
    found = kind_of(DOCUMENTS[kind])
    assert found is not None
    assert found[0] == kind
    assert kind_of(b"\xef\xbb\xbf\n" + DOCUMENTS[kind]) == found or kind in (
        "a Word document",
        "an EPUB book",
        "an Excel document",
    )


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_without_the_converter_a_document_is_refused_with_what_to_install(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "find_spec", lambda name: None)
    path = tmp_path / "note.txt"
    path.write_bytes(DOCUMENTS[kind])
    with pytest.raises(MissingError, match=rf"note\.txt is {kind}: .* markitdown") as refused:
        Text.load(path)
    assert "pasctl[documents]" in (refused.value.hint or "")
    assert refused.value.exit_code == 3


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("page.md", "# Title\n\n<html> is a tag, and so is <body>.\n"),
        ("readme.md", '<h1 align="center">Title</h1>\n\nWords.\n'),
        ("code.py", "# <!doctype html>\nprint('<html>')\n"),
        ("note.html", "no page at all"),
        ("note.pdf", "a plain text with the ending of another"),
        ("data.json", '{"a": [1, 2, "<html>"]}'),
        ("data.csv", "a,b\n1,2\n"),
        ("page.xml", '<?xml version="1.0"?><note><body>words</body></note>'),
    ],
)
def test_texts_stay_as_they_are(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    text = Text.load(path)
    assert text.content == content
    assert text.modified == path.stat().st_mtime


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "a PNG image"),
        (b"\xff\xd8\xff\xe0rest", "a JPEG image"),
        (zipped({"a.txt": "words"}), "a ZIP file"),
        (b"PK\x03\x04 and no more", "a ZIP file"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Office file"),
        (b"{\\rtf1 words}", "an RTF document"),
        ("words".encode("utf-16"), "UTF-16 text"),
        (b"abc\0def", "binary: byte 3 is zero"),
    ],
)
def test_other_files_are_refused_in_a_line(data: bytes, told: str) -> None:
    with pytest.raises(InputError, match=told) as refused:
        Text.decode("file.txt", data)
    assert "\n" not in str(refused.value)
    assert refused.value.hint


@pytest.mark.parametrize("name", ["https://example.org/a.txt", "file:///etc/hosts", "s3://bucket/key"])
def test_a_url_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is a URL, expected a file"):
        Text.load(name)


@needs_converter
@pytest.mark.parametrize("kind", ["a PDF document", "a Word document", "an HTML page"])
def test_the_words_of_a_document_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_bytes(DOCUMENTS[kind])
    content = Text.load(path).content
    assert WORDS in content
    assert "hidden" not in content
    assert "<" not in content


@needs_converter
@pytest.mark.parametrize(("charset", "said"), [("latin-1", "latin-1"), ("utf-8", ""), ("cp1252", "")])
def test_a_page_is_read_in_its_own_encoding(charset: str, said: str) -> None:
    meta = f'<meta charset="{said}">' if said else ""
    page = f"<html><head>{meta}</head><body><p>Die Brücke über den Fluß: schön.</p></body></html>"
    assert "Die Brücke über den Fluß: schön." in Text.decode("page", page.encode(charset)).content


@needs_converter
def test_a_damaged_document_and_one_without_words_are_refused_in_a_line() -> None:
    whole = docx(WORDS)
    for data in (pdf(WORDS)[:60], whole.replace(b"word/document.xml", b"word/documant.xml"), pdf("")):
        with pytest.raises(InputError, match="file is a") as refused:
            Text.decode("file", data)
        assert "\n" not in str(refused.value)
