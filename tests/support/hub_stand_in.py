"""A loopback stand-in for the Hugging Face hub and for ModelScope: the requests that reading a repository makes."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from urllib.parse import parse_qs, urlsplit

from tests.support.file_server import FileServer, Handler, tag

COMMIT = "c0ffee" + "0" * 34
_TREE = re.compile(r"/api/models/(\w+/\w+)/tree/\w+")
_FILE = re.compile(r"/(\w+/\w+)/resolve/([\w.]+)/(.+)")
_MODELSCOPE = re.compile(r"/api/v1/models/(\w+/\w+)/repo(/files)?")


_STORE = "lfs"
_LARGEST_INLINE = 100_000  # bytes; the hub's own limit is higher, except for the suffixes of weights


def _mode(size: int) -> str:
    return "regular" if size <= _LARGEST_INLINE else "lfs"


class HubHandler(Handler):
    """`FileServer.files` maps `owner/repo/file` to content; the repository `me/private` needs the token `secret`."""

    def do_GET(self) -> None:
        self.server.requests.append((self.path, self.headers.get("Range")))
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if found := _TREE.match(path):
            entries = [{"type": "file", "path": n, "size": len(c), "oid": "0" * 40} for n, c in self._of(found[1])]
            return self._json(found[1], entries)
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

    def _allowed(self, repository: str) -> bool:
        if not self._of(repository) or (
            repository == "me/private" and self.headers.get("Authorization") != "Bearer secret"
        ):
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
        self.reply(200, content, ETag=tag(content), X_Repo_Commit=COMMIT)


def hub_server() -> FileServer:
    """Make a server, to be run by `file_server.serving`."""
    server = FileServer()
    server.RequestHandlerClass = HubHandler
    return server
