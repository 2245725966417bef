"""What docker-compose.localstack.yml starts, started without Docker over the emulator, and its smoke
test: the same commands with the same environment in the same order.

With --bin FOLDER: the services' binaries, as cargo builds them.
"""

import argparse
import os
import pathlib
import random
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import yaml
from stack import ROOT

FILE = ROOT / "docker-compose.localstack.yml"
PATIENCE_S = 90
# What only the containers' image says: the Dockerfile's ENTRYPOINT.
ENTRYPOINT = ["/usr/local/bin/waybill"]


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--bin", type=pathlib.Path, required=True)
    folder = arguments.parse_args().bin
    services = yaml.safe_load(FILE.read_text())["services"]
    for service, found in services.items():
        assert ":latest" not in found["image"] and ":" in found["image"], f"{service} pins no image"
    with tempfile.TemporaryDirectory() as scratch:
        run(services, folder, pathlib.Path(scratch))


def run(services: dict, binaries: pathlib.Path, scratch: pathlib.Path) -> None:
    account = f"{random.randrange(10**11, 10**12)}"
    processes, url = [], None
    try:
        for name in in_order(services):
            if "localstack" in services[name]["image"]:
                continue
            command, environment = on_this_machine(services[name], binaries, scratch, account)
            log = (scratch / f"{name}.log").open("w")
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
            address = environment["WAYBILL_LISTEN"]
            if "entrypoint" not in services[name]:
                ended = process.wait(PATIENCE_S)
                assert ended == 0, f"{name} ended with {ended}:\n{(scratch / f'{name}.log').read_text()}"
                continue
            processes.append((name, process))
            ready(name, process, address, scratch)
            if services[name].get("ports"):
                url = f"http://{address}"
        smoke = [ROOT / "infra/scripts/smoke", url, scratch / "data/waybill/api-key"]
        subprocess.run(smoke, check=True, timeout=PATIENCE_S * 2)
        print(f"{', '.join(name for name, _ in processes)}: started by the compose file's words")
    finally:
        for _, process in processes:
            process.terminate()
        for name, process in processes:
            assert process.wait(PATIENCE_S) == 0, f"{name} did not end well"


def in_order(services: dict) -> list[str]:
    """Each after what it depends on."""
    ordered: list[str] = []
    while len(ordered) < len(services):
        free = [
            name
            for name, service in services.items()
            if name not in ordered and set(service.get("depends_on", {})) <= set(ordered)
        ]
        assert free, "the services wait for each other"
        ordered += free
    return ordered


def on_this_machine(
    service: dict, binaries: pathlib.Path, scratch: pathlib.Path, account: str
) -> tuple[list[str], dict[str, str]]:
    places = {
        "/usr/local/bin": str(binaries),
        "/data": str(scratch / "data"),
        "/workspace/docs": str(ROOT / "docs"),
        "http://localstack:4566": os.environ["AWS_EMULATOR_URL"],
        "0.0.0.0:8080": f"127.0.0.1:{free_port()}",
    }

    def here(word: str) -> str:
        for there, place in places.items():
            word = word.replace(there, place)
        return word

    (scratch / "data").mkdir(exist_ok=True)
    words = [*service.get("entrypoint", ENTRYPOINT), *service.get("command", [])]
    environment = {name: here(value) for name, value in service["environment"].items()}
    # An account of the emulator that is nobody else's; a bucket's name is everybody's.
    environment |= {"AWS_ACCESS_KEY_ID": account, "WAYBILL_PREFIX": f"c-{account[:8]}"}
    return [here(word) for word in words], environment | {"PATH": os.environ["PATH"]}


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def ready(name: str, process: subprocess.Popen, address: str, scratch: pathlib.Path) -> None:
    end = time.monotonic() + PATIENCE_S
    while True:
        log = (scratch / f"{name}.log").read_text()
        assert process.poll() is None, f"{name} ended:\n{log}"
        assert time.monotonic() < end, f"{name} is not ready:\n{log}"
        try:
            with urllib.request.urlopen(f"http://{address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)


if __name__ == "__main__":
    main()
