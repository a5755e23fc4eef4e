// What the clients ask; the same as asked.py's.
import assert from "node:assert/strict";

export const baseURL = `${process.env.BEIRA_URL}/v1`;
export const model = "beira-tiny";
export const paris = "The capital of France is Paris.";
export const france = [{ role: "user", content: "What is the capital of France?" }];
export const system = "You are a helpful assistant with access to tools.";
export const weather = "What is the weather in London?";
export const picture = `data:image/png;base64,${process.env.PICTURE}`;

export function assertLocation(given) {
  assert.deepEqual(Object.keys(given), ["location"]);
  assert.equal(typeof given.location, "string");
}
