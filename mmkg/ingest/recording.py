"""Sound and video files: clips that cover the recording, key frames with the words on them, and what the file says of itself.

One pass over the file; nothing is kept but 2 bytes for 20 ms of sound, a small copy of the last frame, and the key frames.
What is said is no matter of this loader: subtitles inside the file are taken, recognition comes later (mmkg.adding.hearing).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError
from mmkg.ingest import av_sound
from mmkg.ingest.av_open import decoded, is_cover, open_media, quiet_threads
from mmkg.ingest.av_scenes import MOST_FRAMES, KeyFrame, SceneDetector
from mmkg.ingest.image import hundredths
from mmkg.ingest.ocr import OcrBudget, ocr_available
from mmkg.ingest.patience import stretch_done, stretches
from mmkg.ingest.pictures import check_pixels, open_picture
from mmkg.ingest.raw import Block, Clip, Figure, RawDocument
from mmkg.ingest.subtitles import embedded_cues
from mmkg.ingest.textbuild import TextBuilder, clean_property, sensible_title
from mmkg.types import Cue, Line, Page, Span

_ALL_FRAMES_PIXELS = 12_000_000_000
"""Videos of more pixels in all (by their header) are looked at by their coded key frames only: 90 s of 1080p are under it."""
_SILENT_LONGEST_MS, _SILENT_SHORTEST_MS = 60_000, 2_000
"""Clips of a video without sound follow its scenes, between these."""
_TITLES = ("title",)
_WORDS = ("description", "synopsis", "comment", "lyrics")
_META = {"artist": "artist", "album": "album", "album_artist": "album artist", "composer": "composer", "date": "date",
         "genre": "genre", "copyright": "copyright", "show": "show", "creation_time": "created", "location": "location",
         "publisher": "publisher", "language": "language"}  # fmt: skip


@dataclass(slots=True)
class _Recording:
    """What one pass over a file gave. ends in milliseconds."""

    envelope: av_sound.Envelope | None = None
    scenes: SceneDetector | None = None
    cues: list[Cue] = field(default_factory=list)
    cover: bytes | None = None
    video_end_ms: int = 0
    meta: dict[str, str] = field(default_factory=dict)
    title: str = ""
    description: str = ""
    header_ms: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def end_ms(self) -> int:
        return max(self.video_end_ms, self.envelope.end_ms if self.envelope else 0)


def load_recording(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Read a sound or video file.

    Times are those of decoded samples and frames, not of the header. Raises LoadError if nothing can be decoded,
    LimitExceededError("media_seconds" or "pixels").
    """
    with open_media(path, media_type) as container:
        found = _read(container, limits)
    if found.end_ms <= 0:
        raise LoadError("damaged: no sound and no picture in it can be decoded", path=path)
    if found.header_ms > 2_000 and found.end_ms < 0.9 * found.header_ms:
        found.notes.append(
            f"the recording ends after {found.end_ms / 1000:.0f} s, its header says {found.header_ms / 1000:.0f} s"
        )
    builder = TextBuilder(limits.characters)
    blocks: list[Block] = []
    if found.description:
        span = builder.add(found.description)
        blocks.append(Block(start=span[0], end=span[1]))
    pages, figures = _pictures(found, builder, blocks, limits, ocr)
    kind = "video" if found.scenes is not None else "audio"
    return RawDocument(
        media_type=media_type,
        text=builder.text(),
        name=sensible_title(found.title, path),
        blocks=tuple(blocks),
        pages=tuple(pages),
        figures=tuple(figures),
        clips=tuple(Clip(kind=kind, start_ms=a, end_ms=b) for a, b in _clips(found)),
        cues=tuple(found.cues),
        meta=found.meta,
        notes=tuple(found.notes),
    )


# ---- The pass over the file ------------------------------------------------------------------------------------------


def _read(container: Any, limits: Limits) -> _Recording:
    found = _Recording()
    _describe(container, found)
    video = max(
        (s for s in container.streams.video if not is_cover(s) and s.codec_context is not None),
        key=lambda s: s.codec_context.width * s.codec_context.height,
        default=None,
    )
    audio = next((s for s in container.streams.audio if s.codec_context is not None and s.rate), None)
    found.cover = _cover(container, limits) if video is None else None
    streams = [s for s in (video, audio) if s is not None]
    if not streams:
        return found
    start_s = min((float(s.start_time * s.time_base) for s in streams if s.start_time is not None), default=0.0)
    if video is not None:
        context = video.codec_context
        if context.width and context.height:
            check_pixels((context.width, context.height), limits.pixels)
        if _pixels_in_all(video, found.header_ms) > _ALL_FRAMES_PIXELS:
            context.skip_frame = "NONKEY"
        found.scenes = SceneDetector(found.header_ms)
        found.meta["video"] = f"{context.name}, {context.width} x {context.height}"
    if audio is not None:
        found.meta["audio"] = (
            f"{audio.codec_context.name}, {audio.rate} Hz, {len(audio.codec_context.layout.channels)} channels"
        )
    for stream in streams:
        quiet_threads(stream)
    begun = 1
    for stream, frame in decoded(container, streams):
        if stream is audio:
            if found.envelope is None:
                found.envelope = av_sound.Envelope(frame.sample_rate, start_ms=max(0, _ms(frame, start_s) or 0))
            found.envelope.add(frame)
        elif found.scenes is not None and (at := _ms(frame, start_s)) is not None and at >= 0:
            check_pixels((frame.width, frame.height), limits.pixels)
            found.scenes.add(at, frame)
            length = round(1000 * float(frame.duration * frame.time_base)) if frame.duration and frame.time_base else 40
            found.video_end_ms = max(found.video_end_ms, at + min(max(length, 1), 1_000))
        end_s = found.end_ms / 1000
        if end_s > limits.media_seconds:
            raise LimitExceededError("media_seconds", f"the recording is longer than {limits.media_seconds:g} s")
        if (reached := stretches(end_s)) > begun:
            begun = reached
            stretch_done()
    if found.scenes is not None:
        found.scenes.finish()
        if not found.scenes.frames:
            found.scenes = None  # a picture stream that gives no picture
            found.meta.pop("video", None)
        elif len(found.scenes.frames) == MOST_FRAMES:
            found.notes.append(f"only the first {MOST_FRAMES} scenes have a key frame")
    if found.envelope is None:
        found.meta.pop("audio", None)
    elif found.scenes is not None:
        found.video_end_ms = min(found.video_end_ms, found.envelope.end_ms + 3_600_000)
    if found.end_ms:
        found.meta["duration"] = clock(found.end_ms)
    found.cues = embedded_cues(container, start_s) if container.streams.subtitles else []
    if found.cues:
        found.meta["subtitles"] = "inside the file"
    return found


def _ms(frame: Any, start_s: float) -> int | None:
    return None if frame.time is None else round(1000 * (frame.time - start_s))


def _describe(container: Any, found: _Recording) -> None:
    """Title, words and properties from the container's tags, then from those of its first streams."""
    found.header_ms = max(0, (container.duration or 0) // 1000)
    for tags in (container.metadata, *(s.metadata for s in list(container.streams)[:4])):
        for key, value in sorted((str(k).lower(), v) for k, v in tags.items()):
            text = clean_property(value, 4_000 if key in _WORDS else 300)
            if not text or text == "und":
                continue
            if key in _TITLES:
                found.title = found.title or text
            elif key in _WORDS:
                if len(text) > 20 and text not in found.description:
                    found.description = f"{found.description}\n\n{text}".strip()
            elif key in _META:
                found.meta.setdefault(_META[key], text)
    if found.title:
        found.meta["title"] = found.title


def _pixels_in_all(video: Any, header_ms: int) -> float:
    context = video.codec_context
    rate = float(video.average_rate or Fraction(25))
    seconds = float(video.duration * video.time_base) if video.duration and video.time_base else header_ms / 1000
    return float(context.width * context.height * min(max(rate, 1.0), 120.0) * seconds)


def _cover(container: Any, limits: Limits) -> bytes | None:
    """The picture attached to a sound file, as it lies in it, if it can be shown."""
    for stream in container.streams.video:
        if is_cover(stream):
            for packet in container.demux([stream]):
                data = bytes(packet)
                if not data:
                    break
                container.seek(0)
                try:
                    with open_picture(data, limits.pixels):
                        return data
                except LoadError:
                    return None
    return None


# ---- Clips and pictures ----------------------------------------------------------------------------------------------


def _clips(found: _Recording) -> list[Span]:
    """Spans that cover the whole recording, in order."""
    cuts = found.scenes.cuts if found.scenes else []
    end = found.end_ms
    if found.envelope is None or not len(levels := found.envelope.levels()):
        return list(_scene_clips(cuts, end))
    offset = found.envelope.start_ms
    spans = [(a + offset, b + offset) for a, b in av_sound.cut(levels, scenes_ms=[max(0, c - offset) for c in cuts])]
    spans[0] = (0, spans[0][1])
    # The last level may end within 20 ms of the last sample; pictures may go on after the sound.
    last = spans[-1][1]
    if end - last < 2 * _SILENT_SHORTEST_MS:
        spans[-1] = (spans[-1][0], max(last, end))
    else:
        spans += [(a + last, b + last) for a, b in _scene_clips([c - last for c in cuts if c > last], end - last)]
    return spans


def _scene_clips(cuts: Sequence[int], end: int) -> Iterator[Span]:
    at = 0
    for cut in [*cuts, end]:
        if cut < end and (cut - at < _SILENT_SHORTEST_MS or end - cut < _SILENT_SHORTEST_MS):
            continue
        while cut - at > _SILENT_LONGEST_MS:
            # Equal parts of a scene that is too long for one clip.
            part = (cut - at) // -(-(cut - at) // _SILENT_LONGEST_MS)
            yield at, at + part
            at += part
        yield at, cut
        at = cut


def _pictures(
    found: _Recording, builder: TextBuilder, blocks: list[Block], limits: Limits, ocr: bool
) -> tuple[list[Page], list[Figure]]:
    """Key frames (and the cover) as figures; the words on them go into the text, each frame a page with boxes."""
    frames = found.scenes.frames if found.scenes else []
    reading = ocr and ocr_available()
    if ocr and not reading and (frames or found.cover):
        found.notes.append('words in the pictures were not read: install "mmkg[ocr]"')
    # Read in as many parts as the recording has stretches, each with the time of one.
    share, part = limits.seconds * 0.4, 0
    budget = OcrBudget(share * stretches(found.end_ms / 1000))
    pages: list[Page] = []
    figures: list[Figure] = []
    unread = 0
    pictures: list[tuple[KeyFrame, str]] = [(frame, "frame") for frame in frames]
    if found.cover is not None:
        with open_picture(found.cover, limits.pixels) as cover:
            pictures.append((KeyFrame(-1, found.cover, *cover.size), "figure"))
    for number, (frame, kind) in enumerate(pictures, start=1):
        words: Span | None = None
        lines: list[Line] = []
        if reading and not budget.exhausted:
            if budget.spent >= share * part:
                part += 1
                stretch_done()
            with open_picture(frame.data, limits.pixels) as picture:
                seen = budget.read(picture.convert("RGB"))
            if seen:
                start = builder.paragraph()
                for n, line in enumerate(seen):
                    if n:
                        builder.add("\n")
                    a, b = builder.add(line.text)
                    lines.append(Line(start=a, end=b, box=hundredths(line.box)))
                words = (start, builder.length)
                blocks.append(Block(start=start, end=builder.length, kind="ocr", page=number))
        elif reading:
            unread += 1
        start = words[0] if words else builder.length
        pages.append(
            Page(
                number=number,
                width=frame.width * 100,
                height=frame.height * 100,
                start=start,
                end=builder.length,
                lines=tuple(lines),
            )
        )
        figures.append(
            Figure(
                kind=kind,
                width=frame.width,
                height=frame.height,
                anchor=start,
                data=frame.data,
                page=number,
                box=(0, 0, frame.width * 100, frame.height * 100),
                words=words,
                at_ms=frame.at_ms if kind == "frame" else None,
            )
        )
    if unread:
        found.notes.append(
            f"words on {unread} of {len(pictures)} pictures were not read within the time limit; raise limits.seconds"
        )
    return pages, figures


def clock(ms: int) -> str:
    """Milliseconds as a person writes them.

    >>> clock(61_500), clock(3_600_000)
    ('1:01.5', '1:00:00')
    """
    seconds, rest = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{rest // 100}" if rest >= 100 else ""
    return (f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{seconds:02d}{tail}"
