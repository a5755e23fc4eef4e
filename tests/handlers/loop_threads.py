"""Spends CPU time in several threads while the handler only waits."""

import asyncio
import threading


def spin():
    while True:
        pass


async def fetch(request):
    for _ in range(4):
        threading.Thread(target=spin, daemon=True).start()
    await asyncio.sleep(60)
