"""Sends messages with smtplib: HOST PORT USER COUNT RECIPIENT implicit|starttls, the token on standard input."""
import smtplib
import ssl
import sys

host, port, user, count, recipient, tls = sys.argv[1:7]
token = sys.stdin.readline().strip()
context = ssl.create_default_context()
if tls == "implicit":
    smtp = smtplib.SMTP_SSL(host, int(port), context=context)
else:
    smtp = smtplib.SMTP(host, int(port))
    smtp.starttls(context=context)
smtp.ehlo()
smtp.auth("XOAUTH2", lambda challenge=None: f"user={user}\x01auth=Bearer {token}\x01\x01")
for number in range(int(count)):
    text = (
        f"From: {user}\r\nTo: {recipient}\r\nSubject: smtplib {number}\r\n"
        f"Message-ID: <smtplib-{number}@example.test>\r\n\r\n.a line that starts with a dot\r\n.\r\nNumber {number}\r\n"
    )
    smtp.sendmail(user, [recipient], text)
smtp.quit()
print("sent", count)
