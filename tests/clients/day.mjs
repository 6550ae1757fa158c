// Follows INBOX with imapflow for as long as it takes, however often the session ends: HOST PORT USER FILE, the token of the moment in
// FILE. Prints `opened`, `seen UID SUBJECT` for each message and `ended REASON`; at the subject `last` the UIDs that are there, and ends.
// Every line that the server sends is held against the rules: what is no legal event of a selected folder ends this with an error.
import { readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { ImapFlow } from 'imapflow';

const [host, port, user, file] = process.argv.slice(2);
const illegal = (why) => { console.log('illegal', why); process.exit(1); };
const isEnd = (error) => error.code === 'NoConnection' || /not available|Connection/.test(error.message);
let last = 0;

/// One connection's view, by RFC 3501 sections 5.2 and 7: which commands run, how many messages there are.
const judge = () => {
  const running = new Map();
  let exists = null;
  let reason = 'closed';
  const line = (text) => {
    const [tag, word, rest] = text.split(' ', 3);
    if (tag === '*') {
      const number = Number(word);
      const opening = [...running.values()].some((name) => name === 'SELECT' || name === 'EXAMINE');
      if (rest === 'EXISTS') {
        if (!opening && (exists === null || number < exists)) illegal(text);
        exists = number;
      } else if (rest === 'EXPUNGE') {
        const names = [...running.values()];
        if (names.length === 0 || names.some((name) => ['FETCH', 'STORE', 'SEARCH'].includes(name))) illegal(`not now: ${text}`);
        if (exists === null || number < 1 || number > exists) illegal(text);
        exists -= 1;
      } else if (rest === 'FETCH') {
        if (exists === null || number < 1 || number > exists) illegal(text);
      } else if (word === 'VANISHED') {
        illegal(text);
      } else if (word === 'BYE') {
        reason = text.slice('* BYE '.length);
        if (!/^(\[EXPIRED\]|\[UNAVAILABLE\]|see you)/.test(reason)) illegal(text);
      }
    } else if (tag !== '+' && tag !== '(*') {
      if (['OK', 'NO', 'BAD'].includes(word)) {
        if (!running.delete(tag)) illegal(`nobody asked: ${text}`);
      } else {
        running.set(tag, word);
      }
    }
  };
  return { line, exists: () => exists, reason: () => reason };
};

const session = async () => {
  const accessToken = readFileSync(file, 'utf8').trim();
  const client = new ImapFlow({ host, port: Number(port), secure: true, auth: { user, accessToken }, logger: false, emitLogs: true });
  const rules = judge();
  client.on('log', (entry) => { if (entry.src === 's' && typeof entry.msg === 'string') rules.line(entry.msg); });
  client.on('error', () => {});
  const closed = new Promise((resolve) => client.once('close', resolve));
  await client.connect();
  await client.mailboxOpen('INBOX');
  console.log('opened');
  let wake;
  client.on('exists', () => wake?.());
  try {
    for (;;) {
      const news = new Promise((resolve) => { wake = resolve; });
      const fresh = [];
      for await (const message of client.fetch(`${last + 1}:*`, { uid: true, envelope: true }, { uid: true })) {
        if (message.uid > last) fresh.push(message);
      }
      for (const { uid, envelope } of fresh.sort((left, right) => left.uid - right.uid)) {
        last = uid;
        console.log('seen', uid, envelope.subject);
        if (envelope.subject === 'last') {
          const uids = [];
          for await (const message of client.fetch('1:*', { uid: true })) uids.push(message.uid);
          if (uids.length !== rules.exists()) illegal(`${uids.length} messages, ${rules.exists()} told`);
          console.log('there', uids.join(','));
          await client.logout();
          process.exit(0);
        }
      }
      client.idle().catch(() => {});
      await Promise.race([news, closed]);
      if (!client.usable) break;
    }
  } catch (error) {
    // The end may come while a command is under way.
    if (!isEnd(error)) throw error;
  }
  console.log('ended', rules.reason());
};

for (;;) {
  try {
    await session();
  } catch (error) {
    if (!error.authenticationFailed && !isEnd(error)) console.log('trouble', error.message);
    await pause(100);
  }
}
