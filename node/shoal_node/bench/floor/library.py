"""Compiles a floor's C file in a temporary folder and loads it; nothing of it outlives the run."""

import ctypes
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

from shoal_protocol.errors import UserError


def load(name: str) -> ctypes.CDLL:
    """Return the library compiled from ``name``.c beside this file, linked with libsodium.

    Raises UserError with what to install when there is no compiler or no libsodium to compile
    against.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise UserError("The floor needs a C compiler (Debian: apt install gcc libsodium-dev).")
    source = resources.files(__package__).joinpath(f"{name}.c").read_bytes()
    with tempfile.TemporaryDirectory(prefix="shoal-floor-") as folder:
        target = Path(folder, f"{name}.so")
        done = subprocess.run(  # noqa: S603 - a compiler found on the path, fixed arguments
            [compiler, "-O3", "-shared", "-fPIC", "-x", "c", "-", "-o", str(target), "-lsodium"],
            input=source,
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise UserError(
                "The floor needs libsodium's headers (Debian: apt install gcc libsodium-dev)."
            )
        return ctypes.CDLL(str(target))
