// Finds the token endpoint by its issuer, gets a token bound to a new key, shows it at the resource and prints what that says:
// openid-client|oauth4webapi ISSUER CLIENT_ID RESOURCE ALGORITHM, the secret on standard input. A nonce that is asked for is sent.
import { readFileSync } from 'node:fs';
import * as jose from 'jose';
import * as oauth from 'oauth4webapi';
import * as openid from 'openid-client';

const [library, issuer, client_id, resource, algorithm] = process.argv.slice(2);
const secret = readFileSync(0, 'utf8').trim();
let token, answer, metadata;
let nonces = 0;
if (library === 'openid-client') {
  const config = await openid.discovery(new URL(issuer), client_id, undefined, openid.ClientSecretBasic(secret));
  metadata = config.serverMetadata();
  config[openid.customFetch] = async (...args) => {
    const response = await fetch(...args);
    if (response.status >= 400 && response.headers.has('dpop-nonce')) nonces += 1;
    return response;
  };
  const DPoP = openid.getDPoPHandle(config, await openid.randomDPoPKeyPair(algorithm));
  token = await openid.clientCredentialsGrant(config, {}, { DPoP });
  answer = await openid.fetchProtectedResource(config, token.access_token, new URL(resource), 'GET', undefined, undefined, { DPoP });
} else {
  metadata = await oauth.processDiscoveryResponse(
    new URL(issuer), await oauth.discoveryRequest(new URL(issuer), { algorithm: 'oauth2' }));
  const client = { client_id };
  const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(algorithm));
  const again = async (ask) => {
    try {
      return await ask();
    } catch (error) {
      if (!oauth.isDPoPNonceError(error)) throw error;
      nonces += 1;
      return await ask();
    }
  };
  token = await again(async () => oauth.processClientCredentialsResponse(metadata, client,
    await oauth.clientCredentialsGrantRequest(metadata, client, oauth.ClientSecretBasic(secret), {}, { DPoP })));
  answer = await again(() => oauth.protectedResourceRequest(token.access_token, 'GET', new URL(resource), undefined, undefined, { DPoP }));
}
if (!metadata.dpop_signing_alg_values_supported.includes(algorithm)) throw new Error(`${algorithm} is not in the metadata`);
const { me, ...rest } = { me: await answer.json(), status: answer.status };
const { cnf } = jose.decodeJwt(token.access_token);
console.log(JSON.stringify({ me, ...rest, token_type: token.token_type, jkt: cnf.jkt, nonces }));
