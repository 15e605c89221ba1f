"""A real llama.cpp server on a free loopback port, with a tiny model of random weights that is made on the spot."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest

TOKEN = "sk-llama"
WIDTH, LAYERS, HEADS, INNER = 64, 2, 4, 128


@contextmanager
def llama_server(folder: Path, *, embedding: bool = False):
    """Start a server and give its origin; skips loudly where llama.cpp cannot be had, but fails in CI."""
    missing = [name for name in ("xllamacpp", "gguf", "numpy") if not _importable(name)]
    if missing:
        reason = (
            f"llama.cpp is not installed ({', '.join(missing)}): install the dependency group 'counterparts'"
        )
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    model = folder / "tiny.gguf"
    write_model(model)
    port = _free_port()
    log = (folder / "llama.log").open("wb")
    command = [sys.executable, __file__, str(model), str(port), str(int(embedding))]
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_ready(f"http://127.0.0.1:{port}/health", process, folder / "llama.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
        log.close()


def write_model(path: Path) -> None:
    """Write a model of the llama architecture: a byte tokenizer, printable pieces, random weights."""
    import gguf  # noqa: PLC0415 - may be missing
    import numpy as np  # noqa: PLC0415 - may be missing

    random = np.random.default_rng(0)
    tokens = [b"<unk>", b"<s>", b"</s>", *(f"<0x{byte:02X}>".encode() for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL] + [
        gguf.TokenType.BYTE
    ] * 256
    pieces = [chr(code).encode() for code in range(33, 127)] + ["▁".encode(), "▁the".encode(), b"ing"]
    tokens, kinds = tokens + pieces, kinds + [gguf.TokenType.NORMAL] * len(pieces)

    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(rank) for rank in range(len(tokens))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}")

    def weights(*shape: int):
        return (random.standard_normal(shape) * 0.3).astype(np.float32)

    output = weights(len(tokens), WIDTH)
    output[:259] = 0  # never a control token or a raw byte: the answer is text
    writer.add_tensor("token_embd.weight", weights(len(tokens), WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output.weight", output)
    shapes = dict.fromkeys(["attn_q", "attn_k", "attn_v", "attn_output"], (WIDTH, WIDTH))
    shapes |= {"ffn_gate": (INNER, WIDTH), "ffn_up": (INNER, WIDTH), "ffn_down": (WIDTH, INNER)}
    for layer in range(LAYERS):
        for name, shape in shapes.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", weights(*shape))
        for name in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _importable(name: str) -> bool:
    return find_spec(name) is not None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait_until_ready(uri: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(600):
        if process.poll() is not None:
            pytest.fail(f"llama.cpp did not start:\n{log.read_text(errors='replace')[-2000:]}")
        try:
            if httpx.get(uri, timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail("llama.cpp did not get ready in 30 s")


def serve(model: str, port: int, *, embedding: bool) -> None:
    """Serve until killed."""
    import xllamacpp  # noqa: PLC0415 - only in the server's own process

    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.port = port
    parameters.n_ctx = 2048
    parameters.n_predict = 32
    parameters.warmup = False
    parameters.fit_params = False
    parameters.api_keys = [TOKEN]
    parameters.model_alias = {"tiny"}
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    if embedding:
        parameters.embedding = True
        parameters.n_batch = parameters.n_ubatch = 2048
        parameters.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)
    signal.pause()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), embedding=sys.argv[3] == "1")
