"""How long each function takes from its process's start to its first request for an invocation.

    cargo xtask package
    cargo xtask emulator python3 tests/deployment/cold_start.py --lambda target/lambda --waybill target/debug/waybill

Over the emulator, with a runtime that answers nothing. Prints the least, the median and the most.
"""

import argparse
import http.server
import os
import pathlib
import random
import statistics
import subprocess
import threading
import time

PATIENCE_S = 30


class Runtime(http.server.BaseHTTPRequestHandler):
    """Tells when it was asked, and never answers."""

    asked: threading.Event

    def do_GET(self) -> None:
        self.asked.set()
        time.sleep(PATIENCE_S)

    def log_message(self, *_: object) -> None:
        pass


def start_ms(binary: pathlib.Path, environment: dict[str, str]) -> float:
    asked = threading.Event()
    handler = type("Asked", (Runtime,), {"asked": asked})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"127.0.0.1:{server.server_port}"
    began = time.monotonic()
    process = subprocess.Popen([binary], env=environment | {"AWS_LAMBDA_RUNTIME_API": address})
    came = asked.wait(PATIENCE_S)
    took = (time.monotonic() - began) * 1000
    process.kill()
    process.wait()
    server.shutdown()
    assert came, f"{binary} does not start"
    return took


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--lambda", dest="folder", type=pathlib.Path, required=True)
    arguments.add_argument("--waybill", type=pathlib.Path, required=True)
    arguments.add_argument("--starts", type=int, default=15)
    given = arguments.parse_args()
    prefix = f"c-{random.randrange(10**7, 10**8)}"
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_ACCESS_KEY_ID": str(random.randrange(10**11, 10**12)),
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "eu-central-1",
        "WAYBILL_BACKEND": "aws",
        "WAYBILL_PREFIX": prefix,
        "WAYBILL_ENDPOINT_URL": os.environ["AWS_EMULATOR_URL"],
    }
    subprocess.run([given.waybill, "infra", "apply"], env=environment, check=True, stdout=subprocess.DEVNULL)
    function = environment | {
        "AWS_LAMBDA_FUNCTION_NAME": "function",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "WAYBILL_LOG": "error",
    }
    for binary in sorted(given.folder.glob("*/bootstrap")):
        times = [start_ms(binary, function) for _ in range(given.starts)]
        size = binary.stat().st_size / 1e6
        least, median, most = min(times), statistics.median(times), max(times)
        print(f"{binary.parent.name:15} {size:5.1f} MB  {least:4.0f} {median:4.0f} {most:4.0f} ms")


if __name__ == "__main__":
    main()
