"""The control channel: whoever started the server steers it by JSON lines, and ends it by leaving."""

import asyncio
import ipaddress
import json
import math
import sys
from collections.abc import Callable
from typing import Any

from harness.reference_mta.greylist import LISTS, Greylist, Triplet, UnreachableError
from harness.reference_mta.mail.desk import ACTIONS, Desk, facts
from harness.reference_mta.mail.srs import Srs

Request = dict[str, Any]
LONGEST = 1 << 16  # bytes of a request


class Control:
    """Answers one request after the other."""

    def __init__(self, greylist: Greylist, desk: Desk, srs: Srs, *, keeps_removed: bool = False) -> None:
        """`keeps_removed` is a deliberate defect: entries cannot be removed."""
        self._greylist = greylist
        self._desk = desk
        self._srs = srs
        self._keeps_removed = keeps_removed
        self._operations: dict[str, Callable[[Request], Request]] = {
            "advance": self._advance,
            "greylist": self._change,
            "outage": self._outage,
            "queue": self._queue,
            "srs": self._rewrite,
        }

    async def serve(self) -> None:
        """Read requests from standard input until it ends or says stop."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=LONGEST)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        go_on = True
        while go_on:
            try:
                line = await reader.readline()
            except ValueError:  # the reader has thrown away what it had of the line
                answer: Request = {"error": f"a request has at most {LONGEST} bytes"}
            else:
                if not line:
                    return
                answer, go_on = self.answer(line)
            print(json.dumps(answer), flush=True)

    def answer(self, line: bytes) -> tuple[Request, bool]:
        """The answer to one line, and whether to go on."""
        try:
            request = json.loads(line)
            if request.get("op") == "stop":
                return {"ok": True}, False
            return {"ok": True} | self._operations[request["op"]](request), True
        except (
            ValueError,
            KeyError,
            AttributeError,
            TypeError,
            RecursionError,
            UnreachableError,
            OSError,
        ) as error:
            return {"error": f"{type(error).__name__}: {error}"}, True

    def _advance(self, request: Request) -> Request:
        seconds = float(request["seconds"])
        if not math.isfinite(seconds):
            raise ValueError(f"{seconds} is no number of seconds")
        self._greylist.advance(_client(request), seconds)
        return {}

    def _change(self, request: Request) -> Request:
        which = request["list"]
        if which not in LISTS:
            raise ValueError(f"no list {which!r}; there are {', '.join(LISTS)}")
        if request["action"] == "list":
            entries = self._greylist.entries(which, _client(request) if "client" in request else "")
            return {"entries": [vars(entry.triplet) for entry in entries]}
        triplet = Triplet.of(_client(request), request["sender"], request["recipient"])
        if request["action"] == "add":
            self._greylist.add(which, triplet)
        elif request["action"] == "remove":
            if not self._keeps_removed:
                self._greylist.remove(which, triplet)
        else:
            raise ValueError(f"no action {request['action']!r}; there are add, remove, list")
        return {}

    def _queue(self, request: Request) -> Request:
        match request["action"]:
            case "list":
                return {"messages": [facts(entry) for entry in self._desk.entries()]}
            case "remove":
                return {"found": self._desk.remove(str(request["id"]))}
            case "thaw":
                return {"found": self._desk.thaw(str(request["id"]))}
            case "run":
                return {"tried": self._desk.run()}
        raise ValueError(f"no action {request['action']!r}; there are {', '.join(ACTIONS)}")

    def _rewrite(self, request: Request) -> Request:
        days = int(request.get("days", 0))
        return {"address": self._srs.forwarded(request["sender"], request["domain"], days)}

    def _outage(self, request: Request) -> Request:
        if not isinstance(request["on"], bool):
            raise TypeError("on: say true or false")
        self._greylist.cut(_client(request), off=request["on"])
        return {}


def _client(request: Request) -> str:
    return str(ipaddress.ip_address(request["client"]))
