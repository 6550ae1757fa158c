"""Gets a token with requests and a client certificate, and reads with imaplib over a connection that shows the same:
TOKEN_URL CLIENT_ID CERTIFICATE KEY IMAPS_PORT ADDRESS"""
import imaplib
import os
import ssl
import sys

import requests

url, client_id, certificate, key, port, address = sys.argv[1:7]
form = {"grant_type": "client_credentials", "client_id": client_id}
answer = requests.post(url, data=form, cert=(certificate, key), timeout=60)
answer.raise_for_status()
token = answer.json()["access_token"]


def log_in(context):
    imap = imaplib.IMAP4_SSL("localhost", int(port), ssl_context=context)
    imap.authenticate("XOAUTH2", lambda _: f"user={address}\x01auth=Bearer {token}\x01\x01".encode())
    return imap


context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
try:
    log_in(context)
    sys.exit("a bound token was taken without its certificate")
except imaplib.IMAP4.error:
    pass
context.load_cert_chain(certificate, key)
imap = log_in(context)
status, _ = imap.select("INBOX", readonly=True)
imap.logout()
print(status)
