"""Sends the smallest frames there are, made once and written again and again: next to no CPU time of its own."""

from _attack import BODY_CREDIT, END, frame, say

AI_CANCEL, FETCH_CANCEL = 38, 46
FRAMES = {
    "cancels": frame(AI_CANCEL, call=1) + frame(FETCH_CANCEL, call=1),
    "credits": frame(BODY_CREDIT, b'{"size":1}'),
    "ends": frame(END),
}


def fetch(request):
    one = FRAMES[request.url.query.get("kind")]
    many = one * (64 * 1024 // len(one))
    while True:
        say(many)
