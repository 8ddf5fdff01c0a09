"""The local embedding model, all-MiniLM-L6-v2, as a forward pass on numpy. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from standpipe.engine.embedding_weights import TOKENIZER, WEIGHTS

#: Tokens that are read at a time, about half a second's work; others wait no longer for their turn.
BATCH = 1024

_WIDTH = 384
_LAYERS = 6
_HEADS = 12
_EPSILON = 1e-12
_FIRST, _LAST = 101, 102  # [CLS], [SEP]
_PIECE = 1 << 14


class Embedder:
    """Turns texts into vectors; takes a quarter of a second to load and 160 MB."""

    def __init__(self, folder: Path) -> None:
        self._weights: dict[str, Any] = load_file(folder / WEIGHTS)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Return each text's tokens, without the two around it."""
        encoded = self._tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [each.ids for each in encoded]

    def vectors(self, texts: Sequence[Sequence[int]]) -> Iterator[list[tuple[int, Any]]]:
        """Yield vectors of length 1, float32, with the places of their texts, a batch at a time."""
        for places in _batches([len(text) + 2 for text in texts]):
            found = self._forward([[_FIRST, *texts[place], _LAST] for place in places])
            yield list(zip(places, found, strict=True))

    def _forward(self, texts: list[list[int]]) -> Any:
        """Return the vectors of a batch."""
        longest = max(map(len, texts))  # B texts, T tokens, C = _WIDTH
        ids = numpy.zeros((len(texts), longest), numpy.int64)
        mask = numpy.zeros((len(texts), longest), numpy.float32)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = text
            mask[row, : len(text)] = 1
        hidden = self._embedded(ids)  # (B, T, C)
        away = (1 - mask[:, None, None, :]) * numpy.float32(-1e9)  # (B, 1, 1, T)
        for layer in range(_LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden, away)
        mean = (hidden * mask[:, :, None]).sum(1) / mask.sum(1, keepdims=True)  # (B, C)
        return mean / numpy.maximum(numpy.linalg.norm(mean, axis=1, keepdims=True), 1e-12)

    def _embedded(self, ids: Any) -> Any:
        weights = self._weights
        words = weights["embeddings.word_embeddings.weight"][ids]
        places = weights["embeddings.position_embeddings.weight"][: ids.shape[1]]
        kind = weights["embeddings.token_type_embeddings.weight"][0]
        return self._normal("embeddings.LayerNorm", words + places + kind)

    def _layer(self, name: str, hidden: Any, away: Any) -> Any:
        said = self._attended(f"{name}attention.", hidden, away)
        hidden = self._normal(f"{name}attention.output.LayerNorm", hidden + said)
        inner = _gelu(self._dense(f"{name}intermediate.dense", hidden))
        outer = self._dense(f"{name}output.dense", inner)
        return self._normal(f"{name}output.LayerNorm", hidden + outer)

    def _attended(self, name: str, hidden: Any, away: Any) -> Any:
        query, key, value = (
            _heads(self._dense(f"{name}self.{part}", hidden)) for part in ("query", "key", "value")
        )  # (B, H, T, C/H)
        scores = query @ key.swapaxes(2, 3) / numpy.float32((_WIDTH / _HEADS) ** 0.5) + away
        scores = numpy.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ value
        return self._dense(f"{name}output.dense", mixed.swapaxes(1, 2).reshape(hidden.shape))

    def _dense(self, name: str, hidden: Any) -> Any:
        weight = self._weights[f"{name}.weight"]
        # One product of two matrices: numpy takes many times longer over a batch of them.
        product = hidden.reshape(-1, hidden.shape[-1]) @ weight.T
        return (product + self._weights[f"{name}.bias"]).reshape(*hidden.shape[:-1], -1)

    def _normal(self, name: str, hidden: Any) -> Any:
        centred = hidden - hidden.mean(-1, keepdims=True)
        scaled = centred / numpy.sqrt((centred**2).mean(-1, keepdims=True) + _EPSILON)
        return scaled * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the places of texts of about the same length, at most BATCH tokens with the padding."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: lengths[place]):
        if batch and lengths[place] * (len(batch) + 1) > BATCH:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def _heads(hidden: Any) -> Any:
    batch, length, _ = hidden.shape
    return hidden.reshape(batch, length, _HEADS, -1).swapaxes(1, 2)


def _gelu(x: Any) -> Any:
    """Return x with the model's activation, in pieces that stay in a core's cache."""
    flat, made = x.reshape(-1), numpy.empty(x.size, numpy.float32)
    for start in range(0, x.size, _PIECE):
        piece = flat[start : start + _PIECE] * numpy.float32(0.5)
        made[start : start + _PIECE] = piece * (1 + _erf(piece * numpy.float32(2**0.5)))
    return made.reshape(x.shape)


def _erf(x: Any) -> Any:
    """Return the error function to 1.5e-7 (Abramowitz and Stegun, 7.1.26); numpy has none."""
    size = numpy.abs(x)
    t = 1 / (1 + numpy.float32(0.3275911) * size)
    series = numpy.zeros_like(t)
    for factor in (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series += numpy.float32(factor)
        series *= t
    return numpy.copysign(1 - series * numpy.exp(-size * size), x)
