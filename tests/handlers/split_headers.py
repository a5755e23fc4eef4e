"""Breaks a header's line, to add one of its own and to end the head early."""


def fetch(request):
    return Response("x", headers={"x-one": "1\r\nset-cookie: forged=1\r\n\r\n<script>"})
