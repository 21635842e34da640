// A client of the TypeScript SDK 1.x, which speaks 2025-11-25, over Streamable HTTP. It calls a tool and prints one JSON
// object per line: what it sees of the call, and what it is asked on the way.
//
//   node tasks.mjs URL TOOL ARGUMENTS plain    an ordinary call
//   node tasks.mjs URL TOOL ARGUMENTS task     a call as a task, which is then listed; then another that is cancelled
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CallToolResultSchema, ElicitRequestSchema, TaskStatusNotificationSchema } from "@modelcontextprotocol/sdk/types.js";

const [url, tool, args, how] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));

const client = new Client({ name: "tasks", version: "1" }, { capabilities: { elicitation: { form: {} } } });
client.setRequestHandler(ElicitRequestSchema, async (request) => {
  tell({ type: "asked", message: request.params.message });
  const name = Object.keys(request.params.requestedSchema.properties)[0];
  return { action: "accept", content: { [name]: "technical" } };
});
client.setNotificationHandler(TaskStatusNotificationSchema, async (n) => tell({ type: "status", status: n.params.status }));
await client.connect(new StreamableHTTPClientTransport(new URL(url)));
tell({ type: "connected", tasks: client.getServerCapabilities().tasks ?? null });
const { tools } = await client.listTools();
tell({ type: "listed", support: tools.find((t) => t.name === tool)?.execution?.taskSupport ?? null });

const call = { name: tool, arguments: JSON.parse(args) };
const onprogress = (p) => tell({ type: "progress", message: p.message ?? null });
if (how === "plain") {
  tell({ type: "result", result: await client.callTool(call, CallToolResultSchema, { onprogress }) });
} else {
  const { tasks } = client.experimental;
  let id;
  for await (const m of tasks.callToolStream(call, CallToolResultSchema, { task: { ttl: 60000 } })) {
    id ??= m.task?.taskId;
    tell(m.type === "result" ? m : { type: m.type, status: m.task?.status, error: m.error?.message });
  }
  tell({ type: "tasks", mine: (await tasks.listTasks()).tasks.some((t) => t.taskId === id) });
  for await (const m of tasks.callToolStream(call, CallToolResultSchema, { task: { ttl: 60000 } })) {
    if (m.type === "taskCreated") {
      tell({ type: "cancelled", status: (await tasks.cancelTask(m.task.taskId)).status });
      break;
    }
  }
}
await client.close();
