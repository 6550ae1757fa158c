// Follows INBOX with imapflow and QRESYNC: HOST PORT USER FILE, the token in FILE. Prints what changed since the first state, then
// `watching`, then `gone UID` for the first message that vanishes, and ends.
import { readFileSync } from 'node:fs';
import { ImapFlow } from 'imapflow';

const [host, port, user, file] = process.argv.slice(2);
const accessToken = readFileSync(file, 'utf8').trim();
const client = new ImapFlow({ host, port: Number(port), secure: true, auth: { user, accessToken }, logger: false, qresync: true });
await client.connect();
await client.mailboxOpen('INBOX');
if (!client.enabled.has('CONDSTORE') || !client.enabled.has('QRESYNC')) throw new Error('not enabled');
for (const folder of await client.list({ statusQuery: { messages: true, highestModseq: true } })) {
  console.log('folder', folder.path, folder.specialUse ?? '-', folder.status.messages);
}
const since = client.mailbox.highestModseq;
await client.messageFlagsAdd('2', ['\\Flagged'], { uid: true });
for await (const message of client.fetch('1:*', { uid: true, flags: true }, { uid: true, changedSince: since })) {
  console.log('changed', message.uid, message.modseq > since);
}
const gone = new Promise((resolve) => client.once('expunge', resolve));
client.idle();
console.log('watching');
const event = await gone;
console.log('gone', event.uid, event.vanished);
await client.logout();
