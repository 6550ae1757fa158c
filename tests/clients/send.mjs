// Sends messages with nodemailer: HOST PORT USER COUNT RECIPIENT, the token on standard input.
import { readFileSync } from 'node:fs';
import nodemailer from 'nodemailer';

const [host, port, user, count, to] = process.argv.slice(2);
const accessToken = readFileSync(0, 'utf8').trim();
const transport = nodemailer.createTransport({
  host, port: Number(port), secure: true, pool: true, maxConnections: 2, maxMessages: 1000,
  auth: { type: 'OAuth2', user, accessToken },
});
const sends = Array.from({ length: Number(count) }, (_, number) => transport.sendMail({
  from: user, to, subject: `nodemailer ${number}`, text: `Number ${number}\n`,
  messageId: `<nodemailer-${number}@example.test>`,
}));
await Promise.all(sends);
transport.close();
console.log('sent', count);
