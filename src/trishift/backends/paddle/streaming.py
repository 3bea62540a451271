"""Frame-by-frame inference with a recognizer.

Shape legend: N streams, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from paddle import Tensor, nn

from trishift.backends.paddle.recognizer import Recognizer
from trishift.backends.paddle.temporal_shift import shift_step
from trishift.model.online import state_shapes


class StreamingRecognizer(nn.Layer):
    """Advances N streams of a unidirectional recognizer by one frame: frames and state in, logits and new state out.

    The state is explicit, one buffer per shifted block (`online.state_shapes`), so that this is a plain function to
    trace and export. After t frames from zero buffers, the logits are those of frame t in the clip network, whose
    average head returns the mean of these logits.

    Attributes:
        recognizer: the clip network, which shares its weights.

    Raises:
        RecipeError: the model is not unidirectional, or has non-local blocks, temporal pooling or a relation head.
    """

    def __init__(self, recognizer: Recognizer) -> None:
        super().__init__()
        self.stateful = tuple(state_shapes(recognizer.spec, 224, 224))  # the names do not depend on the size
        self.recognizer = recognizer
        self._blocks = recognizer.backbone.blocks()

    def forward(self, frames: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Logits of the frames and the new state.

        Args:
            frames: (N, C, H, W).
            state: one (N, C // div, H', W') per block of `stateful`.

        Returns:
            (N, K), followed by the new state.
        """
        backbone = self.recognizer.backbone
        x = backbone.stem(frames)
        present: tuple[Tensor, ...] = ()
        for name, after_shift in self._blocks:
            shifted = x
            if name in self.stateful:
                shifted, kept = shift_step(x, state[len(present)])
                present = (*present, kept)
            x = after_shift(x, shifted)
        return self.recognizer.head.fc(backbone.pool(x)), *present
