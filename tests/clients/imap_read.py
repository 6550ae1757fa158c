"""Reads a whole mailbox with imaplib: HOST PORT USER, the token on standard input. Prints one SHA-256 per message."""
import hashlib
import imaplib
import ssl
import sys

host, port, user = sys.argv[1], int(sys.argv[2]), sys.argv[3]
token = sys.stdin.readline().strip()
imaplib._MAXLINE = 50_000_000
imap = imaplib.IMAP4_SSL(host, port, ssl_context=ssl.create_default_context())
imap.authenticate("XOAUTH2", lambda _: f"user={user}\x01auth=Bearer {token}\x01\x01".encode())
status, folders = imap.list()
assert status == "OK" and folders, (status, folders)
status, count = imap.select("INBOX", readonly=True)  # imaplib itself gives up where a folder opened for writing is answered read-only
assert status == "OK", (status, count)
for number in range(1, int(count[0]) + 1):
    status, data = imap.fetch(str(number), "(RFC822)")
    assert status == "OK", (status, data)
    print(hashlib.sha256(data[0][1]).hexdigest())
status, _ = imap.close()
assert status == "OK", status
imap.logout()
