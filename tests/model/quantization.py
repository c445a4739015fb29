"""Rounds weights to integers as --quantization does, repeated from its description (model/quantize.h) bit for bit."""

import numpy as np

INT4_GROUP = 64
LANES = 16
F = np.float32


def to_bf16(values):
    bits = values.astype(F).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
    return rounded.view(F)


def integers(groups, inverse, low, high):
    return np.clip(np.rint(groups * inverse[:, None]), F(low), F(high)).astype(F)


def sums(products):
    """[groups, n] added in sixteen lanes, then lane by lane."""
    count, n = products.shape
    padded = np.zeros((count, -(-n // LANES) * LANES), F)
    padded[:, :n] = products
    lanes = np.zeros((count, LANES), F)
    for part in padded.reshape(count, -1, LANES).transpose(1, 0, 2):
        lanes += part
    total = np.zeros(count, F)
    for lane in lanes.T:
        total += lane
    return total


def search_scale(groups, low, high):
    largest = np.abs(groups).max(1)
    best = np.full(len(groups), -1, F)
    scale = np.zeros(len(groups), F)
    with np.errstate(divide="ignore", invalid="ignore"):
        for i in range(10):
            inverse = F(high) / (largest * (F(1) - F(0.04) * F(i)))
            q = integers(groups, inverse, low, high)
            dot, square = sums(groups * q), sums(q * q)
            kept = np.where(square > 0, dot * dot / square, F(0))
            better = (kept > best) & (largest > 0)
            best = np.where(better, kept, best)
            scale = np.where(better, dot / square, scale)
    return np.where((largest < F(1e-15)) | (largest > F(1e15)), largest / F(high), scale)


def quantize(weight, bits):
    """float32 [out, in] to the float32 values that its integers and scales stand for."""
    high = 2 ** (bits - 1) - 1
    low = -high if bits == 8 else -high - 1
    out, cols = weight.shape
    size = cols if bits == 8 else INT4_GROUP
    result = np.empty_like(weight)
    for begin in range(0, cols, size):
        groups = np.ascontiguousarray(weight[:, begin:begin + size])
        scale = np.abs(groups).max(1) / F(high) if bits == 8 else search_scale(groups, low, high)
        scale = to_bf16(scale)
        inverse = np.divide(F(1), scale, out=np.zeros_like(scale), where=scale > 0)
        scale = np.where(np.isfinite(inverse), scale, F(0))
        result[:, begin:begin + size] = integers(groups, np.where(np.isfinite(inverse), inverse, F(0)), low, high) * scale[:, None]
    return result


def quantize_model(model, mode):
    """Replaces the matrices of a transformers model in float32; norms and biases stay."""
    import torch

    for name, parameter in model.named_parameters():
        if parameter.dim() != 2:
            continue
        bits = 4 if mode == "int4" and ".layers." in name else 8
        parameter.data = torch.from_numpy(quantize(parameter.detach().numpy(), bits))
    return model
