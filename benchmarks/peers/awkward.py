"""Files that real folders hold, and what a tool made of one."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SMALL = (16, 16)
NEAR = 12.0  # mean difference of two thumbnails, of 255, that JPEG and resizing explain
SILENT = "**silently**"
COMPLAINTS = ("skipped sample", "ignoring corrupt", "truncated", "cannot identify")


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind, **options)
    return stream.getvalue()


def sideways(photo: Image.Image) -> bytes:
    """Store a photo as a camera held upright does: turned, with a note to turn it back."""
    exif = Image.Exif()
    exif[274] = 6
    return encoded(photo.transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif.tobytes())


def deep(photo: Image.Image) -> bytes:
    grey = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    return encoded(Image.fromarray(grey), "PNG")


def cut_out(photo: Image.Image) -> Image.Image:
    """Make the right half transparent, over black."""
    pixels = np.asarray(photo.convert("RGBA")).copy()
    pixels[:, pixels.shape[1] // 2 :] = 0
    return Image.fromarray(pixels)


FILES: dict[str, tuple[str, Callable[[Image.Image], bytes]]] = {
    "truncated JPEG": ("awkward.jpg", lambda p: (whole := encoded(p, "JPEG"))[: len(whole) // 2]),
    "empty file": ("awkward.jpg", lambda _: b""),
    "text named .jpg": ("awkward.jpg", lambda _: b"Not a picture.\n" * 20),
    "no permission": ("awkward.jpg", lambda p: encoded(p, "JPEG")),
    "broken link": ("awkward.jpg", lambda _: b""),
    "Thumbs.db beside": ("Thumbs.db", lambda _: b"\xd0\xcf\x11\xe0" + bytes(508)),
    "PNG named .jpg": ("awkward.jpg", lambda p: encoded(p, "PNG")),
    "upper-case .JPG": ("AWKWARD.JPG", lambda p: encoded(p, "JPEG")),
    "WebP": ("awkward.webp", lambda p: encoded(p, "WEBP", quality=90)),
    "EXIF-rotated JPEG": ("awkward.jpg", sideways),
    "CMYK JPEG": ("awkward.jpg", lambda p: encoded(p.convert("CMYK"), "JPEG")),
    "16-bit PNG": ("awkward.png", deep),
    "half-transparent PNG": ("awkward.png", lambda p: encoded(cut_out(p), "PNG")),
    "animated GIF": (
        "awkward.gif",
        lambda p: encoded(p, "GIF", save_all=True, append_images=[ImageOps.invert(p)]),
    ),
}


def place(kind: str, photo: Image.Image, folder: Path) -> Path:
    """Write one such file into a folder and return its path."""
    name, make = FILES[kind]
    path = folder / name
    if kind == "broken link":
        path.symlink_to(folder / "nowhere.jpg")
    else:
        path.write_bytes(make(photo))
    if kind == "no permission":
        path.chmod(0)
    return path


def thumbnail(picture: Image.Image) -> np.ndarray:
    return np.asarray(picture.convert("RGB").resize(SMALL), np.float32)


def right_answer(kind: str, photo: Image.Image) -> np.ndarray:
    """Return the thumbnail of what the file shows to a person."""
    if kind == "16-bit PNG":
        photo = photo.convert("L")
    if kind == "half-transparent PNG":
        white = Image.new("RGBA", photo.size, "white")
        photo = Image.alpha_composite(white, cut_out(photo))
    return thumbnail(photo)


def recognise(seen: np.ndarray, right: np.ndarray) -> str:
    """Say what a tool made of a picture, given thumbnails (16, 16, 3) of both within 0 to 255."""
    half = right.shape[1] // 2
    without_alpha = np.concatenate([right[:, :half], np.zeros_like(right[:, half:])], axis=1)
    grey = right.copy()
    grey[half:] = 128
    looks = {
        "right": right,
        "sideways": np.rot90(right),
        "as a negative": 255 - right,
        "transparent as black": without_alpha,
        "lower half grey": grey,
        "black": np.zeros_like(right),
        "white": np.full_like(right, 255),
    }
    distances = {name: float(np.abs(seen - look).mean()) for name, look in looks.items()}
    best = min(distances, key=distances.__getitem__)
    return best if distances[best] < NEAR else "wrong colours"


def judge(run: dict, right: np.ndarray, good: int) -> str:
    """Put into words what became of one file.

    Args:
        run: code (exit status), output, pictures (how many the tool said it trains on), and seen
            (the thumbnail of what its loader made of the file, or None where that failed).
        right: the thumbnail of what the file shows.
        good: how many pictures are in order.
    """
    output = run["output"].lower()
    if any(stem in output for stem in ("awkward", "thumbs")):
        told = "told"
    else:
        told = "told without its name" if any(word in output for word in COMPLAINTS) else SILENT
    if run["code"]:
        return "**crashes**" + (", naming it" if told == "told" else ", without its name")
    if (run["pictures"] or 0) <= good:
        return f"left out, {told}"
    if run["seen"] is None:
        return f"another in its place, {told}"
    look = recognise(run["seen"], right)
    if look == "right":
        return "used"
    return f"used, **{look}**" + ("" if told == SILENT else f", {told}")


def obey_permissions() -> None:
    """Let a mode of 000 stop root too: for a child process, before it runs."""
    import ctypes

    if os.geteuid() == 0:
        libc = ctypes.CDLL(None, use_errno=True)
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP
