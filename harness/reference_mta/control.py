"""The control channel: whoever started the server steers it by JSON lines, and ends it by leaving."""

import asyncio
import json
import math
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from harness.reference_mta.greylist import LISTS, Greylist, Triplet, UnreachableError
from harness.reference_mta.greylist_unit import unit_named, unit_of
from harness.reference_mta.mail.queue_commands import ACTIONS, QueueCommands, facts
from harness.reference_mta.mail.srs import Srs
from harness.reference_mta.policy.greylisting import AS_IT_SHOULD_BE, GreylistParts
from harness.reference_mta.reached import Reached, on_behalf_of

Request = dict[str, Any]
HostName = Callable[[str], Awaitable[str]]
LONGEST = 1 << 16  # bytes of a request
SPEAKS_OF = ("client", "sender", "about")  # keys of a request that say on whose behalf it comes


class Control:
    """Answers one request after the other."""

    def __init__(
        self,
        greylist: Greylist,
        queue_commands: QueueCommands,
        srs: Srs,
        host_name: HostName,
        *,
        parts: GreylistParts = AS_IT_SHOULD_BE,
        reached: Reached | None = None,
    ) -> None:
        """`host_name` gives the confirmed name of an address, or nothing. `reached` is told on demand."""
        self._greylist = greylist
        self._host_name = host_name
        self._queue_commands = queue_commands
        self._srs = srs
        self._parts = parts
        self._reached = reached
        self._operations: dict[str, Callable[[Request], Awaitable[Request]]] = {
            "advance": self._advance,
            "greylist": self._change,
            "outage": self._outage,
            "queue": self._queue,
            "reached": self._tell_reached,
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
                answer, go_on = await self.answer(line)
            print(json.dumps(answer), flush=True)

    async def answer(self, line: bytes) -> tuple[Request, bool]:
        """The answer to one line, and whether to go on."""
        try:
            request = json.loads(line)
            if request.get("op") == "stop":
                return {"ok": True}, False
            with on_behalf_of(*(str(request.get(key, "")) for key in SPEAKS_OF)):
                return {"ok": True} | await self._operations[request["op"]](request), True
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

    async def _advance(self, request: Request) -> Request:
        seconds = float(request["seconds"])
        if not math.isfinite(seconds):
            raise ValueError(f"{seconds} is no number of seconds")
        self._greylist.advance(await self._unit(request), seconds)
        return {}

    async def _change(self, request: Request) -> Request:
        which = request["list"]
        if which not in LISTS:
            raise ValueError(f"no list {which!r}; there are {', '.join(LISTS)}")
        if request["action"] == "list":
            entries = self._greylist.entries(which, await self._unit(request) if "client" in request else "")
            asked = {"client": request["client"]} if "client" in request else {}
            return {"entries": [vars(entry.triplet) | asked for entry in entries]}
        triplet = Triplet.of(await self._unit(request), request["sender"], request["recipient"])
        if request["action"] == "add":
            self._greylist.add(which, triplet)
        elif request["action"] == "remove":
            self._parts.remove(self._greylist, which, triplet)
        else:
            raise ValueError(f"no action {request['action']!r}; there are add, remove, list")
        return {}

    async def _queue(self, request: Request) -> Request:
        match request["action"]:
            case "list":
                return {"messages": [facts(entry) for entry in self._queue_commands.entries()]}
            case "remove":
                return {"found": self._queue_commands.remove(str(request["id"]))}
            case "thaw":
                return {"found": self._queue_commands.thaw(str(request["id"]))}
            case "run":
                return {"tried": self._queue_commands.run()}
        raise ValueError(f"no action {request['action']!r}; there are {', '.join(ACTIONS)}")

    async def _tell_reached(self, request: Request) -> Request:
        if self._reached is None:
            raise ValueError("which parts are reached is not noted; start it with --note-reached")
        return {"parts": {part: sorted(names) for part, names in self._reached.names.items()}}

    async def _rewrite(self, request: Request) -> Request:
        days = int(request.get("days", 0))
        return {"address": self._srs.forwarded(request["sender"], request["domain"], days)}

    async def _outage(self, request: Request) -> Request:
        if not isinstance(request["on"], bool):
            raise TypeError("on: say true or false")
        self._greylist.cut(await self._unit(request), off=request["on"])
        return {}

    async def _unit(self, request: Request) -> str:
        """What stands for the client in triplets: of the address that is named, unless it is that itself."""
        unit, client = self._greylist.unit, str(request["client"])
        if unit == "host" and (name := await self._host_name(client)):
            return unit_of(unit, client, name)
        return unit_named(unit, client)
