// Finds the endpoints by the issuer, gets a narrowed token, checks it with jose by the JWKS, introspects and revokes it, and prints its
// claims: openid-client|oauth4webapi client_secret_basic|client_secret_post|private_key_jwt ISSUER CLIENT_ID AUDIENCE ALGORITHM, the
// secret on standard input; for private_key_jwt it is a private JWK with `alg` and `kid`.
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';

const [library, method, issuer, client_id, resource, algorithm] = process.argv.slice(2);
const secret = readFileSync(0, 'utf8').trim();
const authenticationOf = async (library) => {
  if (method === 'client_secret_basic') return library.ClientSecretBasic(secret);
  if (method === 'client_secret_post') return library.ClientSecretPost(secret);
  const { kid, alg, ...key } = JSON.parse(secret);
  return library.PrivateKeyJwt({ key: await jose.importJWK(key, alg), kid });
};
const details = [{ type: 'mailbox', folders: ['INBOX'] }];
const authorization_details = JSON.stringify(details);
let token, metadata, introspect, revoke;
if (library === 'openid-client') {
  const authentication = await authenticationOf(openid);
  const config = await openid.discovery(new URL(issuer), client_id, undefined, authentication);
  metadata = config.serverMetadata();
  token = await openid.clientCredentialsGrant(config, { resource, authorization_details });
  introspect = () => openid.tokenIntrospection(config, token.access_token);
  revoke = () => openid.tokenRevocation(config, token.access_token);
} else {
  const found = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2' });
  metadata = await oauth.processDiscoveryResponse(new URL(issuer), found);
  const authentication = await authenticationOf(oauth);
  const client = { client_id };
  const answer = await oauth.clientCredentialsGrantRequest(metadata, client, authentication, { resource, authorization_details });
  token = await oauth.processClientCredentialsResponse(metadata, client, answer);
  introspect = async () => oauth.processIntrospectionResponse(metadata, client,
    await oauth.introspectionRequest(metadata, client, authentication, token.access_token));
  revoke = async () => oauth.processRevocationResponse(
    await oauth.revocationRequest(metadata, client, authentication, token.access_token));
}
if (!metadata.token_endpoint_auth_methods_supported.includes(method)) throw new Error(`${method} is not in the metadata`);
const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
const { payload } = await jose.jwtVerify(token.access_token, keys, {
  issuer, audience: resource, algorithms: [algorithm], typ: 'at+jwt',
  requiredClaims: ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'],
});
if (!isDeepStrictEqual(token.authorization_details, details)) throw new Error('the details were not echoed');
const told = await introspect();
for (const name of ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti', 'scope', 'authorization_details']) {
  if (!isDeepStrictEqual(told[name], payload[name])) throw new Error(`introspection and token differ in ${name}`);
}
if (told.active !== true) throw new Error('the token is not active');
await revoke();
await revoke();
if (!isDeepStrictEqual({ ...(await introspect()) }, { active: false })) throw new Error('the token is still active');
console.log(JSON.stringify(payload));
