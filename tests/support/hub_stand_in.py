"""A loopback stand-in for the Hugging Face hub and for ModelScope: the requests that reading a repository makes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.file_server import FileServer, Handler, plain, tag

COMMIT = "c0ffee" + "0" * 34
_INFO = re.compile(r"/api/datasets/(\w+/\w+)(?:/revision/(\w+))?")
_TREE = re.compile(r"/api/(?:models|(datasets))/(\w+/\w+)/tree/\w+/?(.*)")
_FILE = re.compile(r"/((?:datasets/)?\w+/\w+)/resolve/([\w.]+)/(.+)")
_MODELSCOPE = re.compile(r"/api/v1/models/(\w+/\w+)/repo(/files)?")


_STORE = "lfs"
_LARGEST_INLINE = 100_000  # bytes; the hub's own limit is higher, except for the suffixes of weights


def _mode(size: int) -> str:
    return "regular" if size <= _LARGEST_INLINE else "lfs"


class HubHandler(Handler):
    """`FileServer.files` maps `owner/repo/file` and `datasets/owner/repo/file` to content.

    Repositories named `me/private` need the token `secret`, and so do the files in those named `me/gated`.
    """

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        path, query = unquote(urlsplit(self.path).path), parse_qs(urlsplit(self.path).query)
        if found := _INFO.fullmatch(path):
            if found[2] not in (None, "main", COMMIT):
                return self.reply(404, b"", X_Error_Code="RevisionNotFound")
            return self._json(f"datasets/{found[1]}", {"id": found[1], "sha": COMMIT})
        if found := _TREE.fullmatch(path):
            repository = f"{found[1]}/{found[2]}" if found[1] else found[2]
            return self._json(
                repository, self._tree(repository, found[3], recursive=query["recursive"] in (["true"], ["True"]))
            )
        if found := _MODELSCOPE.match(path):
            files = dict(self._of(found[1]))
            if found[2]:
                listed = [{"Path": name, "Type": "blob", "Sha256": ""} for name in files]
                return self._json(found[1], {"Data": {"Files": listed}})
            return self.reply(200, files[query["FilePath"][0]], ETag='"v1"')
        if found := _FILE.match(path):
            return self._file(*found.groups())
        self.reply(404)

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """Accept a repository, and commits of files that are sent inline (small ones) or beforehand (LFS)."""
        self.server.requests.append((self.path, None))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != "Bearer secret":
            return self.reply(401, b'{"error": "no token"}')
        if found := re.match(r"/api/models/(\w+/\w+)/preupload/main", self.path):
            files = [
                {"path": f["path"], "uploadMode": _mode(f["size"]), "shouldIgnore": False}
                for f in json.loads(body)["files"]
            ]
            return self._answer({"files": files})
        if self.path.endswith(".git/info/lfs/objects/batch"):
            objects = json.loads(body)["objects"]
            actions = [{"upload": {"href": f"{self.server.url}/{_STORE}/{each['oid']}"}} for each in objects]
            return self._answer({"objects": [{**each, "actions": a} for each, a in zip(objects, actions, strict=True)]})
        if found := re.match(r"/api/models/(\w+/\w+)/commit/main", self.path):
            for entry in map(json.loads, body.splitlines()):
                if entry["key"] == "file":
                    content = base64.b64decode(entry["value"]["content"])
                    self.server.files[f"{found[1]}/{entry['value']['path']}"] = content
                if entry["key"] == "lfsFile":
                    content = self.server.files.pop(f"{_STORE}/{entry['value']['oid']}")
                    self.server.files[f"{found[1]}/{entry['value']['path']}"] = content
            url = f"{self.server.url}/{found[1]}/commit/{COMMIT}"
            return self._answer({"commitUrl": url, "commitOid": COMMIT, "success": True})
        if self.path == "/api/repos/create":
            wanted = json.loads(body)
            return self._answer({"url": f"{self.server.url}/{wanted['organization']}/{wanted['name']}"})
        self._answer({"errors": [], "warnings": []})  # the check of the model card's metadata

    def do_PUT(self) -> None:
        """Store a large file under its hash, until a commit names it."""
        self.server.requests.append((self.path, None))
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.path.endswith(hashlib.sha256(content).hexdigest()):
            return self.reply(400)
        self.server.files[self.path.removeprefix("/")] = content
        self.reply(200)

    def _answer(self, content: object) -> None:
        self.reply(200, json.dumps(content).encode(), Content_Type="application/json")

    def _of(self, repository: str) -> list[tuple[str, bytes]]:
        start = f"{repository}/"
        return [(key[len(start) :], content) for key, content in self.server.files.items() if key.startswith(start)]

    def _tree(self, repository: str, folder: str, *, recursive: bool) -> list[dict[str, object]]:
        """The files and folders below a folder, or only those in it."""
        found: dict[str, dict[str, object]] = {}
        start = f"{folder}/" if folder else ""
        for name, content in self._of(repository):
            if not name.startswith(start):
                continue
            parents = [each.as_posix() for each in PurePosixPath(name).parents][:-1]
            entries = {each: {"type": "directory", "path": each, "oid": "0" * 40} for each in parents}
            entries[name] = {"type": "file", "path": name, "size": len(content), "oid": tag(content).strip('"')}
            found |= {each: e for each, e in entries.items() if each.startswith(start)}
        return [entry for name, entry in found.items() if recursive or "/" not in name.removeprefix(start)]

    def _allowed(self, repository: str) -> bool:
        is_private = repository.endswith("me/private") and self.headers.get("Authorization") != "Bearer secret"
        if not self._of(repository) or is_private:
            self.reply(401, b"", X_Error_Code="RepoNotFound")
            return False
        return True

    def _json(self, repository: str, content: object) -> None:
        if self._allowed(repository):
            self.reply(200, json.dumps(content).encode(), Content_Type="application/json")

    def _file(self, repository: str, revision: str, name: str) -> None:
        if not self._allowed(repository):
            return
        if revision not in ("main", COMMIT):
            return self.reply(404, b"", X_Error_Code="RevisionNotFound")
        content = dict(self._of(repository)).get(name)
        if content is None:
            return self.reply(404, b"", X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        if repository.endswith("me/gated") and self.headers.get("Authorization") != "Bearer secret":
            return self.reply(403, b"", X_Error_Code="GatedRepo")
        plain(self, content, X_Repo_Commit=COMMIT)


def hub_server() -> FileServer:
    """Make a server, to be run by `file_server.serving`."""
    server = FileServer()
    server.RequestHandlerClass = HubHandler
    return server
