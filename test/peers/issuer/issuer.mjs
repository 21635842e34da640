// An OpenID provider that lets everybody in who types a name, and gives access tokens for whatever resource it is asked for.
// Prints its address as a line of JSON when it listens, and ends with its standard input.
//
//   node issuer.mjs ALGORITHM REDIRECT      ES256, EdDSA, PS256 or RS256; REDIRECT is that of the client "login"
//   node issuer.mjs opaque REDIRECT         access tokens that only it can read; the client "gateway" may ask about them
import { createServer } from "node:http";
import { once } from "node:events";
import { generateKeyPair, exportJWK } from "jose";
import Provider from "oidc-provider";

const [algorithm, redirect] = process.argv.slice(2);
const server = createServer();
server.listen(0, "127.0.0.1");
await once(server, "listening");
const issuer = `http://127.0.0.1:${server.address().port}`;

const jwk = async (alg) => ({ ...(await exportJWK((await generateKeyPair(alg, { extractable: true })).privateKey)), alg, use: "sig", kid: `key-${alg}` });
const provider = new Provider(issuer, {
  clients: [{ client_id: "login", redirect_uris: [redirect], grant_types: ["authorization_code", "refresh_token"], response_types: ["code"], token_endpoint_auth_method: "none", application_type: "native" },
    { client_id: "gateway", client_secret: "the gateway's: own secret", redirect_uris: [], grant_types: [], response_types: [], token_endpoint_auth_method: "client_secret_basic" }],
  jwks: { keys: [await jwk("RS256"), ...(["RS256", "opaque"].includes(algorithm) ? [] : [await jwk(algorithm)])] },
  cookies: { keys: ["a key for the cookies of a test"] },
  scopes: ["openid", "offline_access", "mcp"],
  findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  extraTokenClaims: async () => ({ groups: ["staff"] }),
  features: {
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: async (_, resource) => ({ scope: "mcp", audience: resource, ...(algorithm === "opaque" ? { accessTokenFormat: "opaque" } : { accessTokenFormat: "jwt", jwt: { sign: { alg: algorithm } } }) }),
      useGrantedResource: async () => true,
    },
  },
});
server.on("request", provider.callback());
console.log(JSON.stringify({ issuer }));
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
