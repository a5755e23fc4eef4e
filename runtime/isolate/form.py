"""HTML forms in a request's body: fields and uploaded files."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from runtime.isolate.pairs import Pairs


@dataclass(frozen=True, slots=True)
class File:
    """An uploaded file."""

    filename: str
    content_type: str
    data: bytes = field(repr=False)

    @property
    def size(self) -> int:
        return len(self.data)

    async def bytes(self) -> bytes:
        return self.data

    async def text(self) -> str:
        return self.data.decode("utf-8", "replace")


class FormData(Pairs["str | File"]):
    """A form's fields: `form["name"]` is the first value, `get_all` every one."""

    __slots__ = ()


def parse_form(content_type: str | None, data: bytes) -> FormData:
    """The form in `data`. Raises ValueError for another content type and for a body that is cut or broken."""
    kind = (content_type or "").split(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        pairs = parse_qsl(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=1000)
        return FormData(list(pairs))
    if kind == "multipart/form-data":
        return FormData(_Multipart(content_type or "").parse(data))
    raise ValueError(
        "form: the content type must be multipart/form-data or application/x-www-form-urlencoded, "
        f"got {content_type or 'none'}"
    )


class _Multipart:
    """Collects the parts that python-multipart's parser calls back with."""

    def __init__(self, content_type: str) -> None:
        from python_multipart.multipart import (
            parse_options_header,
        )  # the zygote has it loaded; other importers need not

        self._options = parse_options_header
        boundary = parse_options_header(content_type)[1].get(b"boundary")
        if not boundary:
            raise ValueError("form: the content type names no boundary")
        self._boundary = boundary
        self._pairs: list[tuple[str, str | File]] = []
        self._headers: dict[bytes, bytes] = {}
        self._name = b""
        self._value = b""
        self._data = bytearray()
        self._is_complete = False

    def parse(self, data: bytes) -> list[tuple[str, str | File]]:
        from python_multipart.exceptions import FormParserError
        from python_multipart.multipart import MultipartParser

        try:
            parser = MultipartParser(
                self._boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_part_data": self._part_data,
                    "on_part_end": self._end,
                    "on_end": self._complete,
                },
            )
            parser.write(data)
            parser.finalize()
        except FormParserError as e:
            raise ValueError(f"form: the body is no multipart form: {e}") from None
        if not self._is_complete:
            raise ValueError("form: the body ends before its last boundary")
        return self._pairs

    def _begin(self) -> None:
        self._headers, self._data = {}, bytearray()

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        self._data += data[start:end]

    def _end(self) -> None:
        options = self._options(self._headers.get(b"content-disposition", b""))[1]
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            kind = self._headers.get(b"content-type", b"application/octet-stream").decode("latin-1")
            filename = options[b"filename"].decode("utf-8", "replace")
            self._pairs.append((name, File(filename, kind, bytes(self._data))))
        else:
            self._pairs.append((name, self._data.decode("utf-8", "replace")))

    def _complete(self) -> None:
        self._is_complete = True
