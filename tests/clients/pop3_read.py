"""Reads all of a maildrop with poplib: pop3_read.py pop3s|stls PORT USER, the password on standard input. Prints ids and messages (hex)."""
import json
import os
import poplib
import ssl
import sys

# Lines of messages may be longer than poplib's own guard expects.
poplib._MAXLINE = 1 << 20
kind, port, user = sys.argv[1:]
password = sys.stdin.readline().strip()
context = ssl.create_default_context(cafile=os.environ["SSL_CERT_FILE"])
if kind == "pop3s":
    box = poplib.POP3_SSL("localhost", int(port), context=context)
else:
    box = poplib.POP3("localhost", int(port))
    assert "STLS" in box.capa(), box.capa()
    box.stls(context=context)
assert "UIDL" in box.capa() and "SASL" in box.capa(), box.capa()
box.user(user)
box.pass_(password)
count, octets = box.stat()
sizes = [int(line.split()[1]) for line in box.list()[1]]
assert len(sizes) == count and sum(sizes) == octets, (count, octets, sizes)
box.noop()
found = []
for number in range(1, count + 1):
    _, lines, _ = box.retr(number)
    # poplib takes the ends of lines off.
    found.append([box.uidl(number).split()[2].decode(), b"".join(line + b"\r\n" for line in lines).hex()])
    assert box.top(number, 0)[1] == lines[: len(box.top(number, 0)[1])]
box.rset()
box.quit()
print(json.dumps(found))
