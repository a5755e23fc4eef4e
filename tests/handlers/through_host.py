"""Has the host connect for it: subrequests and images at loopback, the metadata address and the host's own port."""

from _targets import TCP_PORT

from runtime import AI

HOSTS = ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]",
         "127.0.0.1.", "user@127.0.0.1", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"]  # fmt: skip


async def fetch(request, env, ctx):
    own = request.headers["host"].rpartition(":")[2]
    urls = [f"http://{host}:{TCP_PORT}/" for host in HOSTS]
    urls += [f"http://127.0.0.1:{own}/_beira/ready", "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd"]
    managed = {}
    for url in urls:
        try:
            managed[url] = (await ctx.fetch(url)).status
        except Exception:
            continue
    picture = {"type": "image_url", "image_url": {"url": f"http://127.0.0.1:{TCP_PORT}/x.png"}}
    try:
        await AI.run("beira-tiny", messages=[{"role": "user", "content": [picture]}])
        managed["image"] = "fetched"
    except Exception:
        pass
    return {"managed": managed}
