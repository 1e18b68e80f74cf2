"""Tokens to text as they come, without ever showing half a character. Knows nothing of what the text means."""

from __future__ import annotations

import codecs

from inhouse.tokenizer.tokenizer import Tokenizer


class Detokenizer:
    """One answer's decoder. The texts it returns, joined, are the tokens' bytes decoded as a whole.

    Bytes that may still become a character are held back until they do; `finish` gives what never did as U+FFFD.
    Control tokens have no text of their own and are left out unless `special`.
    """

    def __init__(self, tokenizer: Tokenizer, *, special: bool = False) -> None:
        self._tokenizer = tokenizer
        self._hidden = frozenset() if special else tokenizer.special_ids
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def push(self, id: int) -> str:
        """The text that token `id` completes; often "" in the middle of an emoji."""
        return "" if id in self._hidden else self._decoder.decode(self._tokenizer.token_bytes(id))

    def finish(self) -> str:
        """What is left of an unfinished character, as U+FFFD, or ""."""
        return self._decoder.decode(b"", final=True)
