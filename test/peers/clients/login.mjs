// A client of the TypeScript SDK 1.x that knows nothing but an address: it is turned away, finds the authorization server,
// names itself, sends its user to log in, and lists the tools. The user's browser is here too: it fills in the forms of the
// pages that it is sent to. Prints one JSON object per line.
//
//   node login.mjs URL USER PASSWORD register                  the client registers itself
//   node login.mjs URL USER PASSWORD id CLIENT_ID REDIRECT     the client is known by an id
//
// At the end it refreshes its tokens, and tries the first refresh token a second time.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { auth, refreshAuthorization, discoverAuthorizationServerMetadata, UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";

const [url, user, password, how, clientId, redirect = "http://127.0.0.1:4711/callback"] = process.argv.slice(2);
const tell = (what) => console.log(JSON.stringify(what));

// browse follows redirects and fills in forms, as a browser with its own cookies, until it is sent to the client.
async function browse(address) {
  const jar = new Map();
  let request = { method: "GET" };
  for (let step = 0; step < 20; step++) {
    if (String(address).startsWith(redirect)) return new URL(address);
    const response = await fetch(address, {
      ...request, redirect: "manual",
      headers: { ...request.headers, cookie: [...jar].map(([k, v]) => `${k}=${v}`).join("; "), ...(request.method === "POST" ? { origin: new URL(address).origin } : {}) },
    });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      value ? jar.set(name, value) : jar.delete(name);
    }
    if (response.status >= 300 && response.status < 400) {
      address = new URL(response.headers.get("location"), address);
      request = { method: "GET" };
      continue;
    }
    const html = await response.text();
    tell({ type: "page", status: response.status, title: /<title>([^<]*)/.exec(html)?.[1] ?? null });
    if (!response.ok) throw new Error(`the page is answered with ${response.status}: ${html.slice(0, 300)}`);
    ({ address, request } = fill(html, address));
  }
  throw new Error("sent around in circles");
}

function fill(html, address) {
  const form = /<form[^>]*>[\s\S]*?<\/form>/.exec(html)[0];
  const attribute = (tag, name) => new RegExp(`\\b${name}="([^"]*)"`).exec(tag)?.[1]?.replaceAll("&amp;", "&");
  const values = new URLSearchParams();
  for (const [input] of form.matchAll(/<input[^>]*>/g)) {
    const name = attribute(input, "name");
    if (!name) continue;
    const type = attribute(input, "type");
    values.set(name, type === "password" ? password : type === "hidden" ? attribute(input, "value") ?? "" : user);
  }
  const button = /<button[^>]*>/.exec(form)?.[0] ?? "";
  if (attribute(button, "name")) values.set(attribute(button, "name"), attribute(button, "value"));
  return {
    address: new URL(attribute(/<form[^>]*>/.exec(form)[0], "action"), address),
    request: { method: "POST", body: values.toString(), headers: { "content-type": "application/x-www-form-urlencoded" } },
  };
}

const kept = {};
let arrived;
const provider = {
  get redirectUrl() { return redirect; },
  get clientMetadata() {
    return { client_name: "login.mjs", redirect_uris: [redirect], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none" };
  },
  state: () => "state-of-the-client",
  clientInformation: () => (how === "id" ? { client_id: clientId } : kept.client),
  ...(how === "register" ? { saveClientInformation: (c) => { kept.client = c; tell({ type: "registered", method: c.token_endpoint_auth_method }); } } : {}),
  tokens: () => kept.tokens,
  saveTokens: (t) => { kept.tokens = t; tell({ type: "tokens", kind: t.token_type, expires: t.expires_in, refresh: Boolean(t.refresh_token), scope: t.scope ?? null, access: t.access_token }); },
  redirectToAuthorization: async (address) => {
    tell({ type: "sent", to: address.origin + address.pathname, method: address.searchParams.get("code_challenge_method"), resource: address.searchParams.get("resource"), scope: address.searchParams.get("scope") });
    arrived = await browse(address);
  },
  saveCodeVerifier: (v) => { kept.verifier = v; },
  codeVerifier: () => kept.verifier,
};

const connect = () => {
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  return { transport, client: new Client({ name: "login", version: "1" }) };
};
const first = connect();
try {
  await first.client.connect(first.transport);
  tell({ type: "error", message: "came in without logging in" });
} catch (error) {
  if (!(error instanceof UnauthorizedError)) throw error;
}
tell({ type: "back", code: Boolean(arrived.searchParams.get("code")), iss: arrived.searchParams.get("iss"), state: arrived.searchParams.get("state"), error: arrived.searchParams.get("error") });
await first.transport.finishAuth(arrived.searchParams.get("code"));
const second = connect();
await second.client.connect(second.transport);
tell({ type: "tools", names: (await second.client.listTools()).tools.map((t) => t.name).sort() });
await second.client.close();

// Refresh through the SDK, then with the token that was used up.
const old = kept.tokens.refresh_token;
if (old) {
  tell({ type: "refreshed", result: await auth(provider, { serverUrl: url }), rotated: kept.tokens.refresh_token !== old });
  const third = connect();
  await third.client.connect(third.transport);
  await third.client.close();
  const issuer = arrived.searchParams.get("iss");
  const metadata = await discoverAuthorizationServerMetadata(issuer);
  try {
    await refreshAuthorization(issuer, { metadata, clientInformation: provider.clientInformation(), refreshToken: old, resource: new URL(url) });
    tell({ type: "error", message: "a refresh token worked twice" });
  } catch (error) {
    tell({ type: "reused", error: error.errorCode ?? error.name });
  }
  const response = await fetch(url, { method: "POST", headers: { authorization: `Bearer ${kept.tokens.access_token}`, "content-type": "application/json", accept: "application/json, text/event-stream" }, body: "{}" });
  tell({ type: "after", status: response.status });
}
