"""The first sheet of an Excel workbook (.xlsx), which is XML in a zip: texts and numbers only."""

from __future__ import annotations

import io
import re
import zipfile
from xml.etree import ElementTree

from surgzoo.datasets.annotation_files import AnnotationFileError, xml_text
from surgzoo.datasets.layout import File

_SPACE = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
_SHEET, _TEXTS = "xl/worksheets/sheet1.xml", "xl/sharedStrings.xml"
_LARGEST = 64 << 20  # bytes of a part once unpacked: no label table comes near


def first_sheet(file: File) -> list[tuple[int, dict[str, str]]]:
    """(row number, {column letters: text}) of the rows that are not empty.

    Numbers come as they are written, e.g. "12" or "0.5". Raises AnnotationFileError.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(file.read())) as book:
            names = {info.filename: info.file_size for info in book.infolist()}
            if _SHEET not in names:
                raise AnnotationFileError(f"{file}: holds no {_SHEET}, so it is no .xlsx workbook")
            if max(names.values()) > _LARGEST:
                raise AnnotationFileError(f"{file}: unpacks to more than a label table would")
            sheet = book.read(_SHEET).decode("utf-8-sig")
            shared = book.read(_TEXTS).decode("utf-8-sig") if _TEXTS in names else ""
    except AnnotationFileError:
        raise
    except Exception as error:  # zipfile, zlib and the codecs each have their own
        raise AnnotationFileError(f"{file}: is no whole .xlsx workbook ({error})") from None
    texts = []
    if shared:
        root = xml_text(shared, f"{file}, {_TEXTS}")
        texts = [_text(item) for item in root.iter(f"{_SPACE}si")]
    out = []
    for number, row in enumerate(xml_text(sheet, f"{file}, {_SHEET}").iter(f"{_SPACE}row"), 1):
        number = int(row.get("r") or number)
        cells = {}
        for cell in row.iter(f"{_SPACE}c"):
            place = re.match(r"[A-Z]+", cell.get("r") or "")
            value = _value(cell, texts, f"{file}, row {number}")
            if place and value.strip():
                cells[place[0]] = value.strip()
        if cells:
            out.append((number, cells))
    return out


def _text(item: ElementTree.Element) -> str:
    """All runs of a formatted text."""
    return "".join(part.text or "" for part in item.iter(f"{_SPACE}t"))


def _value(cell: ElementTree.Element, texts: list[str], where: str) -> str:
    if cell.get("t") == "inlineStr":
        return _text(cell)
    found = cell.find(f"{_SPACE}v")
    if found is None or found.text is None:
        return ""
    if cell.get("t") != "s":
        return found.text
    if not found.text.isdecimal() or int(found.text) >= len(texts):
        raise AnnotationFileError(f"{where}: refers to text {found.text} of {len(texts)}")
    return texts[int(found.text)]
