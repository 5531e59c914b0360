"""Script: a document on stdin, its words on stdout as Markdown (see `documents.words_of`, which runs it by path)."""

import io
import logging
import sys

# one converter alone: the library would give up a damaged document as the plain text that it is not
_CONVERTERS = {
    "pdf": "PdfConverter",
    "docx": "DocxConverter",
    "pptx": "PptxConverter",
    "xlsx": "XlsxConverter",
    "epub": "EpubConverter",
    "html": "HtmlConverter",
}


def main() -> None:
    """Convert a document of the kind that files with the ending in argv[1] are of."""
    logging.disable(logging.CRITICAL)
    import markitdown.converters
    from markitdown import StreamInfo

    ending, data = sys.argv[1], sys.stdin.buffer.read()
    charset = None
    if ending == "html":
        from bs4 import UnicodeDammit

        charset = UnicodeDammit(data, is_html=True).original_encoding
    try:
        converter = getattr(markitdown.converters, _CONVERTERS[ending])()
        told = StreamInfo(extension=f".{ending}", charset=charset)
        words = converter.convert(io.BytesIO(data), told).markdown
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        sys.exit(lines[-1] if lines else type(error).__name__)
    sys.stdout.buffer.write(words.encode("utf-8", "replace"))


if __name__ == "__main__":
    main()
