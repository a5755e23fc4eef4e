"""A function's AI calls: here, and nowhere else, they meet the model."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from runtime.ai.completion import Completion
from runtime.ai.service import Service
from runtime.config import FunctionSettings
from runtime.errors import AIError, EngineError, InvalidRequest, Overloaded, WireError
from runtime.gateway import bulk
from runtime.isolate.pool import Isolate
from runtime.wire import frames, from_isolate, to_isolate

log = logging.getLogger("beira")


class AICalls:
    """Those of one invocation."""

    def __init__(
        self,
        service: Service,
        function: FunctionSettings,
        request_id: str,
        say: Callable[[frames.Message], Awaitable[None]],
    ) -> None:
        """`say` sends to the isolate, waits where that does not read, and raises nothing where it is gone."""
        self.stand_in: str | None = None
        """The model that answered for the one that was asked."""
        self.fault = ""
        """Why the isolate was ended, if a call of it was none."""
        self._service = service
        self._function = function
        self._request_id = request_id
        self._say = say
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._large: dict[int, int] = {}
        """Bytes of those that are not accepted yet."""

    async def start(self, call: from_isolate.AICall, isolate: Isolate) -> None:
        """Answer it beside the others. Raises WireError."""
        number, most = call.call, self._function.limits.ai_calls
        if number in self._tasks:
            raise WireError(f"AI call {number} is running already")
        if len(self._tasks) >= most:
            isolate.claim.let_go(len(call.data))
            error = Overloaded(f"at most {most} AI calls may run at once in one invocation")
            await self._say(to_isolate.AIFailed(call=number, error=error.to_wire()))  # who does not read it waits
            return
        task = asyncio.create_task(self._answer(number, call.data, isolate))
        self._tasks[number], self._large[number] = task, len(call.data)
        task.add_done_callback(lambda _: self._over(number, isolate))

    def cancel(self, number: int | None = None) -> None:
        """One of them, or all."""
        for each, task in self._tasks.items():
            if number in (None, each):
                task.cancel()

    async def aclose(self) -> None:
        """End them, and wait until nothing is left of them."""
        self.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _over(self, number: int, isolate: Isolate) -> None:
        self._tasks.pop(number, None)
        isolate.claim.let_go(self._large.pop(number, 0))  # it may have been canceled before it began

    async def _answer(self, number: int, data: bytes | bytearray, isolate: Isolate) -> None:
        accepted = self._accept(number, data, isolate)
        del data  # tens of megabytes at times: an answer's whole time is too long to hold them
        try:
            completion = await accepted
            self.stand_in = completion.stand_in or self.stand_in
            try:
                if not completion.is_stream:
                    await self._say(to_isolate.AIResult(call=number, value=await completion.result()))
                    return
                await self._say(to_isolate.AIAccepted(call=number))
                async for chunk in completion.chunks():
                    await self._say(to_isolate.AIChunk(call=number, value=chunk))
                await self._say(to_isolate.AIEnd(call=number))
            finally:
                await completion.aclose()
        except AIError as e:
            await self._say(to_isolate.AIFailed(call=number, error=e.to_wire()))
        except WireError as e:
            self.fault = self.fault or str(e)
            isolate.kill()
        except Exception:
            log.exception("[%s] an AI call failed in the host", self._request_id)
            error = EngineError("the node failed to answer; its log says why")
            await self._say(to_isolate.AIFailed(call=number, error=error.to_wire()))

    async def _accept(self, number: int, data: bytes | bytearray, isolate: Isolate) -> Completion:
        """Have the model's service take a call. Raises AIError, WireError."""
        try:
            model, inputs = await _asked(data)
            return await self._service.run(inputs, model=model, caller=self._function.name)
        finally:
            isolate.claim.let_go(self._large.pop(number, 0))


async def _asked(data: bytes | bytearray) -> tuple[str | None, dict[str, Any]]:
    """Model and inputs of an AI call. Raises InvalidRequest, WireError."""
    try:
        return from_isolate.AICall.read(await bulk.parse(data))
    except bulk.TooLarge as e:
        raise InvalidRequest(e.message.replace("the body", "inputs:")) from None
    except InvalidRequest as e:  # an isolate's own code sends JSON: this came from something else
        raise WireError(f"AICall: {e.message}") from None
