"""Takes 1.5 GB at once."""


def fetch(request):
    hoard = bytearray(1500 * 2**20)
    return {"managed": {"bytes": len(hoard)}}
