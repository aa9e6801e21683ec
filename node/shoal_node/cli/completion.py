"""``shoal completion``: a completion script for the shell."""

import argparse

from shoal_node.cli import console, options


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.command(
        commands,
        "completion",
        _completion,
        "print a completion script for a shell",
        "shoal completion bash > ~/.local/share/bash-completion/completions/shoal",
    )
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"), help="the shell")


def _completion(arguments: argparse.Namespace) -> None:
    import shtab

    from shoal_node.cli import main

    console.out(shtab.complete(main.build_parser(), shell=arguments.shell))
