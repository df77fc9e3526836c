"""Model output for what came in while a model was not there: pictures without a vector, recordings that nobody has heard."""

from __future__ import annotations

from mmkg.adding.describing import describe, with_given_names
from mmkg.adding.hearing import hear
from mmkg.adding.reading import Readers, text_vectors
from mmkg.config import Settings
from mmkg.protocols import Encoder, ProgressCallback
from mmkg.schema import PRINT_SPACE, PROMPTS_KEY
from mmkg.sounds import encode_sounds
from mmkg.store.folder.writer import FolderWriter
from mmkg.store.neo4j.writer import ServerWriter
from mmkg.texts import Outputs

Writer = FolderWriter | ServerWriter


def fill_images(writer: Writer, readers: Readers) -> None:
    """Prints and vectors of pictures, and of the prompts that these vectors are held against."""
    outputs: Outputs = {}
    documents = set()
    for document, media in writer.images_without(PRINT_SPACE):
        outputs[bytes.fromhex(media), PRINT_SPACE] = readers.printed(writer.blobs.read(media))
        documents.add(document)
    for encoder in readers.images:
        for document, media in writer.images_without(encoder.space.key):
            found = readers.seen(media, writer.blobs.read(media), [encoder])
            if found:
                documents.add(document)
            outputs |= found
        if (
            not writer.has_output(PROMPTS_KEY, encoder.space.key)
            and (showing := writer.documents_with_pictures())
            and (vectors := readers.prompted(encoder)) is not None
        ):
            outputs[PROMPTS_KEY, encoder.space.key] = vectors
            documents |= set(showing)
    if outputs:
        writer.add_outputs(outputs)
        writer.republish(sorted(documents))


def fill_sounds(writer: Writer, settings: Settings, readers: Readers, progress: ProgressCallback | None) -> None:
    """Vectors of how each clip sounds."""
    encoder = readers.sounds
    if encoder is not None and (waiting := writer.sounds_without(encoder.space.key)):
        for document, outputs in encode_sounds(writer, settings, encoder, waiting, progress):
            writer.add_outputs(outputs)
            writer.republish([document])


def fill_speech(writer: Writer, settings: Settings, readers: Readers, progress: ProgressCallback | None) -> None:
    """Words of recordings."""
    if readers.speech is not None and (waiting := writer.unheard(readers.speech.key)):
        for document, facts in hear(writer, settings, readers.speech, waiting, progress):
            (named,) = readers.named([facts])
            writer.replace_facts(document, named, readers.words(named))


def fill_descriptions(writer: Writer, readers: Readers, progress: ProgressCallback | None) -> None:
    """What a model that sees writes of pictures, where one is named."""
    if readers.describer is not None:
        for document, facts in describe(writer, readers.describer, progress):
            named = with_given_names(facts, readers.named([facts])[0])
            writer.replace_facts(document, named, readers.words(named))


def fill_text(writer: Writer, encoder: Encoder) -> None:
    """Vectors for units whose model output is not kept (a lost row, or a base made without the encoder)."""
    for document in writer.documents_without(encoder.space.key):
        writer.add_outputs(text_vectors(writer.facts(document), encoder))
        writer.republish([document])
