"""The dummy-weight recipe of model/dummy_weights.h in numpy, so that transformers can run the very same model."""

import numpy as np

GOLDEN64 = 0x9E3779B97F4A7C15
MASK64 = (1 << 64) - 1


def split_mix64(x):
    x = (x + np.uint64(GOLDEN64)).astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def fnv1a64(text):
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK64
    return value


def dummy_tensor(seed, name, shape):
    """float32 values before rounding to the checkpoint's dtype; shape is [rows, cols] or [rows]."""
    rows, cols = shape[0], (shape[1] if len(shape) == 2 else 1)
    if len(shape) == 2:
        offset, scale = np.float32(0), np.float32(np.sqrt(3.0 / cols))
    else:
        offset, scale = np.float32(0 if name.endswith("bias") else 1), np.float32(0.25)
    with np.errstate(over="ignore"):
        start = np.array([(fnv1a64(name) + seed * GOLDEN64) & MASK64], np.uint64)
        key = split_mix64(start)
        mixed = split_mix64(key + np.arange(rows, dtype=np.uint64) * np.uint64(GOLDEN64))
        a = (mixed & np.uint64(0xFFFFFFFF)).astype(np.uint32)[:, None]
        b = (mixed >> np.uint64(32)).astype(np.uint32)[:, None]
        x = np.arange(cols, dtype=np.uint32)[None, :] * np.uint32(0x9E3779B9) + a
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= b
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    u = (x.view(np.int32) >> 8).astype(np.float32) * np.float32(2.0**-23)
    return (offset + u * scale).reshape(shape)
