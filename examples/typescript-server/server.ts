// A server in TypeScript with the official SDK: it mixes colours. Node runs the file as it is, from version 22.18 on.
import { McpServer } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import * as z from "zod";

const colour = z.string().regex(/^#[0-9a-f]{6}$/i).describe("a colour such as #ff8800");

/** The parts of a colour, from 0 to 255. */
const parts = (c: string): number[] => [1, 3, 5].map((at) => Number.parseInt(c.slice(at, at + 2), 16));

serveStdio(() => {
  const server = new McpServer({ name: "colours", title: "Colours", version: "1.0.0" }, { instructions: "Mixes colours." });
  server.registerTool(
    "mix",
    {
      title: "Mix colours",
      description: "Mixes two colours in equal parts.",
      inputSchema: z.object({ a: colour, b: colour }),
      outputSchema: z.object({ colour: z.string() }),
      annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    },
    async ({ a, b }) => {
      const other = parts(b);
      const mixed = parts(a).map((part, i) => Math.round((part + other[i]) / 2).toString(16).padStart(2, "0"));
      const result = { colour: "#" + mixed.join("") };
      return { structuredContent: result, content: [{ type: "text", text: result.colour }] };
    },
  );
  return server;
});
