"""An S3 store on the loopback address (moto's server), which holds copies of folders."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

_SETTINGS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
BUCKET = "clips"


@contextmanager
def object_store() -> Iterator[Any]:
    """A running store with an empty bucket, set in the environment; yields its boto3 client."""
    server_module = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    with pytest.MonkeyPatch.context() as environment:
        host, port = server.get_host_and_port()
        for name, value in {**_SETTINGS, "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():
            environment.setenv(name, value)
        environment.delenv("AWS_PROFILE", raising=False)
        forget_stores()
        client = boto3.client("s3")
        client.create_bucket(Bucket=BUCKET)
        try:
            yield client
        finally:
            forget_stores()
            urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()  # all stores share it
            server.stop()


def forget_stores() -> None:
    """Let the next request read the environment again."""
    from trishift.io.storage import remote, shards

    remote._filesystem.cache_clear()
    shards._index.cache_clear()
    s3fs = pytest.importorskip("s3fs")
    s3fs.S3FileSystem.clear_instance_cache()


def upload(client: Any, folder: Path, name: str) -> Path:
    """Copy a folder into the store; returns its address as a path."""
    for file in folder.rglob("*"):
        if file.is_file():
            client.upload_file(str(file), BUCKET, f"{name}/{file.relative_to(folder).as_posix()}")
    return Path(f"s3://{BUCKET}/{name}")
