"""Finds the endpoints by its issuer, gets a token, checks it with PyJWT by the JWKS, introspects and revokes it (Authlib) and prints its
claims: authlib|requests-oauthlib METHOD ISSUER CLIENT_ID AUDIENCE ALGORITHM, the secret on standard input. METHOD is
client_secret_basic, client_secret_post, or (authlib only) private_key_jwt, whose secret is a private JWK with `alg` and `kid`."""
import json
import sys
import time

import jwt
import requests
from authlib.integrations.requests_client import OAuth2Session as AuthlibSession
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata, get_well_known_url
from joserfc.jwk import import_key
from oauthlib.oauth2 import BackendApplicationClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

library, method, issuer, client_id, audience, algorithm = sys.argv[1:7]
secret = sys.stdin.readline().strip()


def sign_anew():
    """Nothing, but for signed assertions."""


answer = requests.get(get_well_known_url(issuer, external=True), timeout=60)
answer.raise_for_status()
metadata = AuthorizationServerMetadata(answer.json())
for name in ("issuer", "token_endpoint", "jwks_uri", "scopes_supported", "grant_types_supported",
             "token_endpoint_auth_methods_supported", "introspection_endpoint", "introspection_endpoint_auth_methods_supported",
             "revocation_endpoint", "revocation_endpoint_auth_methods_supported"):
    getattr(metadata, f"validate_{name}")()
assert metadata["issuer"] == issuer and method in metadata["token_endpoint_auth_methods_supported"], metadata
url = metadata["token_endpoint"]
if method == "private_key_jwt":
    private = json.loads(secret)
    assert private["alg"] in metadata["token_endpoint_auth_signing_alg_values_supported"], metadata
    session = AuthlibSession(client_id, import_key(private), token_endpoint_auth_method=method,
                             revocation_endpoint_auth_method=method)

    def sign_anew():
        # Its own defaults are the token endpoint's URL and an hour; both can be set. It keeps the `jti` in the claims that it is given,
        # and an assertion is taken once: each request gets claims of its own.
        claims = {"aud": issuer, "exp": int(time.time()) + 60}
        session.register_client_auth_method(PrivateKeyJWT(url, claims=claims, headers={"kid": private["kid"]}, alg=private["alg"]))

    sign_anew()
    token = session.fetch_token(url, grant_type="client_credentials", resource=audience)
elif library == "authlib":
    session = AuthlibSession(client_id, secret, token_endpoint_auth_method=method)
    token = session.fetch_token(url, grant_type="client_credentials", resource=audience)
else:
    session = OAuth2Session(client=BackendApplicationClient(client_id))
    if method == "client_secret_basic":
        credentials = {"auth": HTTPBasicAuth(client_id, secret)}
    else:
        credentials = {"client_secret": secret, "include_client_id": True}
    token = session.fetch_token(url, resource=audience, **credentials)
assert token["token_type"] == "Bearer" and "refresh_token" not in token, sorted(token)
access = token["access_token"]
key = jwt.PyJWKClient(metadata["jwks_uri"]).get_signing_key_from_jwt(access)
header = jwt.get_unverified_header(access)
assert header["typ"] == "at+jwt" and header["alg"] == algorithm, header
required = ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"]
claims = jwt.decode(access, key, algorithms=[algorithm], audience=audience, issuer=issuer, options={"require": required})
if library == "authlib":
    # Authlib introspects with the method that it got the token with, and revokes with Basic unless another is named.
    def introspected():
        sign_anew()
        answer = session.introspect_token(metadata["introspection_endpoint"], token=access, token_type_hint="access_token")
        answer.raise_for_status()
        return answer.json()
    told = introspected()
    assert told["active"] is True and all(told[name] == claims[name] for name in required + ["scope"]), sorted(told)
    for _ in range(2):
        sign_anew()
        session.revoke_token(metadata["revocation_endpoint"], token=access).raise_for_status()
    assert introspected() == {"active": False}
print(json.dumps(claims))
