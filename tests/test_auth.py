from __future__ import annotations

import subprocess
import sys

import pytest

from connectory.auth import ALLOW_COMMANDS, Credential
from connectory.errors import ConfigError, CredentialsError
from connectory.text.redaction import Redactor

SECRET = "sk-made-up-1234"
ALLOWED = {ALLOW_COMMANDS: "1"}


def bearer(token="", **options):
    return Credential("Authorization", "Bearer ", token, **options)


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        f"Bearer {SECRET}",
        f"bearer {SECRET}",
        f"  Bearer\t{SECRET}\n",
        f"BEARER   {SECRET}",
        f"{SECRET}\r\n",
    ],
)
def test_a_token_is_sent_with_one_bearer_however_it_is_written(written):
    assert bearer(written).headers() == {"Authorization": f"Bearer {SECRET}"}


def test_a_token_that_begins_like_the_prefix_is_kept_whole():
    assert bearer("Bearerly").headers() == {"Authorization": "Bearer Bearerly"}


def test_a_key_header_has_no_prefix():
    assert Credential("api-key", "", SECRET).headers() == {"api-key": SECRET}


@pytest.mark.parametrize("written", ["", "   ", "Bearer", "Bearer ", "\n"])
def test_no_token_is_no_header(written):
    assert bearer(written).headers() == {}


@pytest.mark.parametrize(
    "bad", [f"{SECRET} x", f"sk\n{SECRET}", f"{SECRET}\r\nHost: evil", f"{SECRET}\x00", f"ü{SECRET}"]
)
def test_a_token_of_more_than_one_word_is_refused_and_not_shown(bad):
    with pytest.raises(CredentialsError, match="it must be one word") as caught:
        bearer(bad).headers()
    assert SECRET not in str(caught.value)


def test_a_repr_never_shows_the_token():
    credential = bearer(SECRET, token_command=["print", SECRET])
    assert SECRET not in repr(credential)
    text = bearer(SECRET)
    text.current()
    assert SECRET not in repr(text)


def test_a_token_file_is_read_once_until_it_is_refused(tmp_path):
    file = tmp_path / "token"
    file.write_text("\ufefffirst\n", encoding="utf-8")
    credential = bearer(token_file=file)
    assert credential.current() == "first"
    file.write_text("Bearer second")
    assert credential.current() == "first"
    assert credential.refresh()
    assert credential.current() == "second"
    assert not credential.refresh()


def test_a_given_token_has_nothing_to_read_again():
    assert not bearer(SECRET).refresh()


def test_a_token_stays_when_its_file_is_gone(tmp_path):
    file = tmp_path / "token"
    file.write_text(SECRET)
    credential = bearer(token_file=file)
    credential.current()
    file.unlink()
    with pytest.raises(CredentialsError, match=r"cannot read the token file .*: No such file"):
        credential.refresh()
    assert credential.current() == SECRET


def test_a_token_file_that_is_no_text_is_refused(tmp_path):
    file = tmp_path / "token"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CredentialsError, match="it is not UTF-8"):
        bearer(token_file=file).current()


def command(code):
    return [sys.executable, "-c", code]


def test_a_token_command_gives_its_output():
    assert bearer(token_command=command(f"print('{SECRET}')"), environ=ALLOWED).current() == SECRET


def test_a_token_command_may_be_one_text():
    assert bearer(token_command=f"echo '{SECRET}'", environ=ALLOWED).current() == SECRET


@pytest.mark.parametrize("environ", [{}, {ALLOW_COMMANDS: "0"}, {ALLOW_COMMANDS: "true"}])
def test_a_token_command_runs_only_where_the_environment_allows_it(environ, tmp_path):
    trace = tmp_path / "ran"
    with pytest.raises(ConfigError, match="set CONNECTORY_ALLOW_COMMANDS=1"):
        bearer(token_command=["touch", str(trace)], environ=environ).current()
    assert not trace.exists()


def test_a_token_command_gets_no_input():
    code = "import sys; print('read' + str(len(sys.stdin.read())))"
    assert bearer(token_command=command(code), environ=ALLOWED).current() == "read0"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["connectory-no-such-program"], "did not run: No such file"),
        (command(f"import sys; print('{SECRET}'); sys.exit(3)"), "ended with exit code 3"),
        (command(f"print('two {SECRET}')"), "the output of token_command holds a space"),
        (
            command("import sys; sys.stdout.buffer.write(b'\\xff\\xfe')"),
            "the output of token_command holds a space",
        ),
    ],
)
def test_a_token_command_that_fails_says_why_and_not_what_it_printed(words, says):
    with pytest.raises(CredentialsError) as caught:
        bearer(token_command=words, environ=ALLOWED).current()
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)


def test_a_token_command_that_hangs_is_given_up(monkeypatch):
    def hang(words, **options):
        raise subprocess.TimeoutExpired(words, options["timeout"])

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(CredentialsError, match="no answer in 30 s"):
        bearer(token_command=["sleep"], environ=ALLOWED).current()


@pytest.mark.parametrize(
    ("text", "says"), [("echo 'open", "no closing quotation"), ("  ", "token_command is empty")]
)
def test_a_token_command_that_is_no_command_is_a_configuration_error(text, says):
    with pytest.raises(ConfigError, match=says):
        bearer(token_command=text, environ=ALLOWED).current()


def test_every_token_ever_held_is_blanked(tmp_path):
    file = tmp_path / "token"
    file.write_text("first-token")
    credential = bearer(token_file=file)
    credential.current()
    redactor = Redactor()
    credential.report_to(redactor)
    file.write_text("second-token")
    credential.refresh()
    assert redactor.text("not first-token, nor second-token") == "not ****, nor ****"


def test_a_token_too_short_for_a_secret_leaves_texts_alone():
    credential, redactor = bearer("example"), Redactor()
    credential.report_to(redactor)
    credential.current()
    assert redactor.text("an example") == "an example"


def test_a_token_file_that_is_being_written_changes_nothing(tmp_path):
    file = tmp_path / "token"
    file.write_text(SECRET)
    credential = bearer(token_file=file)
    credential.current()
    file.write_text("")
    assert not credential.refresh()
    assert credential.current() == SECRET
