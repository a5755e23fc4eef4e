"""Images of a request: their bytes found, checked, decoded, turned upright and sized. The only file that imports PIL.

Every limit is checked as early as can be: bytes before decoding base64, pixels from the header before decoding them.
Every picture becomes whole tokens of 28 x 28 pixels here, so that the engine need not scale or pad it. One that fits
as it is keeps its pixels and is continued at its right and lower edge: coordinates in an answer are its own pixels.
"""

from __future__ import annotations

import binascii
import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import PIL.Image
import PIL.ImageOps

from runtime.ai.checks import shown
from runtime.ai.request import ImageSource
from runtime.engine.request import Image
from runtime.errors import ImageError

MAX_BYTES = 20 * 2**20
MAX_PIXELS = 40_000_000
MAX_IMAGES = 16
MAX_ASPECT = 200
LOW_DETAIL_PIXELS = 512 * 512
"""What `detail: low` shows of a picture at most: OpenAI's 512 x 512."""
FACTOR = 28
"""One image token covers 28 x 28 pixels."""
_MIN_TOKENS = 8
"""llama.cpp enlarges what is smaller."""
SLICE = 2**20
"""Characters or pixels that one call works on."""
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF")

# read() checks the size against a limit of its own; PIL's would only warn, and at another bound
PIL.Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True, slots=True)
class Fit:
    """The size that a picture may have after resizing, in pixels."""

    min_pixels: int
    max_pixels: int


def fit_of(source: ImageSource, max_tokens: int) -> Fit:
    """What `detail`, `min_pixels` and `max_pixels` ask for, within what the engine takes: `max_tokens` an image."""
    bound = max_tokens * FACTOR * FACTOR
    high = min(bound, source.max_pixels or bound, LOW_DETAIL_PIXELS if source.detail == "low" else bound)
    low = min(max(_MIN_TOKENS * FACTOR * FACTOR, source.min_pixels or 0), high)
    return Fit(low, high)


def is_data(source: ImageSource) -> bool:
    """Whether the URL holds the image; else it must be fetched."""
    return source.url[:5].casefold() == "data:"


def is_web(source: ImageSource) -> bool:
    """Whether the URL names a web address."""
    return source.url[:8].casefold().startswith(("http://", "https://"))


def open_data(source: ImageSource) -> bytes:
    """The bytes of a data: URL. Raises ImageError."""
    head, comma, body = source.url.partition(",")
    if not comma:
        raise fault(source.path, "a data: URL needs a comma before its data, got " + shown(source.url))
    is_base64 = head.rstrip().casefold().endswith(";base64")
    if len(body) > (MAX_BYTES * 4 // 3 if is_base64 else MAX_BYTES) * 3:  # each byte may be percent-encoded
        raise too_large(source.path)
    data = _from_base64(body, source.path) if is_base64 else b"".join(_pieces(body))
    if len(data) > MAX_BYTES:
        raise too_large(source.path)
    return data


def _pieces(body: str) -> Iterator[bytes]:
    """The bytes of a URL's text in slices: each call below holds the interpreter's lock until it returns."""
    begin = 0
    while begin < len(body):
        end = begin + SLICE
        # not through the middle of %41
        while "%" in body[end - 2 : end] and end < len(body):
            end += 1
        piece = body[begin:end]
        yield unquote_to_bytes(piece) if "%" in piece else piece.encode()
        begin = end


def too_large(path: str) -> ImageError:
    """The error for more bytes than allowed."""
    return fault(path, f"an image may have at most {MAX_BYTES // 2**20} MB")


def fault(path: str, text: str) -> ImageError:
    """The error `path: text`."""
    return ImageError(f"{path}: {text}", param=path)


def is_larger(data: bytes, pixels: int) -> bool:
    """Whether decoding the picture takes more than `pixels`; a JPEG is decoded at the size that is wanted."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            size = picture.width * picture.height
            return picture.format != "JPEG" and pixels < size <= MAX_PIXELS
    except Exception:
        return False  # `decode` says why


def decode(data: bytes, fit: Fit, path: str) -> Image:
    """The picture in `data`, upright, on white, in a size that `fit` allows. Raises ImageError.

    Slow: not for the event loop.
    """
    try:
        with PIL.Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
            _check_size(picture.size, path)
            size, canvas = _fitted(picture.size, fit)
            # a JPEG decodes much faster at a half, a quarter or an eighth; twice the size keeps resampling exact
            picture.draft("RGB", (max(size) * 2, max(size) * 2))
            picture.load()
            upright = _upright(picture)
            is_turned = upright.size != picture.size
            if is_turned:
                size, canvas = size[::-1], canvas[::-1]
            rgb = _continued(_rgb(upright).resize(size, PIL.Image.Resampling.BICUBIC), canvas)
    except ImageError:
        raise
    except PIL.UnidentifiedImageError as e:
        known = ", ".join(_FORMATS)
        raise fault(path, f"must be an image of one of {known}, got {len(data)} bytes of something else") from e
    except Exception as e:  # a decoder fed with hostile bytes may raise anything
        raise fault(path, f"the image is damaged or truncated: {_reason(e)}") from e
    raw = rgb.tobytes()
    key = hashlib.blake2b(raw, digest_size=16, salt=b"%dx%d" % rgb.size).hexdigest()
    return Image(rgb.width, rgb.height, raw, f"{rgb.width}x{rgb.height}:{key}")


def _from_base64(body: str, path: str) -> bytes:
    data, left = bytearray(), b""
    try:
        for piece in _pieces(body):
            left += b"".join(piece.split()).translate(_URL_SAFE)
            whole = len(left) - len(left) % 4
            # what follows the padding is no base64; found here, since each slice is decoded on its own
            whole = whole if b"=" not in left else 0
            data += binascii.a2b_base64(left[:whole], strict_mode=True)
            left = left[whole:]
            if len(left) > 2 * SLICE:
                raise binascii.Error("padding within the data")
        data += binascii.a2b_base64(left + b"=" * (-len(left) % 4), strict_mode=True)
    except (binascii.Error, ValueError) as e:
        raise fault(path, "the data: URL is not valid base64") from e
    return bytes(data)


def _check_size(size: tuple[int, int], path: str) -> None:
    width, height = size
    if width * height > MAX_PIXELS:
        raise fault(path, f"an image may have at most {MAX_PIXELS // 10**6} megapixels, got {width} x {height}")
    if max(size) > MAX_ASPECT * min(size):
        raise fault(path, f"an image's sides may differ by a factor of {MAX_ASPECT} at most, got {width} x {height}")


def _fitted(size: tuple[int, int], fit: Fit) -> tuple[tuple[int, int], tuple[int, int]]:
    """The size to scale to, and that of the whole tokens around it; the picture's own size wherever `fit` has room."""
    canvas = _whole_tokens(size)
    if fit.min_pixels <= canvas[0] * canvas[1] <= fit.max_pixels:
        return size, canvas
    scaled = _scaled(size, fit)
    return scaled, scaled


def _whole_tokens(size: tuple[int, int]) -> tuple[int, int]:
    """The least multiples of 28 around `size`, of as many tokens as the engine wants at least."""
    columns, rows = (math.ceil(side / FACTOR) for side in size)
    while columns * rows < _MIN_TOKENS:
        columns, rows = (columns + 1, rows) if columns <= rows else (columns, rows + 1)
    return columns * FACTOR, rows * FACTOR


def _scaled(size: tuple[int, int], fit: Fit) -> tuple[int, int]:
    """Multiples of 28 near `size`, their product within `fit` where the aspect allows: Qwen's "smart resize"."""
    width, height = size
    made = max(FACTOR, round(width / FACTOR) * FACTOR), max(FACTOR, round(height / FACTOR) * FACTOR)
    if made[0] * made[1] > fit.max_pixels:
        scale = math.sqrt(fit.max_pixels / (width * height))
        made = max(FACTOR, _floor(width * scale)), max(FACTOR, _floor(height * scale))
        # a side that cannot shrink further takes more than its share
        if made[0] * made[1] > fit.max_pixels:
            longest = max(FACTOR, _floor(fit.max_pixels / FACTOR))
            made = min(made[0], longest), min(made[1], longest)
    elif made[0] * made[1] < fit.min_pixels:
        scale = math.sqrt(fit.min_pixels / (width * height))
        made = math.ceil(width * scale / FACTOR) * FACTOR, math.ceil(height * scale / FACTOR) * FACTOR
    longest = MAX_ASPECT * min(made)  # rounding can make a thin picture thinner
    return min(made[0], longest), min(made[1], longest)


def _floor(pixels: float) -> int:
    return math.floor(pixels / FACTOR) * FACTOR


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    try:
        return PIL.ImageOps.exif_transpose(picture)
    except Exception:  # damaged EXIF is no reason to refuse the picture itself
        return picture


def _rgb(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Any mode as RGB: 16 bits scaled down, alpha laid on white."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _eight_bit(picture)
    if picture.has_transparency_data:
        return _on_white(picture)
    return picture if picture.mode == "RGB" else picture.convert("RGB")


def _on_white(picture: PIL.Image.Image) -> PIL.Image.Image:
    made = PIL.Image.new("RGB", picture.size, "white")
    rows = max(1, SLICE // picture.width)
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height))).convert("RGBA")
        made.paste(strip, (0, top), strip)
    return made


def _continued(rgb: PIL.Image.Image, canvas: tuple[int, int]) -> PIL.Image.Image:
    """On `canvas` from its upper left corner, its last column and last row repeated."""
    (width, height), (right, bottom) = rgb.size, canvas
    if rgb.size == canvas:
        return rgb
    made = PIL.Image.new("RGB", canvas)
    made.paste(rgb)
    if right > width:
        made.paste(rgb.crop((width - 1, 0, width, height)).resize((right - width, height)), (width, 0))
    if bottom > height:
        made.paste(made.crop((0, height - 1, right, height)).resize((right, bottom - height)), (0, height))
    return made


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    """Grey of more than 8 bits: 16-bit values over their whole range, 32-bit ones and floats over the used one."""
    wide = picture.convert("F")
    low, high = (0.0, 65535.0) if picture.mode != "F" else (0.0, 1.0)
    used: Any = wide.getextrema()
    if used[0] < low or used[1] > high:
        low, high = used
    scale = 255.0 / ((high - low) or 1.0)
    return wide.point(lambda v: v * scale - low * scale).convert("L")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
