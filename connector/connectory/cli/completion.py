"""`completion`: the script with which a shell asks for the words that may come next."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
    split_arg_string,
)

from connectory.cli import COMPLETE

SHELLS = ("bash", "zsh", "fish", "powershell")
_POWERSHELL = """\
Register-ArgumentCompleter -Native -CommandName %(prog_name)s -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $env:COMP_WORDS = $commandAst.ToString()
    $env:COMP_CWORD = $wordToComplete
    $env:%(complete_var)s = 'powershell_complete'
    %(prog_name)s | ForEach-Object {
        $word, $help = $_ -split "`t", 2
        if (-not $help) { $help = $word }
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $help)
    }
    Remove-Item Env:COMP_WORDS, Env:COMP_CWORD, Env:%(complete_var)s
}
"""


class PowerShell(ShellComplete):
    """PowerShell's way to ask: the whole line, and the word that is not at its end yet."""

    name: ClassVar[str] = "powershell"
    source_template: ClassVar[str] = _POWERSHELL

    def get_completion_args(self) -> tuple[list[str], str]:
        """Give the words before the one that is completed, and what there is of it."""
        words, incomplete = split_arg_string(os.environ["COMP_WORDS"]), os.environ["COMP_CWORD"]
        if incomplete and words and words[-1] == incomplete:
            words.pop()
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        """Write an item and its help; nothing for a file, which PowerShell finds by itself."""
        return "" if item.type != "plain" else f"{item.value}\t{item.help or ''}"


add_completion_class(PowerShell)


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that lets a shell complete commands, options and the names of your configuration.

    \b
    bash:        echo 'eval "$(connectory completion bash)"' >> ~/.bashrc
    zsh:         echo 'eval "$(connectory completion zsh)"' >> ~/.zshrc
    fish:        connectory completion fish > ~/.config/fish/completions/connectory.fish
    powershell:  connectory completion powershell >> $PROFILE
    """
    made = get_completion_class(shell)
    root: Any = click.get_current_context().find_root().command
    if made is not None:
        click.echo(made(root, {}, "connectory", COMPLETE).source(), nl=False)
