"""Answers by a model behind any OpenAI-compatible chat endpoint; what it cites is verified, not believed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from mmkg.endpoint import Address, Endpoint
from mmkg.errors import GenerationError
from mmkg.generate.cite import NOT_FOUND
from mmkg.generate.prompt import build_prompt, read_reply
from mmkg.secret import Secret
from mmkg.types import Answer, Evidence

PATH = "/chat/completions"


class ChatGenerator:
    """A model at a URL writes the answer; its citations are checked against the evidence that was sent to it.

    url: the service, with or without /chat/completions at its end ("http://localhost:8080/v1"). model: its name there.
    api_key: sent as a bearer token, shown nowhere. timeout_s: of one call. retries: further calls after a fault that may pass.
    max_tokens: of the reply. context_characters: of the whole prompt. sleep: how to wait between calls, for tests.
    Only this address is ever called: no redirect is followed, no proxy used, nothing fetched that evidence or model name.
    Raises ConfigError for a URL or key that cannot be used, ValueError for a number out of range.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "default",
        api_key: str | Secret | None = None,
        timeout_s: float = 60.0,
        max_tokens: int = 512,
        temperature: float = 0.0,
        retries: int = 3,
        context_characters: int = 24_000,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if max_tokens < 1 or context_characters < 1 or temperature < 0:
            raise ValueError(
                "max_tokens and context_characters must be at least 1 and temperature at least 0, got "
                f"{max_tokens}, {context_characters} and {temperature}"
            )
        self.name = model
        self._endpoint = Endpoint(
            Address.parse(url, ending=PATH), key=api_key, timeout_s=timeout_s, retries=retries, sleep=sleep
        )
        self._max_tokens, self._temperature, self._characters = max_tokens, temperature, context_characters

    def __repr__(self) -> str:
        return f"ChatGenerator({self._endpoint.address.shown!r}, model={self.name!r})"

    def generate(self, question: str, evidence: Sequence[Evidence]) -> Answer:
        """The model's answer, each sentence with verified citations; found=False if it finds none or none has support.

        Without evidence the model is not called. Raises GenerationError (retryable if it may work later), BudgetError.
        """
        prompt = build_prompt(question, evidence, characters=self._characters)
        if not prompt.sent:
            return Answer(question=question, text=NOT_FOUND, found=False, evidence=tuple(evidence), model=self.name)
        reply = self._endpoint.post(
            {
                "model": self.name,
                "messages": prompt.messages(),
                "max_tokens": self._max_tokens,
                "temperature": self._temperature,
                "stream": False,
            }
        )
        return read_reply(question, self._content(reply), prompt, evidence, model=self.name)

    def _content(self, reply: Any) -> str:
        """The text of the first choice."""
        shown = self._endpoint.address.shown
        try:
            content = reply["choices"][0]["message"]["content"]
        except (KeyError, IndexError, TypeError):
            raise GenerationError(
                f"{shown}: the reply has no choices[0].message.content",
                hint="is this an OpenAI-compatible chat endpoint?",
            ) from None
        if isinstance(content, list):  # Some services reply in parts.
            content = "".join(str(p.get("text") or "") for p in content if isinstance(p, dict))
        if content is not None and not isinstance(content, str):
            raise GenerationError(
                f"{shown}: the reply's content is no text but {type(content).__name__}",
                hint="is this an OpenAI-compatible chat endpoint?",
            )
        if not content or not content.strip():
            error = GenerationError(f"{shown}: the reply is empty", hint="raise max_tokens, or try again")
            error.retryable = True
            raise error
        return content
