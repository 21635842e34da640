// Calls a tool that reports its progress many times at once, and looks for answers that are lost, cut, doubled or somebody
// else's. Each call has a duration of its own, which server-everything puts into its answer, and a progress token of its
// own. A naive proxy cuts a few answers in a hundred: net/http closes the body of a request at the first flush of its
// response, while the proxy still reads it.
//
// The plan is one JSON argument, what has happened is one JSON object on standard output.
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";

const plan = JSON.parse(process.argv[2]); // url, tool, way: modern, sessions or sse; client, calls, concurrency
const found = { calls: 0, answered: 0, events: 0, progress: 0, lost: 0, foreign: 0, doubled: 0, example: "" };

function wrong(kind, example) {
  found[kind]++;
  found.example ||= `${kind}: ${example}`.slice(0, 600);
}

// duration tells calls apart, also those of other clients.
const duration = (id) => 0.001 + plan.client / 1e5 + id / 1e10;
const request = (id, meta) => ({
  jsonrpc: "2.0", id, method: "tools/call",
  params: { name: plan.tool, arguments: { duration: duration(id), steps: 1 }, _meta: { ...meta, progressToken: `${plan.client}-${id}` } },
});

// judge looks at all messages that came for a call.
function judge(id, messages, example) {
  const answers = messages.filter((m) => "result" in m || "error" in m);
  const notes = messages.filter((m) => m.method === "notifications/progress");
  if (answers.length === 0) return wrong("lost", example);
  if (answers.length > 1 || notes.length > 1) return wrong("doubled", example);
  const text = answers[0].result?.content?.[0].text ?? "";
  if (answers[0].id !== id || !text.includes(`Duration: ${duration(id)} seconds`)) return wrong("foreign", `${id}: ${example}`);
  if (notes.some((n) => n.params.progressToken !== `${plan.client}-${id}`)) return wrong("foreign", `${id}: ${example}`);
  found.answered++;
  found.progress += notes.length;
}

// streamable is a client of Streamable HTTP that reads bytes itself.
async function streamable() {
  const modern = plan.way === "modern";
  const meta = modern ? {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": { name: "stress", version: "1" },
  } : {};
  let session = modern ? { "mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": plan.tool } : {};
  const post = async (body) => {
    const headers = { "content-type": "application/json", accept: "application/json, text/event-stream", ...session };
    const resp = await fetch(plan.url, { method: "POST", headers, body: JSON.stringify(body) });
    return { resp, text: await resp.text() };
  };
  if (!modern) {
    const { resp } = await post({
      jsonrpc: "2.0", id: "init", method: "initialize",
      params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "stress", version: "1" } },
    });
    session = { "mcp-session-id": resp.headers.get("mcp-session-id"), "mcp-protocol-version": "2025-11-25" };
    await post({ jsonrpc: "2.0", method: "notifications/initialized" });
  }
  return async (id) => {
    const { resp, text } = await post(request(id, meta));
    const stream = resp.headers.get("content-type")?.startsWith("text/event-stream");
    found.events += stream ? 1 : 0;
    const messages = stream ? text.split("\n").filter((l) => l.startsWith("data: {")).map((l) => JSON.parse(l.slice(6))) : [JSON.parse(text)];
    judge(id, messages, `${resp.status} ${text.slice(-400)}`);
  };
}

// sse is a client of HTTP+SSE, whose answers all come on one stream.
async function sse() {
  const transport = new SSEClientTransport(new URL(plan.url));
  const open = new Map(); // id to the messages so far and who waits
  transport.onmessage = (message) => {
    if (message.method && message.method !== "notifications/progress") return; // news that belongs to no call
    const id = message.id ?? Number(String(message.params?.progressToken).split("-")[1]);
    const call = open.get(id);
    if (!call) return wrong("foreign", JSON.stringify(message));
    call.messages.push(message);
    if (message.id !== undefined) call.done();
  };
  await transport.start();
  const ask = (id, message) => new Promise((done, failed) => {
    const call = { messages: [], done: () => done(call.messages) };
    open.set(id, call);
    transport.send(message).catch(failed);
  });
  await ask("init", {
    jsonrpc: "2.0", id: "init", method: "initialize",
    params: { protocolVersion: "2025-11-25", capabilities: {}, clientInfo: { name: "stress", version: "1" } },
  });
  await transport.send({ jsonrpc: "2.0", method: "notifications/initialized" });
  return async (id) => {
    const messages = await ask(id, request(id, {}));
    found.events++;
    judge(id, messages, JSON.stringify(messages).slice(-400));
  };
}

const call = plan.way === "sse" ? await sse() : await streamable();
let next = 0;
async function worker() {
  while (next < plan.calls) {
    const id = ++next;
    found.calls++;
    let timer;
    const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error("no answer in 60 s")), 60_000); });
    try {
      await Promise.race([call(id), late]);
    } catch (err) {
      wrong("lost", `${err} ${err.cause ?? ""}`);
    } finally {
      clearTimeout(timer);
    }
  }
}
await Promise.all(Array.from({ length: plan.concurrency }, worker));
console.log(JSON.stringify(found));
process.exit(0);
