"""Images: found, checked, decoded, turned upright, laid on white, sized."""

from __future__ import annotations

import base64
import io
import urllib.parse
from typing import Any

import numpy as np
import PIL.Image
import pytest

from runtime.ai import decoding, media
from runtime.ai.media import Fit, decode, fit_of, open_data
from runtime.ai.request import ImageSource
from runtime.engine.request import Image
from runtime.errors import ImageError

ANY = Fit(0, 10**9)
RED = (200, 30, 40)


def encoded(picture: PIL.Image.Image, form: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def red(width: int = 112, height: int = 84) -> PIL.Image.Image:
    return PIL.Image.new("RGB", (width, height), RED)


def pixel(image: Image, x: int = 0, y: int = 0) -> tuple[int, ...]:
    start = (y * image.width + x) * 3
    return tuple(image.rgb[start : start + 3])


def is_near(image: Image, colour: tuple[int, int, int]) -> bool:
    return all(abs(a - b) <= 3 for a, b in zip(pixel(image), colour, strict=True))


def source(url: str = "", **more: Any) -> ImageSource:
    return ImageSource(url, "p", **more)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_every_format(form: str) -> None:
    image = decode(encoded(red(), form), ANY, "p")
    assert (image.width, image.height, len(image.rgb)) == (112, 84, 112 * 84 * 3)
    assert is_near(image, RED)


@pytest.mark.parametrize(
    ("picture", "form", "colour"),
    [
        (PIL.Image.new("1", (56, 56), 1), "PNG", (255, 255, 255)),
        (PIL.Image.new("L", (56, 56), 90), "PNG", (90, 90, 90)),
        (PIL.Image.new("LA", (56, 56), (90, 0)), "PNG", (255, 255, 255)),
        (PIL.Image.new("RGBA", (56, 56), (0, 0, 0, 0)), "PNG", (255, 255, 255)),
        (PIL.Image.new("RGBA", (56, 56), (255, 0, 0, 128)), "PNG", (255, 127, 127)),
        (PIL.Image.new("CMYK", (56, 56), (0, 255, 255, 0)), "TIFF", (255, 0, 0)),
        (PIL.Image.new("CMYK", (56, 56), (0, 255, 255, 0)), "JPEG", (254, 0, 0)),
        (red().convert("P", palette=PIL.Image.Palette.ADAPTIVE), "PNG", RED),
        (PIL.Image.fromarray(np.full((56, 56), 0x8080, np.uint16)), "PNG", (128, 128, 128)),
        (PIL.Image.fromarray(np.full((56, 56), 0x8080, np.uint16)), "TIFF", (128, 128, 128)),
        (PIL.Image.new("F", (56, 56), 0.5), "TIFF", (127, 127, 127)),
    ],
)
def test_every_mode(picture: PIL.Image.Image, form: str, colour: tuple[int, int, int]) -> None:
    assert is_near(decode(encoded(picture, form), ANY, "p"), colour)


def test_a_transparent_palette_lies_on_white() -> None:
    picture = PIL.Image.new("P", (56, 56), 0)
    picture.putpalette([200, 30, 40, 0, 0, 0])
    assert pixel(decode(encoded(picture, transparency=0), ANY, "p")) == (255, 255, 255)


def test_exif_turns_it_upright() -> None:
    picture = red(112, 56)
    picture.paste((0, 0, 255), (0, 0, 56, 56))
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # the top row is the right side
    image = decode(encoded(picture, "PNG", exif=exif), ANY, "p")
    assert (image.width, image.height) == (56, 112)
    assert pixel(image, 28, 10) == (0, 0, 255)
    assert pixel(image, 28, 100) == RED


def test_the_size_is_that_of_the_picture_however_it_is_decoded() -> None:
    # large JPEGs are decoded at a fraction, and turned ones have their sides swapped
    exif = PIL.Image.Exif()
    exif[0x0112] = 8
    picture = PIL.Image.new("L", (4001, 2999))
    fit = Fit(0, 1024 * 784)
    whole = decode(encoded(picture, "BMP"), fit, "p")
    turned = decode(encoded(picture, "JPEG", exif=exif), fit, "p")
    assert (turned.height, turned.width) == (whole.width, whole.height)


def test_a_gif_shows_its_first_frame() -> None:
    frames = [PIL.Image.new("RGB", (56, 56), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert pixel(decode(data, ANY, "p")) == (255, 0, 0)


@pytest.mark.parametrize(
    ("size", "fit", "fitted"),
    [
        ((112, 84), Fit(6272, 802_816), (112, 84)),
        ((100, 100), Fit(6272, 802_816), (112, 112)),
        ((1, 1), Fit(6272, 802_816), (84, 84)),
        ((640, 480), Fit(6272, 802_816), (644, 504)),
        ((4000, 3000), Fit(6272, 802_816), (1008, 756)),
        ((200, 1), Fit(6272, 802_816), (224, 28)),
        ((112, 84), Fit(100_000, 802_816), (392, 280)),
        ((7000, 35), Fit(6272, 802_816), (7000, 56)),
        ((7000, 35), Fit(6272, 300_000), (5600, 28)),
        ((20_000, 100), Fit(0, 4 * 784), (112, 28)),
    ],
)
def test_sizes_are_multiples_of_28_within_the_bounds(size: tuple[int, int], fit: Fit, fitted: tuple[int, int]) -> None:
    image = decode(encoded(PIL.Image.new("L", size)), fit, "p")
    assert (image.width, image.height) == fitted
    assert fitted[0] * fitted[1] <= fit.max_pixels
    assert max(fitted) <= 200 * min(fitted)


def test_a_picture_that_fits_keeps_its_pixels_and_is_continued_at_its_edges() -> None:
    picture = PIL.Image.effect_noise((101, 83), 90).convert("RGB")
    image = decode(encoded(picture), Fit(6272, 802_816), "p")
    made = np.frombuffer(image.rgb, np.uint8).reshape(image.height, image.width, 3)
    assert made.shape == (84, 112, 3)
    assert np.array_equal(made[:83, :101], np.asarray(picture))
    assert np.array_equal(made, np.pad(np.asarray(picture), ((0, 1), (0, 11), (0, 0)), mode="edge"))


def test_a_turned_picture_is_continued_below_what_is_then_its_edge() -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image = decode(encoded(red(100, 60), "PNG", exif=exif), Fit(6272, 802_816), "p")
    assert (image.width, image.height) == (84, 112)
    assert pixel(image, 83, 111) == RED


def test_detail_and_pixel_bounds_make_the_fit() -> None:
    assert fit_of(source(), 1024) == Fit(8 * 784, 1024 * 784)
    assert fit_of(source(detail="low"), 1024).max_pixels == 512 * 512
    assert fit_of(source(max_pixels=50_000), 1024).max_pixels == 50_000
    assert fit_of(source(max_pixels=10**9), 1024).max_pixels == 1024 * 784
    assert fit_of(source(min_pixels=100_000), 1024).min_pixels == 100_000
    assert fit_of(source(min_pixels=10**9), 1024) == Fit(1024 * 784, 1024 * 784)


def test_the_key_names_content_and_size() -> None:
    key = decode(encoded(red()), ANY, "p").key
    assert key == decode(encoded(red(), "BMP"), ANY, "p").key
    assert key != decode(encoded(red(84, 112)), ANY, "p").key
    assert key != decode(encoded(PIL.Image.new("RGB", (112, 84), "blue")), ANY, "p").key


def test_data_urls() -> None:
    data = encoded(red())
    base = base64.b64encode(data).decode()
    for url in (
        f"data:image/png;base64,{base}",
        f"DATA:image/png;charset=x;BASE64,{base}",
        f"data:;base64,{base.rstrip('=')}",
        f"data:image/png;base64,{base64.urlsafe_b64encode(data).decode()}",
        f"data:image/png;base64,{urllib.parse.quote(base, safe='')}",
        f"data:image/png;base64,{base[:40]}\n{base[40:]}",
        f"data:image/png,{urllib.parse.quote_from_bytes(data)}",
    ):
        assert open_data(source(url)) == data


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:image/png;base64", 'p: a data: URL needs a comma before its data, got "data:image/png;base64"'),
        ("data:image/png;base64,a§b", "p: the data: URL is not valid base64"),
        ("data:image/png;base64,abcde", "p: the data: URL is not valid base64"),
    ],
)
def test_wrong_data_urls(url: str, message: str) -> None:
    with pytest.raises(ImageError) as e:
        open_data(source(url))
    assert e.value.message == message
    assert e.value.param == "p"
    assert e.value.code == "invalid_image"


@pytest.mark.parametrize("head", ["data:image/png;base64,", "data:image/png,"])
@pytest.mark.parametrize("size", [media.MAX_BYTES * 4 // 3 + 8, media.MAX_BYTES * 5])
def test_more_than_20_megabytes(head: str, size: int) -> None:
    with pytest.raises(ImageError, match="p: an image may have at most 20 MB"):
        open_data(source(head + "A" * size))


def test_fifty_megapixels_are_refused_before_they_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(PIL.Image.new("1", (10_000, 5_000)))
    monkeypatch.setattr(PIL.Image.Image, "load", lambda _: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="p: an image may have at most 40 megapixels, got 10000 x 5000"):
        decode(data, ANY, "p")


def test_a_thin_picture() -> None:
    with pytest.raises(ImageError, match="sides may differ by a factor of 200 at most, got 201 x 1"):
        decode(encoded(PIL.Image.new("L", (201, 1))), ANY, "p")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
@pytest.mark.parametrize("part", [0.05, 0.3, 0.8])
def test_a_truncated_image(form: str, part: float) -> None:
    noise = PIL.Image.effect_noise((112, 84), 90).convert("RGB")
    data = encoded(noise, form)
    with pytest.raises(ImageError, match=r"^p: "):
        decode(data[: int(len(data) * part)], ANY, "p")


@pytest.mark.parametrize("data", [b"", b"hello", b"%PDF-1.4", b"GGUF", b"\x89PNG\r\n\x1a\n", b"<svg/>"])
def test_what_is_no_image(data: bytes) -> None:
    with pytest.raises(ImageError, match=r"^p: must be an image of one of PNG, JPEG"):
        decode(data, ANY, "p")


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_a_large_picture_is_decoded_elsewhere_and_is_the_same(form: str) -> None:
    data, fit = encoded(red(4000, 2100), form), Fit(0, 784 * 64)
    assert media.is_larger(data, decoding.LARGE_PIXELS)
    assert decoding.decode(data, fit, "p") == decode(data, fit, "p")


def test_what_fails_elsewhere_is_told_here() -> None:
    data = encoded(red(4000, 2100), "PNG")[:-40]
    with pytest.raises(ImageError) as here:
        decode(data, ANY, "p")
    with pytest.raises(ImageError) as elsewhere:
        decoding.decode(data, ANY, "p")
    assert elsewhere.value.body() == here.value.body()


def test_a_decoder_that_takes_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "DECODE_S", 0.01)
    with pytest.raises(ImageError, match="takes more than 0 s to decode"):
        decoding.decode(encoded(red(4000, 2100)), ANY, "p")


def test_small_pictures_and_photographs_stay() -> None:
    assert not media.is_larger(encoded(red(4000, 2100), "JPEG"), decoding.LARGE_PIXELS)
    assert not media.is_larger(encoded(red()), decoding.LARGE_PIXELS)
    assert not media.is_larger(b"nothing", 0)


def test_base64_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "SLICE", 5)
    data = bytes(range(256)) * 3 + b"!"
    text = base64.b64encode(data).decode()
    for body in (text, urllib.parse.quote(text, safe=""), "\n".join(text), text.rstrip("="), text.replace("+", "-")):
        assert open_data(source(f"data:;base64,{body}")) == data
    assert open_data(source(f"data:,{urllib.parse.quote(data)}")) == data
    for bad in ("=" + text, text + "AAAA", text[:100] + "==" + text[100:], text + "@"):
        with pytest.raises(ImageError, match="not valid base64"):
            open_data(source(f"data:;base64,{bad}"))
