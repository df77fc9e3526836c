"""A generator for tests: queued replies go through the same reading and verification as a model's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmkg.generate.cite import NOT_FOUND
from mmkg.generate.prompt import Prompt, build_prompt, read_reply
from mmkg.types import Answer, Evidence


class ScriptedGenerator:
    """Replies what it was given, in order, and keeps the prompts. An exception in the queue is raised.

    prompts: what a model would have been sent, one for each call. Raises IndexError when the replies run out.
    """

    def __init__(self, replies: Iterable[str | Exception], *, context_characters: int = 24_000) -> None:
        self.name = "scripted"
        self.prompts: list[Prompt] = []
        self._replies = list(replies)
        self._characters = context_characters

    def generate(self, question: str, evidence: Sequence[Evidence]) -> Answer:
        """The next reply as an answer; without evidence no reply is used up."""
        prompt = build_prompt(question, evidence, characters=self._characters)
        if not prompt.sent:
            return Answer(question=question, text=NOT_FOUND, found=False, evidence=tuple(evidence), model=self.name)
        self.prompts.append(prompt)
        reply = self._replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return read_reply(question, reply, prompt, evidence, model=self.name)
