"""Serves the viewer until it is stopped, and opens it in a browser."""

from __future__ import annotations

import socket
import webbrowser
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from urllib.parse import urlencode

import uvicorn

from cai.errors import InputError
from cai.view.app import application
from cai.view.gate import Rules


def serve(root: Path, host: str, port: int, browser: bool, token: bool, say: Callable[[str], None]) -> None:
    """Shows the runs below `root` at `host` and `port` (0: any that is free), and says where. Raises InputError."""
    rules = Rules.of(host, token)
    app = application(root, rules)
    with _bound(host, port) as listening:
        address = _address(host, listening.getsockname()[1], rules.token)
        say(f"the runs in {root} are at {address} (Ctrl-C ends this)")
        if rules.token:
            say("the address holds the token that lets a visitor in; whoever has it can read these runs and label them")
        if browser:
            opening = Timer(0.5, webbrowser.open, [address])
            opening.daemon = True
            opening.start()
        settings = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
        uvicorn.Server(settings).run(sockets=[listening])


def _address(host: str, port: int, token: str) -> str:
    named = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    shown = f"[{named}]" if ":" in named else named
    return f"http://{shown}:{port}/{'?' if token else ''}{urlencode({'token': token} if token else {})}"


def _bound(host: str, port: int) -> socket.socket:
    bare = host.strip("[]")
    listening = socket.socket(socket.AF_INET6 if ":" in bare else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((bare, port))
    except OSError as error:
        listening.close()
        raise InputError(
            f"{host}:{port} can't be listened on ({error.strerror or error}); give another --port, 0 for any free one"
        ) from None
    return listening
