"""Answers with objects that lie about themselves and raise wherever they are asked."""


class Hostile(str):
    def __getattribute__(self, name):
        raise BaseException("hostile")

    def __str__(self):
        raise SystemExit(0)

    __repr__ = __hash__ = __len__ = __bool__ = __str__


class HostileError(BaseException):
    def __str__(self):
        raise self

    __repr__ = __str__


def fetch(request):
    if "raise" in request.url.query:
        raise HostileError
    return Hostile("x")
