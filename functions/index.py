"""A small page that links the others."""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Beira</title>
<style>body{font:17px/1.6 system-ui,sans-serif;max-width:38rem;margin:3rem auto;padding:0 1rem;color:#222}
pre{background:#f4f1ea;padding:.7rem;overflow:auto}h1{margin-bottom:0}output{display:block;min-height:2rem}</style>
<h1>Beira</h1><p>Edge functions with the model on the same node.</p>
<ul><li><a href="/hello?name=you">/hello</a> greets</li>
<li><code>/chat</code> streams an answer</li><li><code>/describe</code> looks at a picture</li></ul>
<form id="f"><input name="prompt" value="What is the capital of France?" size="34" aria-label="Prompt">
<button>Ask</button></form><output id="o"></output>
<form action="/describe" method="post" enctype="multipart/form-data">
<input type="file" name="image" accept="image/*" aria-label="Picture"><button>Describe</button></form>
<script>f.onsubmit = async e => { e.preventDefault(); o.textContent = ""
  const r = await fetch("/chat", {method: "POST", body: JSON.stringify({prompt: f.prompt.value})})
  const t = r.body.pipeThrough(new TextDecoderStream()).getReader()
  for (let p; !(p = await t.read()).done;) o.textContent += p.value }</script>
</html>"""


async def fetch(request, env, ctx):
    return Response.html(PAGE)
