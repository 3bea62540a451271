"""A recognizer that sees its clips one frame at a time.

Shape legend: N streams, C channels, H x W pixels, K classes.
"""

from __future__ import annotations

from paddle import Tensor, nn

from trishift.backends.paddle.recognizer import Recognizer
from trishift.backends.paddle.temporal_shift import shift_step
from trishift.model.online import state_shapes


class StreamingRecognizer(nn.Layer):
    """One step of a unidirectional recognizer: the next frame of N streams and their state in, logits and state out.

    The state is explicit, a buffer for each block that shifts (`online.state_shapes`), so that the step is a plain
    function that can be traced and exported. After t steps from zero buffers, the logits are those of frame t in
    the clip network, whose average head returns the mean of such logits.

    Attributes:
        recognizer: the clip network, whose weights this one shares.

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
            state: (N, C // div, H', W') for each block of `stateful`.

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
