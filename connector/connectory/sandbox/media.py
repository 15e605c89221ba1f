"""Small sounds and pictures, made from nothing but a seed."""

from __future__ import annotations

from hashlib import shake_256
from struct import pack
from zlib import compress, crc32

AUDIO_TYPES = {
    "mp3": "audio/mpeg",
    "opus": "audio/ogg",
    "aac": "audio/aac",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "pcm": "audio/pcm",
}
_RATE = 24_000
_MP3_FRAME = bytes.fromhex("fffb9064") + bytes(413)


def audio(form: str, seed: str) -> tuple[bytes, str]:
    """Give a tenth of a second of sound and its media type; real for wav, pcm and mp3."""
    media_type = AUDIO_TYPES.get(form, "application/octet-stream")
    noise = bytes(value % 8 if place % 2 == 0 else 0 for place, value in enumerate(_noise(seed, _RATE // 5)))
    if form == "wav":
        head = pack(
            "<4sI4s4sIHHIIHH", b"RIFF", 36 + len(noise), b"WAVE", b"fmt ", 16, 1, 1, _RATE, _RATE * 2, 2, 16
        )
        return head + pack("<4sI", b"data", len(noise)) + noise, media_type
    if form == "mp3":
        return _MP3_FRAME * 4, media_type
    return noise, media_type


def picture(seed: str) -> bytes:
    """Give a PNG of one pixel whose colour the seed decides."""
    head = pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    body = compress(b"\0" + _noise(seed, 3))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(*one) for one in ((b"IHDR", head), (b"IDAT", body), (b"IEND", b""))
    )


def film(seed: str) -> bytes:
    """Give a film as short as one can be: the boxes of an MP4 file, with noise for pictures."""
    kind = b"isom" + pack(">I", 512) + b"isomiso2mp41"
    return b"".join(
        pack(">I", 8 + len(body)) + name + body
        for name, body in ((b"ftyp", kind), (b"mdat", _noise(seed, 256)))
    )


def blob(seed: str) -> bytes:
    """Give bytes for a download that was never uploaded."""
    return _noise(seed, 256)


def _chunk(name: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + name + body + pack(">I", crc32(name + body))


def _noise(seed: str, size: int) -> bytes:
    return shake_256(seed.encode()).digest(size)
