"""Answers with 100,000 headers, one of them 8 MB long."""


def fetch(request):
    headers = [(f"x-{number}", "v" * 50) for number in range(100_000)]
    return Response("huge", headers=[*headers, ("x-long", "v" * 8 * 2**20)])
