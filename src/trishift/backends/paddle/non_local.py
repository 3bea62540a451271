"""The non-local block (Wang et al. 2018, arXiv:1711.07971) of NL-TSM, in all four forms."""

from __future__ import annotations

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from trishift.backends.paddle.batch_norm import batch_norm
from trishift.model.spec import NonLocalForm


class NonLocalBlock(nn.Layer):
    """x + BN(out(sum over j of f(x_i, x_j) g(x_j))), where i and j are positions in all frames of a clip.

    f depends on the form (as in mmaction2), n is the number of j:

        embedded_gaussian  softmax over j of theta(x_i)^T phi(x_j)
        gaussian           softmax over j of x_i^T x_j
        dot_product        theta(x_i)^T phi(x_j) / n
        concatenation      relu(w^T [theta(x_i), phi(x_j)]) / n, w being the weights of `pair`

    The originals' 1x1x1 convolutions, (1, 2, 2) pooling of j and 3-D batch norm act on single frames, so they are 2-D
    layers here. As in the originals, there is no factor 1 / sqrt(C).
    """

    def __init__(self, channels: int, segments: int, form: NonLocalForm) -> None:
        super().__init__()
        self.segments = segments
        self.form = form
        inner = channels // 2
        if form != "gaussian":
            self.theta = nn.Conv2D(channels, inner, 1)
            self.phi = nn.Conv2D(channels, inner, 1)
        self.g = nn.Conv2D(channels, inner, 1)
        if form == "concatenation":
            self.pair = nn.Conv2D(2 * inner, 1, 1, bias_attr=False)
        self.out = nn.Conv2D(inner, channels, 1)
        self.bn = batch_norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        embedded = self.form != "gaussian"
        query = self._positions(self.theta(x) if embedded else x)
        key = self._positions(F.max_pool2d(self.phi(x) if embedded else x, 2))
        value = self._positions(F.max_pool2d(self.g(x), 2))
        y = self._compare(query, key, value)
        y = y.reshape([-1, x.shape[2], x.shape[3], y.shape[2]]).transpose([0, 3, 1, 2])
        return x + self.bn(self.out(y))

    def _compare(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The sum over j: (N, I, C), (N, J, C) and (N, J, C') to (N, I, C')."""
        if self.form == "dot_product":  # in the cheaper order of products
            return paddle.matmul(query, paddle.matmul(key, value, transpose_x=True)) / key.shape[1]
        if self.form == "concatenation":
            of_query, of_key = self.pair.weight.flatten().chunk(2)
            similarity = (query @ of_query).unsqueeze(2) + (key @ of_key).unsqueeze(1)
            return paddle.matmul(F.relu(similarity), value) / key.shape[1]
        attention = F.softmax(paddle.matmul(query, key, transpose_y=True), axis=-1)
        return paddle.matmul(attention, value)

    def _positions(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N, T * H * W, C)."""
        _, channels, height, width = x.shape
        return x.transpose([0, 2, 3, 1]).reshape([-1, self.segments * height * width, channels])
