"""Weight files with the names used in docs/migration.md, in real size and in the formats of their code bases.

The weights are random, seeded by the tensor names; none are published weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

from testing import originals
from testing.originals import Shapes, filled

from trishift.checkpoints.formats.paddle_legacy import write_folder

KINETICS, SOMETHING, JESTER, MOMENTS, IMAGENET = 400, 174, 27, 313, 1000
TSM = partial(originals.tsm_resnet, 50, width=64, shift="blockres")
TSN = partial(originals.tsm_resnet, 50, width=64)

Writer = Callable[[Path], object]


def record_shapes(name: str, classes: int | None = None, rename: Callable[[str], str] = str) -> Shapes:
    """Names and shapes of a golden record, with another number of classes in its last layer."""
    shapes = {key: tuple(shape) for key, shape in originals.record(name)["keys"]}
    for key in ("new_fc.weight", "new_fc.bias"):
        if classes:
            shapes[key] = (classes, *shapes[key][1:])
    return {rename(key): shape for key, shape in shapes.items()}


def trained(shapes: Shapes, prefix: str = "", **extras: object) -> Writer:
    """Writer of a training script's container, with a prefix before every name."""
    return lambda path: originals.write_torch(
        path, {"epoch": 3, "arch": "resnet50", "state_dict": filled(shapes, prefix), **(extras or {"best_prec1": 71.5})}
    )


def bare(shapes: Shapes) -> Writer:
    """Writer of the bare tensors."""
    return lambda path: originals.write_torch(path, filled(shapes))


def of_record(name: str) -> Writer:
    """Writer of a golden record in the format of its code base."""

    def write(path: Path) -> None:
        originals.write_record(originals.record(name), path.parent).replace(path)

    return write


def imagenet_resnet() -> Shapes:
    """torchvision's ResNet-50."""
    shapes = TSN(classes=IMAGENET, prefix="", head="fc")
    return {name.removeprefix("base_model."): shape for name, shape in shapes.items()}


def imagenet_mobilenet() -> Shapes:
    """The MobileNetV2 that embedded_TSM starts from."""
    renames = {"base_model.": "", ".net.": ".", "new_fc.": "classifier.1."}
    pattern = "|".join(map(re.escape, renames))
    return record_shapes("tsm_mobilenetv2_8f", IMAGENET, lambda name: re.sub(pattern, lambda m: renames[m[0]], name))


def imagenet_bn_inception() -> Shapes:
    """yjxiong's BNInception: vectors of batch norms are (1, C), as in Caffe."""
    shapes = record_shapes("tsn_bninception_8f", IMAGENET, lambda name: re.sub(r"^base_model\.|^new_", "", name))
    norms = {name: (1, *shape) for name, shape in shapes.items() if "_bn." in name and shape}
    return {name: norms.get(name, shape) for name, shape in shapes.items()}


def motion_network(kind: str, classes: int) -> Writer:
    """Writer of a checkpoint of MSN or TDN."""
    return trained(record_shapes(f"{kind}_resnet50_8f", classes), "module.")


def paddle_resnet(classes: int) -> Shapes:
    """A ResNet-50 of Paddle 1.x."""
    return originals.paddle_resnet(50, fluid=True, width=64, classes=classes)


def inception_relations(record: str, classes: int, last: str) -> Writer:
    """Writer of TRN-pytorch's checkpoint with another number of classes in the layers that match `last`."""
    shapes = {name: tuple(shape) for name, shape in originals.record(record)["keys"]}
    of_classes = {name: (classes, *shape[1:]) for name, shape in shapes.items() if re.search(last, name)}
    return trained(shapes | of_classes, "module.")


def imagenet_of(record: str, classifier: str) -> Writer:
    """Writer of the ImageNet network under one of PaddleVideo's records, whose head is another one."""
    shapes = record_shapes(record, rename=lambda name: name.removeprefix("backbone."))
    shapes = {name: shape for name, shape in shapes.items() if not name.startswith(("head.", "global_attention."))}
    width = shapes.get(f"{classifier}.weight", (2048,))[0]
    head = {f"{classifier}.weight": (width, IMAGENET), f"{classifier}.bias": (IMAGENET,)}
    return lambda path: originals.write_pdparams(path, filled(shapes | head))


BLOCKRES = "resnet50_shift8_blockres_avg"
MOBILENET = "MobileNetV2_shift8_blockres_avg"

WEIGHTS: dict[str, Writer] = {
    "TSM_kinetics_RGB_resnet50_avg_segment5_e50.pth": trained(TSN(classes=KINETICS)),
    f"TSM_kinetics_RGB_{BLOCKRES}_segment8_e50.pth": trained(TSM(classes=KINETICS)),
    f"TSM_kinetics_RGB_{BLOCKRES}_segment16_e50.pth": trained(TSM(classes=KINETICS)),
    f"TSM_kinetics_RGB_{BLOCKRES}_segment8_e100_dense.pth": trained(TSM(classes=KINETICS)),
    f"TSM_kinetics_RGB_{BLOCKRES}_segment8_e100_dense_nl.pth": trained(TSM(classes=KINETICS, non_local=True)),
    f"TSM_something_RGB_{BLOCKRES}_segment8_e45.pth": trained(TSM(classes=SOMETHING)),
    f"TSM_jester_RGB_{BLOCKRES}_segment8_e2.pth": trained(TSM(classes=JESTER)),
    f"TSM_jester_RGB_{MOBILENET}_segment8_e5.pth": of_record("embedded_tsm_mobilenetv2_8f"),
    "mobilenetv2_jester_online.pth.tar": of_record("tsm_mobilenetv2_online"),
    "ckpt.best.pth.tar": trained(TSM(classes=MOMENTS), best_mAP=0.63),
    "resnet50.pth": bare(imagenet_resnet()),
    "mobilenet_v2.pth.tar": bare(imagenet_mobilenet()),
    "bn_inception-9f5701afb96c8044.pth": bare(imagenet_bn_inception()),
    "TSM.pdparams": lambda path: originals.write_pdparams(path, filled(paddle_resnet(KINETICS)), protocol=2),
    "ResNet50_pretrained": lambda path: write_folder(path, filled(paddle_resnet(IMAGENET))),
    "trn.ckpt": of_record("mindspore_trn_bninception_8f"),
    "best.pth.tar": motion_network("msn", SOMETHING),
    "kinetics/best.pth.tar": motion_network("msn", KINETICS),
    "tdn_8f.pth.tar": motion_network("tdn", SOMETHING),
    "tdn_16f.pth.tar": motion_network("tdn", SOMETHING),
    "tdn_k400_8f.pth.tar": motion_network("tdn", KINETICS),
    "TRN_something_RGB_BNInception_TRN_segment3_best.pth.tar": of_record("trn_single_bninception_3f"),
    "TRN_something_RGB_BNInception_TRNmultiscale_segment8_best.pth.tar": inception_relations(
        "trn_multiscale_bninception_8f_all", SOMETHING, r"fc_fusion_scales\.\d\.3\."
    ),
    "TRN_moments_RGB_InceptionV3_TRNmultiscale_segment8_best.pth.tar": of_record("trn_multiscale_inceptionv3_8f_all"),
    "tsm_imagenet-pretrained-r50_8xb16-1x1x8-50e_kinetics400-rgb_20220831-64d69186.pth": of_record(
        "mmaction2_tsm_resnet50_8f"
    ),
    "ResNet50_vd_ssld_v2_pretrained.pdparams": imagenet_of("pptsm_resnet50_vd_8f", "out"),
    "ppTSM_k400_uniform.pdparams": of_record("pptsm_resnet50_vd_8f"),
    "ppTSM_k400_dense.pdparams": of_record("pptsm_resnet50_vd_8f"),
    "PPLCNetV2_base_ssld_pretrained.pdparams": imagenet_of("pptsmv2_lcnet", "fc"),
    "PPTSMv2_k400_16f_dml_student.pdparams": of_record("pptsmv2_lcnet"),
}


def write_weights(work: Path) -> None:
    """Write all weight files."""
    for name, write in WEIGHTS.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
