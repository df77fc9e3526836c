"""The picture or the clip that a unit shows, as a file of its own. Recordings are only opened in the media process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmkg.errors import NotFoundError
from mmkg.types import Evidence, MediaClip, Modality

if TYPE_CHECKING:
    from mmkg.config import Settings

_TYPES = {"audio/wav": ".wav", "audio/flac": ".flac", "audio/mpeg": ".mp3", "audio/ogg": ".ogg", "audio/mp4": ".m4a",
          "video/mp4": ".mp4", "video/webm": ".webm", "video/x-matroska": ".mkv", "audio/x-matroska": ".mka",
          "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/gif": ".gif", "image/tiff": ".tif",
          "image/bmp": ".bmp"}  # fmt: skip


def media_of(blobs: Any, settings: Settings, evidence: Evidence) -> bytes | MediaClip | None:
    """The bytes of a unit's picture, or of a clip its cut; None for text.

    blobs: what keeps the media of a base. A clip is cut without coding anything anew; see MediaClip.lead_s.
    Raises LoadError if it cannot be cut, StoreDamagedError if the media are gone.
    """
    if evidence.media is None:
        return None
    if evidence.modality not in (Modality.AUDIO, Modality.VIDEO) or evidence.locator.seconds is None:
        data: bytes = blobs.read(evidence.media)
        return data
    from mmkg.ingest.media_process import cut_once
    from mmkg.ingest.sniff import sniff

    with blobs.local(evidence.media) as path:
        with path.open("rb") as file:
            media_type = sniff(file)
        start, end = (round(1000 * s) for s in evidence.locator.seconds)
        cut, kind, lead_ms = cut_once(
            settings, path, media_type, (start, end), video=evidence.modality == Modality.VIDEO
        )
    return MediaClip(data=cut, media_type=kind, lead_s=lead_ms / 1000)


def write_media(blobs: Any, settings: Settings, evidence: Evidence, target: Path) -> Path:
    """Write a unit's picture or clip to a file; a target without a suffix gets the one of what it is.

    Raises NotFoundError for a unit that shows nothing.
    """
    found = media_of(blobs, settings, evidence)
    if found is None:
        raise NotFoundError(f"{evidence.id} is text and shows no picture and no clip")
    if isinstance(found, MediaClip):
        data, media_type = found.data, found.media_type
    else:
        from mmkg.ingest.sniff import sniff_bytes

        data, media_type = found, sniff_bytes(found)
    if not target.suffix:
        target = target.with_suffix(_TYPES.get(media_type, ".bin"))
    target.write_bytes(data)
    return target
