// The `openai` package against a node.
import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { assertLocation, baseURL, france, model, paris, picture, system, weather } from "./asked.mjs";

const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const create = (options) => client.chat.completions.create({ model, messages: france, ...options });
const tool = {
  type: "function",
  function: {
    name: "get_weather",
    description: "Get the current weather for a location",
    parameters: {
      type: "object",
      properties: { location: { type: "string", description: "The city and state" } },
      required: ["location"],
    },
  },
};
const asking = {
  messages: [
    { role: "system", content: system },
    { role: "user", content: weather },
  ],
  tools: [tool],
};

test("an answer", async () => {
  const answer = await create({ n: 2, logprobs: true });
  assert.deepEqual(answer.choices.map((c) => c.message.content), [paris, paris]);
  assert.equal(answer.choices[0].finish_reason, "stop");
  assert.ok(answer.choices[0].logprobs.content.length > 0);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
});

test("a stream", async () => {
  let text = "";
  let usage;
  for await (const chunk of await create({ stream: true, stream_options: { include_usage: true } })) {
    text += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, paris);
  assert.ok(usage.completion_tokens > 0);
});

test("a stream that is left early", async () => {
  const stream = await create({ stream: true, ignore_eos: true, max_tokens: 1000 });
  for await (const _ of stream) break;
  assert.equal((await create()).choices[0].message.content, paris);
});

test("an image", async () => {
  const content = [
    { type: "image_url", image_url: { url: picture } },
    { type: "text", text: "What is in this image?" },
  ];
  const answer = await create({ messages: [{ role: "user", content }] });
  assert.match(answer.choices[0].message.content, /red circle/);
});

test("a tool call, streamed and collected", async () => {
  const final = await client.chat.completions.stream({ model, ...asking }).finalChatCompletion();
  assert.equal(final.choices[0].finish_reason, "tool_calls");
  const [call] = final.choices[0].message.tool_calls;
  assert.equal(call.function.name, "get_weather");
  assertLocation(JSON.parse(call.function.arguments));
});

test("a loop with a tool", async () => {
  const called = [];
  const run = (location) => {
    called.push(location);
    return "It rains.";
  };
  const runner = client.chat.completions.runTools(
    {
      model,
      messages: asking.messages,
      max_tokens: 100,
      tools: [{ type: "function", function: { ...tool.function, parse: JSON.parse, function: run } }],
    },
    { maxChatCompletions: 2 },
  );
  await runner.done();
  assertLocation(called[0]);
  assert.equal(runner.messages.filter((m) => m.role === "tool")[0].content, "It rains.");
});

test("an answer parsed by a schema of zod", async () => {
  const place = z.object({ kind: z.enum(["city", "country"]), is_capital: z.boolean() });
  const parsed = await client.chat.completions.parse({
    model,
    messages: france,
    response_format: zodResponseFormat(place, "place"),
  });
  assert.ok(place.safeParse(parsed.choices[0].message.parsed).success);
});

test("models", async () => {
  const ids = [];
  for await (const each of client.models.list()) ids.push(each.id);
  assert.ok(ids.includes(model));
});

test("refusals are typed exceptions", async () => {
  await assert.rejects(create({ temperature: 3 }), (error) => {
    assert.ok(error instanceof OpenAI.BadRequestError);
    assert.equal(error.param, "temperature");
    assert.equal(error.type, "invalid_request_error");
    return true;
  });
  await assert.rejects(create({ model: "nobody" }), OpenAI.NotFoundError);
  await assert.rejects(create({ stream: true, max_tokens: 1e6 }), { code: "context_length_exceeded" });
});
