"""Model repositories: the configuration parses and describes the program."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import Message
from tests.support.command_line import command, error_line

from trishift.backends.program import ProgramSpec
from trishift.checkpoints import Checkpoint, canonical
from trishift.export import triton
from trishift.export.description import Description
from trishift.export.formats import FORMATS
from trishift.export.planning import ExportOptions, plan
from trishift.export.writing import Exported
from trishift.io.atomic import write_text
from trishift.model.initialization import initial_tensors
from trishift.model.spec import InputSpec, ModelSpec, ShiftSpec

SPEC = ModelSpec("resnet10", 2, 4, width=4, shift=ShiftSpec(4))
FIELDS = {  # the parts of Triton's model_config.proto that are written
    "ModelConfig": {
        "name": "string",
        "backend": "string",
        "max_batch_size": "int32",
        "input": ".ModelInput*",
        "output": ".ModelOutput*",
        "dynamic_batching": ".ModelDynamicBatching",
    },
    "ModelInput": {"name": "string", "data_type": "@DataType", "dims": "int64*"},
    "ModelOutput": {"name": "string", "data_type": "@DataType", "dims": "int64*", "label_filename": "string"},
    "ModelDynamicBatching": {},
}
MEASURED = {"relative": {"1": 0.0}, "runtime": "onnxruntime", "reference": "pytorch"}
DATA_TYPES = ("TYPE_INVALID", "TYPE_BOOL", "TYPE_UINT8", "TYPE_FP32")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("triton") / "model.safetensors"
    labels = ("swipe\nleft", "zoom")
    canonical.save(path, Checkpoint(initial_tensors(SPEC, 0), SPEC, InputSpec(resize=36, crop=(32, 36)), labels))
    return path


def model_config() -> type[Message]:
    """The message type of `config.pbtxt`."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", syntax="proto3")
    values = file.enum_type.add(name="DataType").value
    for number, name in enumerate(DATA_TYPES):
        values.add(name=name, number=number)
    for message, fields in FIELDS.items():
        added = file.message_type.add(name=message)
        for number, (name, text) in enumerate(fields.items(), 1):
            kind = text.rstrip("*")
            one = added.field.add(name=name, number=number, label=3 if text.endswith("*") else 1)
            if kind[0] in ".@":
                one.type = field.TYPE_MESSAGE if kind[0] == "." else field.TYPE_ENUM
                one.type_name = f".{kind[1:]}"
            else:
                one.type = getattr(field, f"TYPE_{kind.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("ModelConfig"))


def check_ports(config: Message, program: ProgramSpec) -> None:
    for written, ports in ((config.input, program.inputs), (config.output, program.outputs)):
        types = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}
        found = [(port.name, tuple(port.dims), DATA_TYPES[port.data_type]) for port in written]
        assert found == [(port.name, port.shape[1:], types[port.dtype]) for port in ports]


def test_configuration_describes_the_program(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exports: list[Description] = []

    def export(source: Checkpoint, options: ExportOptions, folder: Path, name: str) -> Exported:
        exports.append(
            Description(
                FORMATS[options.format], source, plan(source, FORMATS["onnx"], "pytorch", options), {}, MEASURED
            )
        )
        write_text(folder / f"{name}.onnx", "program")
        return Exported(folder / f"{name}.onnx", exports[0])

    monkeypatch.setattr(triton, "export_checkpoint", export)  # tested in test_export.py
    assert command("export", "--checkpoint", checkpoint, "--triton", tmp_path, "--name", 'a "b"') == 0
    entry = tmp_path / 'a "b"'
    config = text_format.Parse((entry / "config.pbtxt").read_text(), model_config()())
    assert (config.name, config.backend, config.max_batch_size) == (entry.name, "onnxruntime", 8)
    assert config.HasField("dynamic_batching")
    [description] = exports
    check_ports(config, description.program)
    assert config.output[0].label_filename == "labels.txt"
    assert (entry / "labels.txt").read_text().splitlines() == ["swipe\\nleft", "zoom"]
    assert (entry / "1" / "model.onnx").is_file()
    frames = replace(description, program=replace(description.program, pixels=description.checkpoint.input))
    check_ports(text_format.Parse(triton.config_text(frames, "frames"), model_config()()), frames.program)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--streaming"], "remove --streaming"),
        (["--framework", "mindspore"], "remove --framework"),
        (["--output", "x"], "--triton names the folder already"),
        (["--name", "taken"], "exists already; choose another --name"),
        (["--name", "../up"], "must be a plain file name"),
    ],
)
def test_wrong_options_are_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], text: str
) -> None:
    (tmp_path / "taken").mkdir()
    assert command("export", "--checkpoint", checkpoint, "--triton", tmp_path, *options) == 1
    assert text in error_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
