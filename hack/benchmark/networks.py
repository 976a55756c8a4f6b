"""The two larger networks: their real architectures with drawn weights, for what counts is the work of a run.

ResNet-18: He et al., "Deep Residual Learning for Image Recognition", 2015, table 1 (batch normalisation is folded into
the convolutions, as every exporter for inference does). BERT: Devlin et al., "BERT", 2018; without token types.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmark.graph import FLOAT, INT64, Graph, tensor

IMAGE = 224
CLASSES = 1000
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, and the stride of the stage's first block

VOCABULARY = 30_522
POSITIONS = 512
LAYERS, HIDDEN, HEADS, INNER = 6, 256, 4, 1024
FAR_BELOW = -10_000.0  # what a filled position's score gets: its weight after the softmax is 0


def write_resnet18(path: Path) -> None:
    """logits[batch,1000] from image[batch,3,224,224]: 11.7 million weights, 1.8 billion multiplications a row."""
    g = Graph(seed=18)
    x = _convolution(g, "image", (3, 64), kernel=7, stride=2)
    x = g.add("Relu", [x])
    x = g.add("MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    width = 64
    for channels, stride in STAGES:
        x = _block(g, x, (width, channels), stride)
        x = _block(g, x, (channels, channels), 1)
        width = channels
    x = g.add("Flatten", [g.add("GlobalAveragePool", [x])])
    g.dense(x, width, CLASSES, "logits")
    image = tensor("image", FLOAT, ("batch", 3, IMAGE, IMAGE))
    g.save(path, [image], [tensor("logits", FLOAT, ("batch", CLASSES))])


def _block(g: Graph, x: str, channels: tuple[int, int], stride: int) -> str:
    """Two 3x3 convolutions and the way around them, which is a 1x1 convolution where the shape changes."""
    first, second = channels
    way = _convolution(g, x, channels, kernel=1, stride=stride) if channels != (second, second) or stride > 1 else x
    inner = g.add("Relu", [_convolution(g, x, (first, second), kernel=3, stride=stride)])
    outer = _convolution(g, inner, (second, second), kernel=3, stride=1, gain=0.2)
    return g.add("Relu", [g.add("Add", [outer, way])])


def _convolution(
    g: Graph, x: str, channels: tuple[int, int], *, kernel: int, stride: int, gain: float = 2.0**0.5
) -> str:
    """`gain` keeps what goes through a chain of blocks from growing."""
    inputs, outputs = channels
    deviation = gain / (inputs * kernel * kernel) ** 0.5
    weights = [g.normal((outputs, inputs, kernel, kernel), deviation), g.normal((outputs,), 0.01)]
    sizes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4}
    return g.add("Conv", [x, *weights], "", **sizes)


def write_bert(path: Path) -> None:
    """last_hidden_state[batch,sequence,256] and pooled[batch,256] from input_ids and attention_mask[batch,sequence]:
    6 layers, 4 heads, inner width 1024. What the mask tells to be filled changes no other position."""
    g = Graph(seed=6)
    low = _mask(g)
    x = _norm(g, _embedding(g))
    for layer in range(LAYERS):
        x = _norm(g, g.add("Add", [x, _attention(g, x, low)]))
        inner = _gelu(g, g.dense(x, HIDDEN, INNER))
        last = layer == LAYERS - 1
        x = _norm(g, g.add("Add", [x, g.dense(inner, INNER, HIDDEN)]), "last_hidden_state" if last else "")
    first = g.add("Gather", [x, g.constant(np.int64(0))], axis=1)
    g.add("Tanh", [g.dense(first, HIDDEN, HIDDEN)], "pooled")
    rows = ("batch", "sequence")
    inputs = [tensor(name, INT64, rows) for name in ("input_ids", "attention_mask")]
    hidden = tensor("last_hidden_state", FLOAT, (*rows, HIDDEN))
    g.save(path, inputs, [hidden, tensor("pooled", FLOAT, ("batch", HIDDEN))])


def _embedding(g: Graph) -> str:
    """[batch,sequence,hidden]: what the token is, and where it stands."""
    tokens = g.add("Gather", [g.normal((VOCABULARY, HIDDEN), 1.0), "input_ids"])
    length = g.add("Slice", [g.add("Shape", ["input_ids"]), *(g.constant(np.array([n])) for n in (1, 2))])
    start, axis = g.constant(np.array([0])), g.constant(np.array([0]))
    places = g.add("Slice", [g.normal((POSITIONS, HIDDEN), 0.3), start, length, axis])
    return g.add("Add", [tokens, places])


def _mask(g: Graph) -> str:
    """[batch,1,1,sequence]: 0 at real positions, far below 0 at filled ones."""
    wide = g.add("Unsqueeze", [g.add("Cast", ["attention_mask"], to=FLOAT), g.constant(np.array([1, 2]))])
    filled = g.add("Sub", [g.constant(np.float32(1.0)), wide])
    return g.add("Mul", [filled, g.constant(np.float32(FAR_BELOW))])


def _attention(g: Graph, x: str, low: str) -> str:
    size = HIDDEN // HEADS
    split, join = g.constant(np.array([0, 0, HEADS, size])), g.constant(np.array([0, 0, HIDDEN]))

    def heads(permutation: list[int]) -> str:
        return g.add("Transpose", [g.add("Reshape", [g.dense(x, HIDDEN, HIDDEN), split])], perm=permutation)

    query, key, value = heads([0, 2, 1, 3]), heads([0, 2, 3, 1]), heads([0, 2, 1, 3])
    scores = g.add("Div", [g.add("MatMul", [query, key]), g.constant(np.float32(size**0.5))])
    weights = g.add("Softmax", [g.add("Add", [scores, low])], axis=-1)
    mixed = g.add("Transpose", [g.add("MatMul", [weights, value])], perm=[0, 2, 1, 3])
    return g.dense(g.add("Reshape", [mixed, join]), HIDDEN, HIDDEN)


def _norm(g: Graph, x: str, output: str = "") -> str:
    scale, shift = np.ones(HIDDEN, np.float32), np.zeros(HIDDEN, np.float32)
    return g.add("LayerNormalization", [x, g.constant(scale), g.constant(shift)], output, axis=-1, epsilon=1e-12)


def _gelu(g: Graph, x: str) -> str:
    """x/2 * (1 + erf(x / sqrt 2)): Hendrycks and Gimpel, 2016."""
    error = g.add("Erf", [g.add("Div", [x, g.constant(np.float32(2.0**0.5))])])
    grown = g.add("Mul", [x, g.add("Add", [error, g.constant(np.float32(1.0))])])
    return g.add("Mul", [grown, g.constant(np.float32(0.5))])
