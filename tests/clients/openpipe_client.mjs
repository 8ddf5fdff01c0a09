// Scenarios of npm's `openpipe` 1.0.0 with the openai 5 it brings; a program, see `playing.py`.
//
// `wrapper` is its wrapper of the openai client: a prefixed model goes to the server, any other
// straight to the provider, with a report to the server. `platform` is its platform client, and
// `plain` the openai client itself, pointed at the server.

import assert from "node:assert/strict";
import { createInterface } from "node:readline";

import OpenAI from "openai";
import OpenPipe from "openpipe/client";
import OpenPipeOpenAI from "openpipe/openai";

const MESSAGES = [{ role: "user", content: "Hi" }];

function prepare({ url, key, provider }) {
  const place = { apiKey: key, baseUrl: url };
  const upstream = { baseURL: provider, apiKey: "sk-provider", maxRetries: 0 };
  return {
    wrapper: new OpenPipeOpenAI({ ...upstream, openpipe: place }),
    platform: new OpenPipe(place),
    plain: new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0 }),
  };
}

async function errorOf(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new assert.AssertionError({ message: "no error" });
}

function told(error) {
  const { status, code, type, param, message, requestID } = error;
  return { class: error.constructor.name, status, code, type, param, message, requestID };
}

async function collected(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

const SCENARIOS = {
  async create({ wrapper }, { body }) {
    const { openpipe, ...completion } = await wrapper.chat.completions.create(body);
    await openpipe?.reportingFinished;
    return completion;
  },

  typed: ({ platform }, { body }) => platform.baseClient.default.createChatCompletion(body),

  async stream({ wrapper }, { body }) {
    const stream = await wrapper.chat.completions.create({ ...body, stream: true });
    const chunks = await collected(stream);
    await stream.openpipe?.reportingFinished;
    return chunks;
  },

  async refused({ wrapper }, { body, error: name }) {
    const error = await errorOf(wrapper.chat.completions.create(body));
    assert.ok(error instanceof OpenAI[name], error);
    await error.openpipe?.reportingFinished;
    return told(error);
  },

  async parse({ wrapper }, { body }) {
    const schema = {
      type: "object",
      properties: { city: { enum: ["Paris", "Rome"] } },
      required: ["city"],
      additionalProperties: false,
    };
    const format = { type: "json_schema", json_schema: { name: "City", strict: true, schema } };
    const answer = await wrapper.chat.completions.parse({ ...body, response_format: format });
    return JSON.parse(answer.choices[0].message.content);
  },

  async headers({ plain }, { body }) {
    const { data, response, request_id } = await plain.chat.completions.create(body).withResponse();
    assert.equal(response.headers.get("x-request-id"), request_id);
    assert.equal(data._request_id, request_id);
    return { id: data.id, request_id };
  },

  async helper({ plain }, { body }) {
    const runner = plain.chat.completions.stream(body);
    return await runner.finalChatCompletion();
  },

  async stored({ plain }, { label }) {
    const { completions } = plain.chat;
    const made = [];
    for (let i = 0; i < 3; i++) {
      const body = { model: "ok", messages: MESSAGES, store: true, metadata: { label } };
      made.push((await completions.create(body)).id);
    }
    const pages = completions.list({ metadata: { label }, limit: 1, order: "asc" });
    const listed = await collected(pages);
    assert.deepEqual(listed.map(({ id }) => id), made);
    assert.equal((await completions.retrieve(made[0])).id, made[0]);
    const changed = await completions.update(made[0], { metadata: { label: "changed" } });
    assert.deepEqual(changed.metadata, { label: "changed" });
    const messages = await collected(completions.messages.list(made[0]));
    assert.equal((await completions.delete(made[0])).deleted, true);
    const gone = await errorOf(completions.retrieve(made[0]));
    assert.ok(gone instanceof OpenAI.NotFoundError);
    return { made, messages };
  },

  async openaiModels({ plain }) {
    const listed = await collected(plain.models.list());
    for (const { id } of listed) assert.equal((await plain.models.retrieve(id)).id, id);
    return listed.map(({ id }) => id);
  },

  async models({ platform }) {
    const { data } = await platform.listModels();
    for (const { id } of data) {
      assert.equal((await platform.getModel(`openpipe:${id}`)).id, id);
    }
    return data;
  },

  judgement: ({ platform }, { body }) => platform.getCriterionJudgement(body),

  async judgementRefused({ platform }, { body }) {
    const error = await errorOf(platform.getCriterionJudgement(body));
    return { name: error.name, status: error.status, body: error.body };
  },

  report: ({ platform }, { body }) => platform.report(body),
  updateMetadata: ({ platform }, { body }) => platform.updateLogMetadata(body),
  updateTags: ({ platform }, { body }) => platform.updateLogTags(body),
  latest: ({ platform }) => platform.baseClient.default.localTestingOnlyGetLatestLoggedCall(),
  checkCache: ({ platform }) => platform.baseClient.default.checkCache({ requestedAt: 0 }),

  async platformErrors({ platform }, { url }) {
    const stranger = new OpenPipe({ apiKey: "opk_unknown", baseUrl: url });
    const invalid = platform.updateLogMetadata({ filters: "all" });
    const errors = await Promise.all(
      [platform.getModel("none"), stranger.listModels(), invalid].map(errorOf),
    );
    return errors.map((error) => ({ ...told(error), name: error.name, body: error.body }));
  },
};

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
