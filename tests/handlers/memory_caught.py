"""Takes what there is, catches the MemoryError, and goes on."""


def fetch(request):
    hoard, refusals = [], 0
    while len(hoard) < 1500 and refusals < 50:
        try:
            hoard.append(bytearray(2**20))
        except MemoryError:
            refusals += 1
    return {"managed": {"megabytes": len(hoard)}} if refusals == 0 else {"managed": {}}
