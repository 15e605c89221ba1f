"""What docs/how-to/secrets.md and proxies.md show works: with a keyring's stand-in, a proxy and a private authority."""

from __future__ import annotations

import json
import os
import ssl
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from command import connectory
from markdown_blocks import blocks
from ruamel.yaml import YAML

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = Path(__file__).parent.parent / "docs" / "how-to"
TOKEN = "sk-made-up-for-a-keyring"


class Server:
    """An API of one answer, which notes who asks for what; as a proxy it sees whole URLs."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        seen: list[tuple[str, str | None]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                token = self.headers["Authorization"]
                seen.append((self.path, token))
                is_known = token in (None, f"Bearer {TOKEN}")
                body = json.dumps(
                    {"object": "list", "data": [{"id": "m"}]} if is_known else {"error": {}}
                ).encode()
                self.send_response(200 if is_known else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_words: object) -> None:
                pass

        self.seen = seen
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port

    @contextmanager
    def serve(self) -> Iterator[Server]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().serve() as running:
        yield running


def shown(page: str, number: int, folder: Path, **changes: Any) -> None:
    """Write the configuration that a page shows, with another server in it."""
    found = [block for block in blocks(PAGES / page) if block.language == "yaml"][number]
    written = YAML(typ="safe").load(found.text)
    for client in written["clients"].values():
        client.update(changes)
    (folder / "connectory.yaml").write_text(json.dumps({"version": 1, **written}))


def check(folder: Path, **environ: str) -> Any:
    return connectory("check", "--config", "connectory.yaml", folder=folder, **environ)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a script of a Unix shell")
def test_a_keyring_gives_the_token_where_commands_are_allowed(tmp_path: Path, server: Server):
    shown("secrets.md", 2, tmp_path, base_uri=f"http://127.0.0.1:{server.port}/v1")
    programs = tmp_path / "programs"
    programs.mkdir()
    program = programs / "keyring"
    program.write_text(f'#!/bin/sh\n[ "$*" = "get openai me" ] && printf "%s\\n" "{TOKEN}"\n')
    program.chmod(0o755)
    path = f"{programs}{os.pathsep}{os.environ['PATH']}"
    refused = check(tmp_path, PATH=path)
    allowed = check(tmp_path, PATH=path, CONNECTORY_ALLOW_COMMANDS="1")
    absent = check(tmp_path, PATH=str(Path(sys.executable).parent), CONNECTORY_ALLOW_COMMANDS="1")
    assert (refused.code, "set CONNECTORY_ALLOW_COMMANDS=1 to allow it" in refused.said) == (3, True)
    assert (allowed.code, server.seen) == (0, [("/v1/models", f"Bearer {TOKEN}")])
    assert (absent.code, "'keyring'] did not run" in absent.said) == (4, True)
    assert TOKEN not in allowed.out + allowed.said


def test_a_file_gives_the_token(tmp_path: Path, server: Server):
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    uri = f"http://127.0.0.1:{server.port}/v1"
    shown("secrets.md", 1, tmp_path, base_uri=uri, token_file=str(tmp_path / "token"))
    assert check(tmp_path).code == 0
    assert server.seen == [("/v1/models", f"Bearer {TOKEN}")]


def test_a_proxy_is_used_where_the_configuration_takes_it_from_the_environment(
    tmp_path: Path, server: Server
):
    way = f"http://127.0.0.1:{server.port}"
    shown("proxies.md", 0, tmp_path, base_uri="http://api.example.test/v1", allow_http=True)
    through = check(tmp_path, HTTPS_PROXY=way, OPENAI_API_KEY=TOKEN)
    assert (through.code, server.seen) == (0, [("http://api.example.test/v1/models", f"Bearer {TOKEN}")])
    assert f"proxy    127.0.0.1:{server.port}" in through.said
    straight = check(tmp_path, HTTPS_PROXY="", OPENAI_API_KEY=TOKEN)
    assert (straight.code, len(server.seen)) == (3, 1)


def test_a_proxy_of_the_environment_alone_is_not_used(tmp_path: Path, server: Server):
    shown("secrets.md", 0, tmp_path, base_uri=f"http://127.0.0.1:{server.port}/v1")
    other = "http://127.0.0.1:9"
    environ = {"HTTP_PROXY": other, "HTTPS_PROXY": other, "ALL_PROXY": other, "OPENAI_API_KEY": TOKEN}
    assert check(tmp_path, **environ).code == 0
    assert [path for path, _ in server.seen] == ["/v1/models"]


def test_a_private_authority_and_a_client_certificate_open_the_door(tmp_path: Path):
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)
    authority.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority.cert_pem.write_to_path(folder / "company.pem")
    mine = authority.issue_cert("me@example.com")
    mine.cert_chain_pems[0].write_to_path(folder / "me.pem")
    mine.private_key_pem.write_to_path(folder / "me.key")
    with Server(context).serve() as server:
        uri = f"https://localhost:{server.port}/v1"
        shown("proxies.md", 2, tmp_path, base_uri=uri)
        known = check(tmp_path)
        shown("proxies.md", 1, tmp_path, base_uri=uri, ca_file=None, token=TOKEN)
        stranger = check(tmp_path)
    assert (known.code, server.seen) == (0, [("/v1/models", None)]), known.said
    assert (stranger.code, stranger.last) == (3, "connectory doctor --config connectory.yaml")
