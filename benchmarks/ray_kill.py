"""A stage on a real Ray of two replicas, one of which is killed while it works: what was asked twice, what was lost.

`python -m benchmarks.ray_kill` asks a server of this process, which counts every question, and prints a table.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil

from benchmarks.__main__ import merge_rows

RESULTS = Path(__file__).with_name("ray.json")
_LATENCY, _IN_FLIGHT, _ROUNDS = 0.3, 8, 2
_PROMPTS, _KILL_AT = 320, 200
"""Prompts, a quarter of which are held out, and the records that are there when a replica is killed."""


class Server(ThreadingHTTPServer):
    """Answers after a while, and knows how often each question came."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: Counter[str] = Counter()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        question = self.rfile.read(int(self.headers["Content-Length"])).decode()
        assert isinstance(self.server, Server)
        self.server.asked[question] += 1
        time.sleep(_LATENCY)
        message = {"role": "assistant", "content": "That is a fair question, and here is an answer."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        body = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 64, "completion_tokens": 16}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # of a replica that was killed meanwhile
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _start(runs: Path, prompts: Path, url: str) -> subprocess.Popen[str]:
    engine = f"{{type: openai, base_url: {url}, concurrency: {_IN_FLIGHT}}}"
    models = "{assistant: {model: served}, pretrained: {model: tiny-random, engine: {type: scripted}}}"
    ray = "{type: ray, concurrency: 2, object_store_gb: 0.2}"
    settings = {"engine": engine, "models": models, "executor": ray, "without": "[respond]"}
    settings |= {"prompts.harmful": str(prompts), "prompts.limit": "null", "revise.rounds": str(_ROUNDS)}
    settings |= {"revise.few_shot": "0"}
    given = [f"{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", "cai", "run", "smoke", *given, "--until", "revise", "--runs", str(runs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _replicas(process: subprocess.Popen[str]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [one for one in children if "_Actor" in one.name() or "_Actor" in "".join(one.cmdline())]


def _made(runs: Path) -> int:
    """Records in shards and in the run by now."""
    files = [*runs.glob("smoke/revise-*/shards/*.jsonl"), *runs.glob("smoke/revise-*/items.jsonl")]
    count = 0
    for path in files:
        try:
            count += path.read_bytes().count(b"\n")
        except FileNotFoundError:  # stored and dropped meanwhile
            continue
    return count


def once(prompts_given: int, kill_at: int) -> dict[str, Any]:
    """One run, with a replica killed once so many of its records are there; `kill_at` 0: none is killed."""
    with tempfile.TemporaryDirectory() as folder:
        runs, prompts, server = Path(folder) / "runs", Path(folder) / "prompts.txt", Server()
        prompts.write_text("".join(f"Question {number}, of no harm?\n" for number in range(prompts_given)), "utf-8")
        started = time.monotonic()
        process = _start(runs, prompts, server.url)
        killed, begun = 0, None
        while process.poll() is None:
            made = _made(runs)
            begun = begun or (time.monotonic() if made else None)
            if kill_at and not killed and made >= kill_at:
                os.kill(_replicas(process)[0].pid, signal.SIGKILL)
                killed = made
            time.sleep(0.05)
        ended = time.monotonic()
        output = process.stdout.read() if process.stdout else ""
        assert process.returncode == 0, output
        server.shutdown()
        (found,) = runs.glob("smoke/revise-*")
        ids = [json.loads(line)["id"] for line in (found / "items.jsonl").read_text("utf-8").splitlines()]
        told = json.loads((found / "DONE").read_text("utf-8"))["items"]
        return {
            "items": told,
            "replicas": 2,
            "killed at": f"{killed} of {told * (_ROUNDS + 1)} records" if killed else "-",
            "calls": sum(server.asked.values()),
            "repeated calls": sum(server.asked.values()) - told * (2 * _ROUNDS + 1),
            "lost": told * (_ROUNDS + 1) - len(set(ids)),
            "twice": len(ids) - len(set(ids)),
            "seconds working": round(ended - (begun or started), 1),
            "seconds": round(ended - started, 1),
        }


def measure() -> list[dict[str, Any]]:
    """The table, and its rows in the form of results.json."""
    found = []
    for kill_at in (0, _KILL_AT):
        found.append(once(_PROMPTS, kill_at))
        print(" | ".join(f"{name}: {value}" for name, value in found[-1].items()), flush=True)
    unbroken, killed = found
    most = 2 * _IN_FLIGHT  # calls in flight, and replies that were there and not yet a record
    detail = json.dumps(killed)
    rows = (
        ("ray_kill_lost", killed["lost"] + killed["twice"], 0, "records lost or stored twice", detail),
        ("ray_kill_repeated", killed["repeated calls"], most, "calls", detail),
        ("ray_unbroken_repeated", unbroken["repeated calls"], 0, "calls", json.dumps(unbroken)),
    )
    return [
        {
            "name": name,
            "value": value,
            "reach": reach,
            "reached": value <= reach,
            "unit": unit,
            "command": "python -m benchmarks.ray_kill",
            "detail": said,
        }
        for name, value, reach, unit, said in rows
    ]


if __name__ == "__main__":
    merge_rows(RESULTS, measure())
