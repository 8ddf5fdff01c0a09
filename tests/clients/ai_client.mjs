// Scenarios of the Vercel AI SDK; a program, see `playing.py`.
//
// `compatible` is its provider for places that speak OpenAI's form, and `openai` its provider for
// OpenAI itself, pointed at the server.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import {
  APICallError,
  Output,
  generateObject,
  generateText,
  stepCountIs,
  streamObject,
  streamText,
  tool,
} from "ai";
import { z } from "zod";

const City = z.object({ city: z.enum(["Paris", "Rome"]) });
const LIMITS = { maxOutputTokens: 64, temperature: 0, maxRetries: 0 };
const PLAIN = { ...LIMITS, prompt: "Hi" };
const NAME = { ...LIMITS, prompt: "Name one city, as JSON." };

function prepare({ url, key, kind, model }) {
  const place = { baseURL: url, apiKey: key };
  const compatible = { ...place, name: "standpipe", supportsStructuredOutputs: true };
  const kinds = {
    compatible: () => createOpenAICompatible({ ...compatible, includeUsage: true })(model),
    openai: () => createOpenAI(place).chat(model),
    responses: () => createOpenAI(place).responses(model),
  };
  return kinds[kind]();
}

async function collected(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return pieces;
}

// Throw what went wrong in a stream, which the SDK only tells.
function attentive(options) {
  let trouble;
  const onError = ({ error }) => {
    trouble ??= error;
  };
  const check = () => {
    if (trouble) throw trouble;
  };
  return [{ ...options, onError }, check];
}

function said({ text, usage }) {
  return { text, usage: [usage.inputTokens, usage.outputTokens] };
}

async function whole(result) {
  return { text: await result.text, usage: await result.totalUsage, steps: await result.steps };
}

function weather(choice) {
  const cities = [];
  const get_weather = tool({
    description: "Tell the weather in a city.",
    inputSchema: City,
    execute: async ({ city }) => {
      cities.push(city);
      return `sun in ${city}`;
    },
  });
  const prompt = "What is the weather in Paris? Use the tool.";
  const options = { ...LIMITS, prompt, tools: { get_weather }, stopWhen: stepCountIs(4) };
  if (choice) {
    options.prepareStep = ({ stepNumber }) => ({ toolChoice: stepNumber ? "none" : choice });
  }
  return { cities, options };
}

async function thrown(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: "no error" });
}

const SCENARIOS = {
  async text(model, args) {
    const result = await generateText({ model, ...PLAIN });
    assert.equal(result.response.modelId, args.model);
    assert.ok(["stop", "length"].includes(result.finishReason), result.finishReason);
    return said(result);
  },

  async stream(model) {
    const [options, check] = attentive({ model, ...PLAIN });
    const result = streamText(options);
    const pieces = await collected(result.textStream);
    check();
    assert.ok(pieces.length > 1);
    const told = await whole(result);
    assert.equal(pieces.join(""), told.text);
    return said(told);
  },

  async tools(model, { choice, stream }) {
    const { cities, options } = weather(choice);
    const [attended, check] = attentive({ model, ...options });
    const result = stream ? streamText(attended) : await generateText({ model, ...options });
    if (stream) await result.consumeStream();
    check();
    const told = await whole(result);
    assert.equal(told.steps.length, 2);
    const called = told.steps[0].toolCalls.map(({ input }) => input.city);
    assert.deepEqual(cities, called);
    return { cities, text: told.text };
  },

  async object(model, { stream }) {
    if (!stream) return (await generateObject({ model, schema: City, ...NAME })).object;
    const [options, check] = attentive({ model, schema: City, ...NAME });
    const result = streamObject(options);
    await collected(result.partialObjectStream);
    check();
    return await result.object;
  },

  async output(model, { stream }) {
    const asked = { model, output: Output.object({ schema: City }), ...NAME };
    if (!stream) return (await generateText(asked)).output;
    const [options, check] = attentive(asked);
    const result = streamText(options);
    await result.consumeStream();
    check();
    return await result.output;
  },

  async refused(model, { bias, stream }) {
    const providerOptions = bias ? { openai: { logitBias: { 50256: -100 } } } : {};
    const asked = { model, ...PLAIN, providerOptions };
    const [options, check] = attentive(asked);
    const streamed = async () => {
      await streamText(options).consumeStream();
      check();
    };
    const error = await thrown(stream ? streamed() : generateText(asked));
    assert.ok(APICallError.isInstance(error), error);
    const { message, statusCode, isRetryable, responseBody } = error;
    return { message, statusCode, isRetryable, body: JSON.parse(responseBody) };
  },

  async broken(model) {
    const [options, check] = attentive({ model, ...PLAIN });
    const pieces = await collected(streamText(options).textStream);
    const error = await thrown((async () => check())());
    return { text: pieces.join(""), message: `${error.message ?? error}` };
  },
};

// The SDK's warnings go to the console: standard output is for answers.
console.info = console.log = console.error;

const places = JSON.parse(process.argv[2]);
for await (const line of createInterface({ input: process.stdin })) {
  const { scenario, ...asked } = JSON.parse(line);
  const args = { ...places, ...asked };
  let answer;
  try {
    answer = { saw: (await SCENARIOS[scenario](prepare(args), args)) ?? null };
  } catch (error) {
    answer = { failed: `${error.stack ?? error}` };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
