// A session as an application has it: connects with one of the official SDKs and does everything with servers that the two
// can do together. The plan is one JSON argument: how to connect, and a list of visits, each an endpoint with the servers
// to use there. Everything that it has to say is a line of JSON on standard output:
//
//   {"era": …}                    what has been agreed on, after each connection
//   {"enter": […], "alone": …}    a step begins that uses these servers; the answer is a line on standard input. It has to be
//                                 alone with them when it turns on and off what they do for everybody, or when they ask or
//                                 log without saying to which of the calls in their one session that belongs
//   {"server": …, "did": …}       the step went well; the first that did not ends the program
//
// test/matrix runs it through the gateway.
import assert from "node:assert/strict";
import { createInterface } from "node:readline";

const plan = JSON.parse(process.argv[2]);
const tell = (what) => console.log(JSON.stringify(what));
const turns = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

let client, sdk, modern; // of the visit
let server, prefix;      // that is used

// step does one thing, in bounded time.
async function step(name, work, { alone = false, uses = [server] } = {}) {
  tell({ enter: uses, alone });
  await turns.next();
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`took longer than ${plan.seconds} s`)), plan.seconds * 1000); });
  try {
    await Promise.race([work(), late]);
  } catch (err) {
    console.error(`${server}: ${name}:`, err);
    process.exit(1);
  } finally {
    clearTimeout(timer);
  }
  tell({ server, did: name });
}

// What the user and the model of this application answer.
const answers = {
  elicitation: (params) => params.mode === "url" ? { action: "accept" } : { action: "accept", content: formOf(params.requestedSchema) },
  sampling: (params) => ({
    role: "assistant", model: "scripted-model", stopReason: "endTurn",
    content: { type: "text", text: `you asked: ${JSON.stringify(params.messages[0].content)}` },
  }),
  roots: () => ({ roots: [{ uri: "file:///home/ada", name: "home of Ada" }] }),
};

// formOf fills in a form: what is required, and a name where there is one.
function formOf(schema) {
  const content = {};
  for (const name of new Set([...(schema.required ?? []), ..."name" in schema.properties ? ["name"] : []])) {
    const field = schema.properties[name];
    content[name] = { boolean: true, integer: 7, number: 7, array: [] }[field.type] ?? (field.enum?.[0] ?? "Ada");
  }
  return content;
}

const asked = { elicitation: 0, url: 0, sampling: 0, roots: 0 };
const heard = []; // notifications, as "method uri"
const waiting = [];

function notified(method, params) {
  heard.push(`${method} ${params?.uri ?? ""}`.trim());
  for (const wake of waiting.splice(0)) wake();
}

// hears waits until a notification has come, and forgets it.
async function hears(wanted) {
  const at = () => typeof wanted === "function" ? heard.findIndex(wanted) : heard.indexOf(wanted);
  while (at() < 0) await new Promise((resolve) => waiting.push(resolve));
  heard.splice(at(), 1);
}

async function one(visit) {
  const { Client } = await import("@modelcontextprotocol/sdk/client/index.js");
  const types = await import("@modelcontextprotocol/sdk/types.js");
  const client = new Client({ name: "session-1", version: "1" }, { capabilities: capabilities() });
  client.setRequestHandler(types.ElicitRequestSchema, (r) => answer("elicitation", r.params));
  client.setRequestHandler(types.CreateMessageRequestSchema, (r) => answer("sampling", r.params));
  client.setRequestHandler(types.ListRootsRequestSchema, (r) => answer("roots", r.params));
  client.setNotificationHandler(types.ResourceUpdatedNotificationSchema, (n) => notified(n.method, n.params));
  client.setNotificationHandler(types.ResourceListChangedNotificationSchema, (n) => notified(n.method, n.params));
  client.setNotificationHandler(types.ToolListChangedNotificationSchema, (n) => notified(n.method, n.params));
  client.setNotificationHandler(types.LoggingMessageNotificationSchema, (n) => notified(`log ${n.params.level}`, {}));
  const transport = {
    stdio: async () => new (await import("@modelcontextprotocol/sdk/client/stdio.js")).StdioClientTransport({ ...visit.command, stderr: "inherit" }),
    sse: async () => new (await import("@modelcontextprotocol/sdk/client/sse.js")).SSEClientTransport(new URL(visit.url)),
    http: async () => new (await import("@modelcontextprotocol/sdk/client/streamableHttp.js")).StreamableHTTPClientTransport(new URL(visit.url)),
    websocket: async () => new (await import("@modelcontextprotocol/sdk/client/websocket.js")).WebSocketClientTransport(new URL(visit.url)),
  };
  await client.connect(await transport[plan.transport]());
  // Tools that are tasks are called in another way with this SDK: it makes the task, polls it and fetches its result.
  const task = async (name, args) => {
    const seen = [];
    for await (const m of client.experimental.tasks.callToolStream({ name: prefix + name, arguments: args }, types.CallToolResultSchema, { task: { ttl: 60_000 } })) {
      seen.push(m.type);
      if (m.type === "error") throw m.error;
      if (m.type === "result") {
        assert.ok(seen.includes("taskCreated") && seen.includes("taskStatus"), `${seen}`);
        return m.result;
      }
    }
  };
  return { client, era: () => "legacy", task, call: (params, options) => client.callTool(params, undefined, options) };
}

async function two(visit) {
  const { Client, StreamableHTTPClientTransport, SSEClientTransport } = await import("@modelcontextprotocol/client");
  const client = new Client({ name: "session-2", version: "1" }, {
    capabilities: capabilities(), versionNegotiation: { mode: plan.mode }, enforceStrictCapabilities: true,
  });
  client.setRequestHandler("elicitation/create", (r) => answer("elicitation", r.params));
  client.setRequestHandler("sampling/createMessage", (r) => answer("sampling", r.params));
  client.setRequestHandler("roots/list", (r) => answer("roots", r.params));
  for (const method of ["notifications/resources/updated", "notifications/resources/list_changed", "notifications/tools/list_changed"]) {
    client.setNotificationHandler(method, (n) => notified(n.method, n.params));
  }
  client.setNotificationHandler("notifications/message", (n) => notified(`log ${n.params.level}`, {}));
  const transport = {
    stdio: async () => new (await import("@modelcontextprotocol/client/stdio")).StdioClientTransport({ ...visit.command, stderr: "inherit" }),
    sse: async () => new SSEClientTransport(new URL(visit.url)),
    http: async () => new StreamableHTTPClientTransport(new URL(visit.url)),
  };
  await client.connect(await transport[plan.transport]());
  // This SDK knows nothing of the tasks of 2025-11-25: whoever is in between has to drive them.
  const task = (name, args) => client.callTool({ name: prefix + name, arguments: args });
  return { client, era: () => client.getProtocolEra(), task, call: (params, options) => client.callTool(params, options) };
}

function capabilities() {
  return { elicitation: { form: {}, url: {} }, sampling: {}, roots: {} };
}

function answer(kind, params) {
  asked[kind === "elicitation" && params.mode === "url" ? "url" : kind]++;
  return answers[kind](params);
}

const text = (result) => result.content.filter((c) => c.type === "text").map((c) => c.text).join("\n");
const call = (name, args, options) => sdk.call({ name: prefix + name, arguments: args ?? {} }, options);

async function says(name, args, want) {
  const result = await call(name, args);
  assert.ok(!result.isError, `${name}: ${text(result)}`);
  assert.match(text(result), want);
  return result;
}

// all reads every page of a list.
async function all(method, member) {
  const entries = [];
  let cursor;
  do {
    const page = await client[method](cursor === undefined ? undefined : { cursor });
    entries.push(...page[member]);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return entries;
}

// lists reads all lists and looks for what must be there, and for what is there twice.
async function lists(want) {
  const got = {
    tools: (await all("listTools", "tools")).map((t) => t.name),
    prompts: (await all("listPrompts", "prompts")).map((p) => p.name),
    resources: (await all("listResources", "resources")).map((r) => r.uri),
    templates: (await all("listResourceTemplates", "resourceTemplates")).map((t) => t.uriTemplate),
  };
  for (const [kind, names] of Object.entries(want)) {
    for (const name of names) assert.ok(got[kind].includes(name), `${kind}: ${name} is not in ${got[kind]}`);
    assert.equal(new Set(got[kind]).size, got[kind].length, `${kind} come twice: ${got[kind]}`);
  }
  return got;
}

// progress lets a call report on itself.
function progress(name, args) {
  return step("progress", async () => {
    const seen = [];
    const result = await call(name, args, { onprogress: (p) => seen.push(p.progress) });
    assert.ok(!result.isError, text(result));
    assert.ok(seen.length > 1, `progress came ${seen.length} times`);
    assert.deepEqual(seen, [...seen].sort((a, b) => a - b));
  });
}

// watching subscribes to a resource for as long as work takes.
async function watching(uri, work) {
  const subscription = modern ? await client.listen({ resourceSubscriptions: [uri] }) : await client.subscribeResource({ uri });
  if (modern) assert.deepEqual(subscription.honoredFilter.resourceSubscriptions, [uri]);
  await work();
  await hears(`notifications/resources/updated ${uri}`);
  await (modern ? subscription.close() : client.unsubscribeResource({ uri }));
}

// changing hears that a list has changed while work is done, and reads it until it is as it must be.
async function changing(filter, method, work, arrived) {
  const subscription = modern ? await client.listen({ [filter]: true }) : undefined;
  heard.length = 0;
  await work();
  do await hears(method); while (!await arrived());
  await subscription?.close();
}

// logging calls a tool that writes a log message, from the level that is asked for.
async function logging(name, count) {
  heard.length = 0;
  if (!modern) await client.setLoggingLevel("debug");
  const result = await sdk.call({ name: prefix + name, arguments: {}, ...modern ? { _meta: { "io.modelcontextprotocol/logLevel": "debug" } } : {} });
  assert.ok(!result.isError, text(result));
  for (let n = 0; n < count; n++) await hears((entry) => entry.startsWith("log "));
}

const ownName = () => `${plan.name}-${prefix}${Date.now()}`;

// everything is a session with server-everything.
async function everything() {
  await step("list", () => lists({
    tools: ["echo", "get-sum", "trigger-elicitation-request", "trigger-sampling-request", "trigger-url-elicitation", "get-roots-list"].map((name) => prefix + name),
    prompts: ["simple-prompt", "args-prompt", "completable-prompt", "resource-prompt"].map((name) => prefix + name),
    templates: ["demo://resource/dynamic/text/{resourceId}", "demo://resource/dynamic/blob/{resourceId}"],
  }));
  await step("call", async () => {
    await says("echo", { message: "grüße €😀" }, /^Echo: grüße €😀$/);
    await says("get-sum", { a: 2, b: 40 }, /The sum of 2 and 40 is 42\./);
    const weather = await call("get-structured-content", { location: "Chicago" });
    assert.equal(typeof weather.structuredContent.temperature, "number");
    const image = await call("get-tiny-image");
    assert.ok(image.content.some((c) => c.type === "image" && c.data.length > 1000));
    const links = await call("get-resource-links", { count: 2 });
    assert.equal(links.content.filter((c) => c.type === "resource_link").length, 2);
    assert.equal((await call("get-sum", { a: "two", b: 40 })).isError, true);
  });
  await step("elicitation", async () => {
    const before = asked.elicitation;
    const result = await says("trigger-elicitation-request", {}, /Ada/);
    assert.match(text(result), /accept/);
    assert.equal(asked.elicitation, before + 1);
  }, { alone: true });
  await step("URL elicitation", async () => {
    const before = asked.url;
    await says("trigger-url-elicitation", { url: "https://example.org/a" }, /completed the URL elicitation/);
    assert.equal(asked.url, before + 1);
  }, { alone: true });
  await step("sampling", async () => {
    const before = asked.sampling, prompt = `what is ${ownName()}?`;
    const result = await says("trigger-sampling-request", { prompt, maxTokens: 10 }, /you asked: /s);
    assert.ok(text(result).includes(prompt), text(result));
    assert.equal(asked.sampling, before + 1);
  }, { alone: true });
  await step("roots", () => says("get-roots-list", {}, /home of Ada/), { alone: true });
  await progress("trigger-long-running-operation", { duration: 0.4, steps: 4 });
  await step("cancel", async () => {
    const controller = new AbortController();
    const begun = Date.now();
    await assert.rejects(call("trigger-long-running-operation", { duration: 60, steps: 300 }, { signal: controller.signal, onprogress: () => controller.abort("enough") }));
    assert.ok(Date.now() - begun < 45_000, "the call was waited for");
    await says("get-sum", { a: 1, b: 1 }, /is 2\./);
  });
  if (plan.logs.includes(server)) {
    await step("logging", async () => {
      // A message that belongs to no call may be overtaken by the end of the call that it came with.
      for (let told = false; !told;) {
        const late = new Promise((resolve) => setTimeout(resolve, 1000));
        told = await Promise.race([logging("toggle-simulated-logging", 1).then(() => true), late.then(() => false)]);
        await says("toggle-simulated-logging", {}, /Stopped/);
      }
      if (!modern) await client.setLoggingLevel("emergency");
    }, { alone: true });
  }
  await step("subscription", () => watching("demo://resource/dynamic/text/1", async () => {
    await says("toggle-subscriber-updates", {}, /Started/);
    await says("toggle-subscriber-updates", {}, /Stopped/);
  }), { alone: true });
  await step("list change", async () => {
    const name = `${ownName()}.gz`;
    await changing("resourcesListChanged", "notifications/resources/list_changed",
      () => says("gzip-file-as-resource", { name, data: "data:text/plain,hello", outputType: "resource" }, /^$/),
      async () => (await all("listResources", "resources")).some((r) => r.uri.endsWith(name)));
  });
  await step("prompts", async () => {
    const prompt = await client.getPrompt({ name: prefix + "args-prompt", arguments: { city: "Berlin", state: "Berlin" } });
    assert.match(prompt.messages[0].content.text, /Berlin/);
    const embedded = await client.getPrompt({ name: prefix + "resource-prompt", arguments: { resourceType: "Text", resourceId: "3" } });
    assert.equal(embedded.messages[1].content.resource.uri, "demo://resource/dynamic/text/3");
  });
  await step("completion", async () => {
    const complete = async (argument, context) => (await client.complete({
      ref: { type: "ref/prompt", name: prefix + "completable-prompt" }, argument, ...context ? { context: { arguments: context } } : {},
    })).completion.values;
    assert.deepEqual(await complete({ name: "department", value: "E" }), ["Engineering"]);
    assert.deepEqual(await complete({ name: "name", value: "G" }, { department: "Marketing" }), ["Grace"]);
  });
  await step("resources", async () => {
    const read = await client.readResource({ uri: "demo://resource/dynamic/text/7" });
    assert.match(read.contents[0].text, /Resource 7/);
    const blob = await client.readResource({ uri: "demo://resource/dynamic/blob/8" });
    assert.ok(blob.contents[0].blob.length > 0);
    await assert.rejects(client.readResource({ uri: "demo://resource/dynamic/text/none" }));
  });
  if (plan.tasks.includes(server)) {
    await step("task", async () => assert.match(text(await sdk.task("simulate-research-query", { topic: "gateways" })), /Research Report: gateways/));
  }
}

// official is a session with the everything-server of the Go SDK, of either era.
async function official() {
  await step("list", () => lists({
    tools: ["test_simple_text", "test_input_required_result_multi_round", "json_schema_2020_12_tool"].map((name) => prefix + name),
    prompts: ["test_simple_prompt", "test_prompt_with_image"].map((name) => prefix + name),
    resources: ["test://static-text", "test://static-binary", "test://watched-resource"],
    templates: ["test://template/{id}/data"],
  }));
  await step("call", async () => {
    await says("test_simple_text", {}, /simple text response/);
    const mixed = await call("test_multiple_content_types");
    assert.deepEqual(mixed.content.map((c) => c.type), ["text", "image", "resource"]);
    assert.ok((await call("test_audio_content")).content.some((c) => c.type === "audio"));
    await says("test_x_mcp_header", { region: "zürich", level: 3 }, /region=zürich/);
    assert.equal((await call("test_error_handling")).isError, true);
  });
  await progress("test_tool_with_progress", {});
  await step("logging", () => logging("test_tool_with_logging", 3), { alone: server === "official" });
  const sessions = server === "official-sessions"; // asks by requests of its own
  if (sessions) {
    await step("elicitation", () => says("test_elicitation", { message: "who?" }, /action=accept, content=map\[username:Ada\]/));
    await step("sampling", () => says("test_sampling", { prompt: "who is it?" }, /LLM response: you asked: .*who is it\?/));
  }
  for (const [name, [tool, kinds]] of Object.entries({
    "elicitation, stateless": ["elicitation", ["elicitation"]],
    "sampling, stateless": ["sampling", ["sampling"]],
    "roots": ["list_roots", ["roots"]],
    "several questions": ["multiple_inputs", ["elicitation", "sampling", "roots"]],
    "rounds": ["multi_round", ["elicitation", "elicitation"]],
  })) {
    if (sessions && tool === "multi_round") continue; // the SDK's server with sessions asks only once
    await step(sessions ? name.replace(", stateless", ", converted") : name, async () => {
      const before = { ...asked };
      const result = await call(`test_input_required_result_${tool}`);
      assert.ok(!result.isError, text(result));
      for (const kind of kinds) before[kind]++;
      assert.deepEqual(asked, before);
    });
  }
  if (plan.changes.includes(server)) {
    await step("list change", () => changing("toolsListChanged", "notifications/tools/list_changed",
      () => says("test_trigger_tool_change", {}, /published/),
      async () => (await all("listTools", "tools")).some((t) => t.name === prefix + "__transient_tool_for_list_changed")));
  }
  // The Go SDK takes the end of one subscription to a resource for the end of all that a connection has to it.
  await step("subscription", () => watching("test://watched-resource", async () => {}), { alone: server === "official" });
  await step("prompts", async () => {
    const prompt = await client.getPrompt({ name: prefix + "test_prompt_with_arguments", arguments: { arg1: "x", arg2: "y" } });
    assert.match(prompt.messages[0].content.text, /x.*y/s);
    const image = await client.getPrompt({ name: prefix + "test_prompt_with_image" });
    assert.ok(image.messages.some((m) => m.content.type === "image"));
  });
  await step("completion", async () => {
    const result = await client.complete({ ref: { type: "ref/prompt", name: prefix + "test_prompt_with_arguments" }, argument: { name: "arg1", value: "x" } });
    assert.deepEqual(result.completion.values, []);
  });
  await step("resources", async () => {
    assert.match((await client.readResource({ uri: "test://static-text" })).contents[0].text, /./);
    assert.ok((await client.readResource({ uri: "test://static-binary" })).contents[0].blob.length > 0);
    assert.match((await client.readResource({ uri: "test://template/42/data" })).contents[0].text, /42/);
    await assert.rejects(client.readResource({ uri: "test://nothing" }));
  });
}

// files is a session with server-filesystem, on plan.directory.
async function files() {
  const path = `${plan.directory}/${ownName()}.txt`;
  await step("list", () => lists({ tools: ["write_file", "read_text_file", "list_directory"].map((name) => prefix + name) }));
  await step("write", () => says("write_file", { path, content: "grüße €😀\n" }, /Successfully wrote/));
  await step("read", () => says("read_text_file", { path }, /^grüße €😀\n$/));
  await step("directory", async () => assert.ok(text(await call("list_directory", { path: plan.directory })).includes(path.split("/").at(-1))));
  await step("refusal", async () => assert.equal((await call("read_text_file", { path: "/etc/hostname" })).isError, true));
}

// memory is a session with server-memory.
async function memory() {
  const name = ownName(), uri = "memory://knowledge-graph";
  const create = (name) => says("create_entities", { entities: [{ name, entityType: "test", observations: ["€"] }] }, /€/);
  await step("list", () => lists({ tools: ["create_entities", "read_graph"].map((name) => prefix + name), resources: [uri] }));
  // It reads and writes its file without minding other calls.
  await step("subscription", () => watching(uri, () => create(`first-${name}`)), { alone: true });
  await step("create", () => create(name), { alone: true });
  await step("read", async () => {
    const { structuredContent: graph } = await call("read_graph");
    assert.deepEqual(graph.entities.find((e) => e.name === name)?.observations, ["€"]);
  });
  await step("search", async () => {
    const { structuredContent: found } = await call("search_nodes", { query: name });
    assert.deepEqual(found.entities.map((e) => e.name).sort(), [`first-${name}`, name]);
  });
  await step("resources", async () => assert.ok((await client.readResource({ uri })).contents[0].text.includes(name)));
}

// together looks at all servers at one endpoint, and calls a tool of each.
async function together(visit) {
  const greetings = {
    everything: ["get-sum", { a: 2, b: 40 }, /is 42\./], files: ["list_allowed_directories", {}, new RegExp(plan.directory)],
    memory: ["read_graph", {}, /entities/], official: ["test_simple_text", {}, /simple text/],
  };
  server = "together";
  await step("lists", async () => {
    const tools = visit.servers.map(({ name, kind }) => `${name}__${greetings[kind][0]}`);
    const asking = visit.servers.filter(({ kind }) => kind === "everything" || kind === "official");
    const prompts = asking.map(({ name, kind }) => `${name}__${kind === "official" ? "test_simple_prompt" : "simple-prompt"}`);
    // A gateway that has just been started shows what is there in time, and the rest when it comes.
    const want = { tools, prompts, resources: ["memory://knowledge-graph", "test://static-text"], templates: [] };
    for (const begun = Date.now(); ; await new Promise((resolve) => setTimeout(resolve, 200))) {
      try {
        return await lists(want);
      } catch (err) {
        if (Date.now() - begun > plan.seconds * 900) throw err;
      }
    }
  }, { uses: visit.servers.map(({ name }) => name) });
  prefix = "";
  await step("a call of each", () => Promise.all(visit.servers.map(({ name, kind }) => {
    const [tool, args, want] = greetings[kind];
    return says(`${name}__${tool}`, args, want);
  })), { uses: visit.servers.map(({ name }) => name) });
}

for (const visit of plan.visits) {
  sdk = plan.sdk === 2 ? await two(visit) : await one(visit);
  client = sdk.client;
  modern = sdk.era() === "modern";
  heard.length = 0;
  tell({ era: sdk.era() });
  if (visit.together) await together(visit);
  for (const entry of visit.servers) {
    if (!entry.use) continue;
    [server, prefix] = [entry.name, entry.prefix];
    await { everything, official, files, memory }[entry.kind]();
  }
  await client.close();
}
process.exit(0);
