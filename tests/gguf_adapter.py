"""A LoRA adapter for the default model, written byte by byte: it makes the model say other things.

https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import random
import struct
from array import array
from pathlib import Path

_WIDTH = 576  # of the default model
_RANK = 4
_ALIGNED = 32
_STRING, _FLOAT = 8, 6  # types of a value


def write(path: Path, seed: int, *, strength: float = 0.6) -> Path:
    """Write an adapter of the first layers' attention outputs; another for every seed."""
    chance = random.Random(seed)
    names = [f"blk.{n}.attn_output.weight" for n in range(4)]
    tensors: list[tuple[str, tuple[int, int], bytes]] = []
    for name in names:
        a = array("f", [chance.gauss(0, strength) for _ in range(_WIDTH * _RANK)])
        b = array("f", [chance.gauss(0, strength) for _ in range(_WIDTH * _RANK)])
        tensors.append((f"{name}.lora_a", (_WIDTH, _RANK), a.tobytes()))
        tensors.append((f"{name}.lora_b", (_RANK, _WIDTH), b.tobytes()))
    path.write_bytes(_file(tensors))
    return path


def _file(tensors: list[tuple[str, tuple[int, int], bytes]]) -> bytes:
    values = [
        _text("general.architecture", "llama"),
        _text("general.type", "adapter"),
        _text("adapter.type", "lora"),
        _string("adapter.lora.alpha") + struct.pack("<If", _FLOAT, float(_RANK)),
    ]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(values)) + b"".join(values)
    offset, data = 0, b""
    for name, (width, height), content in tensors:
        head += _string(name) + struct.pack("<IQQIQ", 2, width, height, 0, offset)
        data += content + bytes(-len(content) % _ALIGNED)
        offset = len(data)
    return head + bytes(-len(head) % _ALIGNED) + data


def _string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _text(name: str, value: str) -> bytes:
    return _string(name) + struct.pack("<I", _STRING) + _string(value)
