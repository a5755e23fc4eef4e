"""Never comes to the end of its import, and will not be told."""

while True:
    try:
        while True:
            pass
    except BaseException:
        continue
