"""Non-local blocks of NL-TSM (Wang et al. 2018, arXiv:1711.07971), which compare all positions of a clip."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Literal

from trishift.model.layers import Layers, Maps, conv, norm

NonLocalForm = Literal["embedded_gaussian", "gaussian", "dot_product", "concatenation"]
NON_LOCAL_BLOCKS = ("layer2.0", "layer2.2", "layer3.0", "layer3.2", "layer3.4")  # NL-TSM, after the residual block


def non_local(name: str, x: Maps, form: NonLocalForm) -> Layers:
    """A non-local block, whose norm scale starts at zero so that it starts as the identity."""
    inner = x.channels // 2
    for projection in ("g",) if form == "gaussian" else ("theta", "phi", "g"):
        yield from conv(f"{name}.{projection}", x, inner, 1, bias="zeros")
    if form == "concatenation":
        yield from conv(f"{name}.pair", replace(x, channels=2 * inner, frames=0), 1, 1)  # counted in `_products`
    y = replace(x, channels=inner)
    for layer in conv(f"{name}.out", y, x.channels, 1, bias="zeros"):
        yield replace(layer, products=_products(x, form))
    return (yield from norm(f"{name}.bn", x, scale="zeros"))


def _products(x: Maps, form: NonLocalForm) -> int:
    """Multiplications between the positions of a clip."""
    inner = x.channels // 2
    queries, keys = x.frames * math.prod(x.size), x.frames * math.prod(x.pooled().size)
    if form == "dot_product":  # in the cheaper order of products
        return (queries + keys) * inner**2
    if form == "concatenation":
        return (queries + keys + queries * keys) * inner
    return queries * keys * ((x.channels if form == "gaussian" else inner) + inner)
