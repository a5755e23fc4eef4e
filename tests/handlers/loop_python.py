"""Never comes to an end."""


def fetch(request):
    while True:
        pass
