// Finds the token endpoint by its issuer, gets a token, checks it with jose by the JWKS and prints its claims:
// openid-client|oauth4webapi client_secret_basic|client_secret_post|private_key_jwt ISSUER CLIENT_ID AUDIENCE ALGORITHM, the secret on
// standard input; for private_key_jwt it is a private JWK with `alg` and `kid`.
import { readFileSync } from 'node:fs';
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
let token, metadata;
if (library === 'openid-client') {
  const authentication = await authenticationOf(openid);
  const config = await openid.discovery(new URL(issuer), client_id, undefined, authentication);
  metadata = config.serverMetadata();
  token = await openid.clientCredentialsGrant(config, { resource });
} else {
  const found = await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2' });
  metadata = await oauth.processDiscoveryResponse(new URL(issuer), found);
  const authentication = await authenticationOf(oauth);
  const client = { client_id };
  const answer = await oauth.clientCredentialsGrantRequest(metadata, client, authentication, { resource });
  token = await oauth.processClientCredentialsResponse(metadata, client, answer);
}
if (!metadata.token_endpoint_auth_methods_supported.includes(method)) throw new Error(`${method} is not in the metadata`);
const keys = jose.createRemoteJWKSet(new URL(metadata.jwks_uri));
const { payload } = await jose.jwtVerify(token.access_token, keys, {
  issuer, audience: resource, algorithms: [algorithm], typ: 'at+jwt',
  requiredClaims: ['iss', 'exp', 'aud', 'sub', 'client_id', 'iat', 'jti'],
});
console.log(JSON.stringify(payload));
