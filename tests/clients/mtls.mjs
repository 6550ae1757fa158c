// Gets a token with openid-client's TlsClientAuth over Node's own TLS, and prints it: ISSUER CLIENT_ID CERTIFICATE KEY
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import * as openid from 'openid-client';

const [issuer, client_id, certificate, key] = process.argv.slice(2);
const agent = new Agent({ cert: readFileSync(certificate), key: readFileSync(key) });

// fetch() of Node has no place for a certificate.
function withCertificate(url, { method, headers, body }) {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent, method, headers: Object.fromEntries(new Headers(headers)) }, (answer) => {
      const parts = [];
      answer.on('data', (part) => parts.push(part));
      answer.on('end', () => {
        resolve(new Response(Buffer.concat(parts), { status: answer.statusCode, headers: answer.headers }));
      });
    });
    sent.on('error', reject);
    sent.end(body === undefined || body === null ? undefined : String(body));
  });
}

const config = await openid.discovery(new URL(issuer), client_id, undefined, openid.TlsClientAuth(), {
  [openid.customFetch]: withCertificate,
});
if (config.serverMetadata().tls_client_certificate_bound_access_tokens !== true) throw new Error('not in the metadata');
const token = await openid.clientCredentialsGrant(config);
console.log(token.access_token);
