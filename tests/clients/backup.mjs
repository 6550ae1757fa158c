// Backs a whole mailbox up with imapflow: HOST PORT USER, the token on standard input. Prints one SHA-256 per message, in order.
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { ImapFlow } from 'imapflow';

const [host, port, user] = process.argv.slice(2);
const accessToken = readFileSync(0, 'utf8').trim();
const client = new ImapFlow({ host, port: Number(port), secure: true, auth: { user, accessToken }, logger: false });
await client.connect();
await client.list();
await client.mailboxOpen('INBOX');
for await (const message of client.fetch('1:*', { source: true, flags: true, internalDate: true })) {
  console.log(createHash('sha256').update(message.source).digest('hex'));
}
await client.mailboxClose();
await client.logout();
