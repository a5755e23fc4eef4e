"""Takes 1.5 GB at import."""

HOARD = bytearray(1500 * 2**20)


def fetch(request):
    return {"managed": {"bytes": len(HOARD)}}
