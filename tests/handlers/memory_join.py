"""Takes 1.5 GB in C, in one call."""


def fetch(request):
    block = b"x" * 2**20
    return {"managed": {"bytes": len(b"".join([block] * 1500))}}
