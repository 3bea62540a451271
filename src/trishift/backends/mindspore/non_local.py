"""The non-local block (Wang et al. 2018, arXiv:1711.07971) of NL-TSM, in all four forms."""

from __future__ import annotations

from mindspore import Tensor, nn, ops

from trishift.backends.mindspore.batch_norm import batch_norm
from trishift.model.spec import NonLocalForm


def _conv1x1(in_channels: int, channels: int, bias: bool = True) -> nn.Conv2d:
    """A 1x1 convolution."""
    return nn.Conv2d(in_channels, channels, 1, pad_mode="pad", has_bias=bias)


class NonLocalBlock(nn.Cell):
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
            self.theta = _conv1x1(channels, inner)
            self.phi = _conv1x1(channels, inner)
        self.g = _conv1x1(channels, inner)
        if form == "concatenation":
            self.pair = _conv1x1(2 * inner, 1, bias=False)
        self.out = _conv1x1(inner, channels)
        self.bn = batch_norm(channels)
        self.pool = nn.MaxPool2d(2, 2)

    def construct(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) in and out."""
        frames, _, height, width = x.shape
        if self.form == "gaussian":
            query, key = self._positions(x), self._positions(self.pool(x))
        else:
            query, key = self._positions(self.theta(x)), self._positions(self.pool(self.phi(x)))
        value = self._positions(self.pool(self.g(x)))
        y = self._compare(query, key, value).reshape((frames, height, width, -1)).transpose(0, 3, 1, 2)
        return x + self.bn(self.out(y))

    def _compare(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """The sum over j: (N, I, C), (N, J, C) and (N, J, C') to (N, I, C')."""
        if self.form == "dot_product":  # in the cheaper order of products
            return ops.bmm(query, ops.bmm(key.swapaxes(1, 2), value)) / key.shape[1]
        if self.form == "concatenation":
            weight = self.pair.weight.reshape((-1,)).astype(query.dtype)
            of_query, of_key = weight[: query.shape[2]], weight[query.shape[2] :]
            similarity = (query * of_query).sum(-1).expand_dims(2) + (key * of_key).sum(-1).expand_dims(1)
            return ops.bmm(ops.relu(similarity), value) / key.shape[1]
        attention = ops.softmax(ops.bmm(query, key.swapaxes(1, 2)), -1)  # (N, T * H * W, T * H / 2 * W / 2)
        return ops.bmm(attention, value)

    def _positions(self, x: Tensor) -> Tensor:
        """(N * T, C, H, W) to (N, T * H * W, C)."""
        channels, height, width = x.shape[1:]
        return x.transpose(0, 2, 3, 1).reshape((-1, self.segments * height * width, channels))
