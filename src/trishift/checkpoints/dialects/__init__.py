"""The registry of dialects, one per family of weight files."""

from __future__ import annotations

from trishift.checkpoints.dialects.base import Dialect
from trishift.checkpoints.dialects.bn_inception import BNInception, InceptionV3
from trishift.checkpoints.dialects.image_zoos import MindCV, PaddleClas, TimmMobileNet
from trishift.checkpoints.dialects.mindspore_zoo import MindSporeTRN, MindSporeTSM, MindSporeTSN
from trishift.checkpoints.dialects.mmaction2 import MMAction2
from trishift.checkpoints.dialects.msn import MotionSensitiveNetwork
from trishift.checkpoints.dialects.native import NATIVE
from trishift.checkpoints.dialects.paddle1 import PaddleFluid
from trishift.checkpoints.dialects.paddlevideo import PaddleVideo
from trishift.checkpoints.dialects.pptsm import PPTSM
from trishift.checkpoints.dialects.pptsm_mobile import PPTSMMobile
from trishift.checkpoints.dialects.tdn import TemporalDifferenceNetwork
from trishift.checkpoints.dialects.torchvision import PaddleVision, Torchvision
from trishift.checkpoints.dialects.trn import TemporalRelationNetwork
from trishift.checkpoints.dialects.tsm import M4, EmbeddedTSM, FlatMobileNet, TemporalShiftModule
from trishift.errors import CheckpointError

DIALECTS: dict[str, Dialect] = {  # if two fit equally well, the first one wins
    dialect.name: dialect
    for dialect in (
        *NATIVE.values(),
        Torchvision(),
        PaddleVision(),
        TimmMobileNet(),
        MindCV(),
        PaddleClas(),
        BNInception(),
        InceptionV3(),
        M4(),
        TemporalShiftModule(),
        EmbeddedTSM(),
        FlatMobileNet(),
        TemporalRelationNetwork(),
        TemporalDifferenceNetwork(),
        MotionSensitiveNetwork(),
        MMAction2(),
        PaddleVideo(),
        PPTSM(),
        PPTSMMobile(),
        PaddleFluid(),
        MindSporeTRN(),
        MindSporeTSM(),
        MindSporeTSN(),
    )
}


def dialect_named(name: str) -> Dialect:
    """Return the dialect with this name.

    Raises:
        CheckpointError: the name is unknown; the message lists all dialects.
    """
    if name not in DIALECTS:
        raise CheckpointError(f"dialect {name!r} is unknown; one of {', '.join(DIALECTS)}")
    return DIALECTS[name]
