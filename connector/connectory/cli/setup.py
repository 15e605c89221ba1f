"""What commands share: their options, the configuration, the sandbox, the event loop."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from connectory.cli.following import typed_again
from connectory.cli.observing import log_options, observed
from connectory.cli.outcome import Ended, say
from connectory.cli.saying import voice
from connectory.errors import RunInterruptedError
from connectory.events import Event, Held, Noticed, RequestRetried
from connectory.text.json import JsonTextError, loads_unique
from connectory.text.redaction import LogFilter

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Mapping, Sequence

    from connectory.catalogue import Catalogue
    from connectory.config import Config
    from connectory.connector import AsyncConnector
    from connectory.events import Listener

T = TypeVar("T")
F = TypeVar("F", bound="Callable[..., Any]")

NO_CONFIGURATION: Mapping[str, Any] = {"version": 1, "clients": {"default": {"token": "${OPENAI_API_KEY}"}}}
"""What commands that need no named connection work with where there is no file."""

CONFIG_NAME, CONFIG_VARIABLE = "connectory.yaml", "CONNECTORY_CONFIG"


def config_options(command: F) -> F:
    """Add `--config`, `--client`, `--sandbox` and what says how it is told."""
    command = log_options(command)
    for option in (
        click.option(
            "--sandbox", is_flag=True, help="Point every client to an embedded sandbox; no key is needed."
        ),
        click.option("--client", metavar="NAME", help="Use this client instead of the configured one."),
        click.option(
            "-c",
            "--config",
            metavar="FILE",
            help=f"Configuration file (default: ./{CONFIG_NAME}, else ${CONFIG_VARIABLE}).",
        ),
    ):
        command = option(command)
    return command


def parameter_options(command: F) -> F:
    """Add `--path k=v` and `--query k=v`."""
    for name in ("query", "path"):
        help_text = f"A {name} parameter; repeat it for more." + (
            " A repeated key is a list." * (name == "query")
        )
        command = click.option(
            f"--{name}", metavar="KEY=VALUE", multiple=True, callback=_pairs, help=help_text
        )(command)
    return command


catalogue_option = click.option(
    "-c",
    "--config",
    metavar="FILE",
    help=f"Add the catalogue files of this configuration (default: ./{CONFIG_NAME}).",
)


def config_path(given: str | None) -> Path:
    """Find the configuration file."""
    return Path(
        given or (CONFIG_NAME if Path(CONFIG_NAME).exists() else os.environ.get(CONFIG_VARIABLE, CONFIG_NAME))
    )


def load_catalogue(config: str | None) -> Catalogue:
    """Load the catalogue, with the files that the configuration adds where there is one."""
    from connectory.catalogue import Catalogue

    path = config_path(config)
    if config is None and not path.exists():
        return Catalogue.load()
    from connectory.config import load_config

    return _catalogue_of(load_config(path))


def _catalogue_of(config: Config) -> Catalogue:
    from connectory.catalogue import Catalogue

    return Catalogue.load(*(config.file(name) for name in config.catalogue))


@contextmanager
def connector(
    config: str | None,
    *,
    sandbox: bool,
    listen: Listener | None = None,
    optional: bool = False,
    signed: bool = True,
) -> Generator[AsyncConnector, None, None]:
    """Give the connector of the configuration file, in front of an embedded sandbox if asked for.

    `optional`: a missing file means one client for the OpenAI API with the token of OPENAI_API_KEY. Not `signed`:
    nothing will be sent, so no credential is looked at.
    """
    from connectory.assembly import Endpoint
    from connectory.config import config_from_dict, load_config
    from connectory.connector import AsyncConnector

    path = config_path(config)
    missing = optional and config is None and not path.exists()
    loaded = config_from_dict(NO_CONFIGURATION) if missing else load_config(path)
    with observed(listen or tell) as heard:
        if not sandbox:
            yield AsyncConnector(loaded, listen=heard, endpoint=None if signed else Endpoint("none"))
            return
        with in_sandbox(loaded, listen=heard) as made:
            yield made


@contextmanager
def in_sandbox(config: Config, *, listen: Listener | None = None) -> Generator[AsyncConnector, None, None]:
    """Give the connector of a configuration in front of an embedded sandbox."""
    from connectory.assembly import Endpoint
    from connectory.connector import AsyncConnector
    from connectory.sandbox import EmbeddedSandbox

    with EmbeddedSandbox(catalogue=_catalogue_of(config)) as server:
        endpoint = Endpoint(server.token, server.base_uri.removesuffix("/v1"))
        yield AsyncConnector(config, listen=listen or tell, endpoint=endpoint)


GARBAGE = 10_000
"""New objects after which rings of garbage are looked for: a record makes many objects, and next to no rings."""


def run_loop(
    main: Callable[[], Coroutine[Any, Any, T]], *, stop: Callable[[RunInterruptedError], bool] | None = None
) -> T:
    """Run a coroutine to its end. The first signal stops gently where `stop` can, the second at once."""
    logging.getLogger("asyncio").addFilter(LogFilter())  # it prints what a task died of
    gc.freeze()  # the catalogue and the configuration stay to the end: nobody need look through them again
    gc.set_threshold(GARBAGE)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_interruptible(main, stop))


def loop_factory() -> Any:
    """Give what makes the event loop: uvloop's, where it is installed."""
    return import_module("uvloop").new_event_loop if find_spec("uvloop") else None


async def _interruptible(
    main: Callable[[], Coroutine[Any, Any, T]], stop: Callable[[RunInterruptedError], bool] | None
) -> T:
    task = asyncio.ensure_future(main())
    reasons: list[RunInterruptedError] = []

    def interrupt(number: int) -> None:
        reason = RunInterruptedError("interrupted")
        reason.code = 128 + number
        gentle = not reasons and stop is not None and stop(reason)
        reasons.append(reason)
        if gentle:
            say("stopping: requests under way are being finished; interrupt again to stop at once")
        else:
            task.cancel()

    loop = asyncio.get_running_loop()
    heard: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, interrupt, number)
        except NotImplementedError:  # on Windows Ctrl-C raises KeyboardInterrupt instead
            break
        heard.append(number)
    try:
        return await task
    except asyncio.CancelledError:
        if reasons:
            raise reasons[-1] from None
        raise
    finally:
        for number in heard:  # uvloop leaves its handlers to a process that goes on
            loop.remove_signal_handler(number)


def tell(event: Event) -> None:
    """Print what a person should know: the listener of commands without progress."""
    if voice.json:  # the log tells it
        return
    match event:
        case Noticed(message):
            say(f"note: {message}")
        case Held(wait, reason):
            say(f"all requests wait for {wait:.1f} s: {reason}")
        case RequestRetried(what, attempt, wait, reason, held=False):
            say(f"{what}: attempt {attempt} failed, the next in {wait:.1f} s: {reason}")
        case _:
            pass


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is deleted: on a terminal; elsewhere `--yes` must have been given."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        say(f"error: {question} Not on a terminal, so nothing was deleted; add --yes")
        say(typed_again("--yes"))
        raise Ended(2)
    if not click.confirm(question, err=True):
        say("nothing was deleted")
        raise Ended(2)


def _pairs(_ctx: click.Context, parameter: click.Parameter, values: Sequence[str]) -> dict[str, Any]:
    pairs: dict[str, Any] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{text!r} is not KEY=VALUE")
        if key in pairs and parameter.name == "query":
            earlier = pairs[key]
            pairs[key] = [*earlier, value] if isinstance(earlier, list) else [earlier, value]
        else:
            pairs[key] = value
    return pairs


def payload_of(text: str | None) -> Any:
    """Read `--payload`: JSON, `@FILE` or `-` for stdin."""
    if text is None:
        return None
    try:
        if text == "-":
            return loads_unique(sys.stdin.buffer.read())
        return loads_unique(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except JsonTextError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="--payload") from None
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise click.BadParameter(f"cannot read {text[1:]!r}: {reason}", param_hint="--payload") from None
