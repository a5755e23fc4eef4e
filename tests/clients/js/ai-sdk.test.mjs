// The Vercel AI SDK (`ai` with `@ai-sdk/openai-compatible`) against a node.
import assert from "node:assert/strict";
import test from "node:test";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { assertLocation, baseURL, model as id, paris, picture, system, weather } from "./asked.mjs";

const provider = createOpenAICompatible({
  name: "beira",
  baseURL,
  apiKey: "none",
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider(id);
const prompt = "What is the capital of France?";
const options = { model, maxRetries: 0 };
const located = [];
const tools = {
  get_weather: tool({
    description: "Get the current weather for a location",
    inputSchema: z.object({ location: z.enum(["London", "Paris"]).describe("The city and state") }),
    execute: async (given) => {
      located.push(given);
      return "It rains.";
    },
  }),
};

test("generateText", async () => {
  const answer = await generateText({ ...options, prompt });
  assert.equal(answer.text, paris);
  assert.equal(answer.finishReason, "stop");
  assert.ok(answer.usage.outputTokens > 0);
});

test("streamText", async () => {
  const answer = streamText({ ...options, prompt });
  const parts = [];
  for await (const part of answer.textStream) parts.push(part);
  assert.equal(parts.join(""), paris);
  assert.ok(parts.length > 3);
  assert.equal(await answer.finishReason, "stop");
  assert.ok((await answer.usage).inputTokens > 0);
});

test("an image part", async () => {
  const content = [
    { type: "image", image: picture },
    { type: "text", text: "What is in this image?" },
  ];
  const answer = await generateText({ ...options, messages: [{ role: "user", content }] });
  assert.match(answer.text, /red circle/);
});

test("a loop with a tool", async () => {
  const answer = await generateText({
    ...options,
    system,
    prompt: weather,
    tools,
    stopWhen: stepCountIs(2),
    maxOutputTokens: 100,
    prepareStep: ({ stepNumber }) => ({ toolChoice: stepNumber === 0 ? "required" : "none" }),
  });
  assert.equal(answer.steps.length, 2);
  assert.equal(answer.steps[0].finishReason, "tool-calls");
  assert.equal(answer.steps[0].toolResults[0].output, "It rains.");
  assertLocation(located.pop());
  assert.equal(answer.steps[1].toolCalls.length, 0);
});

test("a tool call, streamed", async () => {
  const answer = streamText({ ...options, system, prompt: weather, tools, toolChoice: "required" });
  const kinds = [];
  for await (const part of answer.fullStream) {
    assert.notEqual(part.type, "error", JSON.stringify(part));
    kinds.push(part.type);
  }
  assert.ok(kinds.filter((k) => k === "tool-input-delta").length > 1);
  assert.ok(kinds.includes("tool-result"));
  assertLocation(located.pop());
});

test("structured output", async () => {
  const schema = z.object({ kind: z.enum(["city", "country"]), is_capital: z.boolean() });
  const answer = await generateText({ ...options, prompt, output: Output.object({ schema }) });
  assert.ok(schema.safeParse(answer.output).success);
});

test("structured output of records and of prefixes", async () => {
  const schema = z.object({ marks: z.record(z.enum(["a", "b"]), z.boolean()), code: z.string().startsWith("x").max(4) });
  const answer = await generateText({ ...options, prompt, output: Output.object({ schema }) });
  assert.ok(schema.safeParse(answer.output).success);
});

test("a refusal", async () => {
  await assert.rejects(generateText({ ...options, prompt, temperature: 3 }), (error) => {
    assert.ok(APICallError.isInstance(error));
    assert.equal(error.statusCode, 400);
    assert.match(error.message, /temperature: must be at most 2, got 3/);
    return true;
  });
});
