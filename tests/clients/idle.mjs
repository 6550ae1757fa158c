// Opens INBOX with imapflow and goes idle: HOST PORT USER FILE, the token in FILE. Prints `idle`, then `exists N` at the
// first new message, and ends.
import { readFileSync } from 'node:fs';
import { ImapFlow } from 'imapflow';

const [host, port, user, file] = process.argv.slice(2);
const accessToken = readFileSync(file, 'utf8').trim();
const client = new ImapFlow({ host, port: Number(port), secure: true, auth: { user, accessToken }, logger: false });
await client.connect();
await client.mailboxOpen('INBOX', { readOnly: true });
const seen = new Promise((resolve) => client.once('exists', (event) => resolve(event.count)));
client.idle();
console.log('idle');
console.log('exists', await seen);
await client.logout();
