// Makes a key pair for an algorithm and prints its halves as JWKs: ALGORITHM.
import * as jose from 'jose';

const [alg] = process.argv.slice(2);
const pair = await jose.generateKeyPair(alg, { extractable: true });
const named = async (key) => ({ ...(await jose.exportJWK(key)), alg, kid: 'tool' });
console.log(JSON.stringify({ public: await named(pair.publicKey), private: await named(pair.privateKey) }));
