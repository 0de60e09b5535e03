// What a browser makes of a URL (WHATWG URL): one JSON text a line in, one JSON answer a line out, null for no URL.
import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin })) {
  let told = null;
  try {
    const url = new URL(JSON.parse(line));
    told = { href: url.href, origin: url.origin, search: url.search, hash: url.hash, pairs: [...url.searchParams] };
  } catch {}
  process.stdout.write(JSON.stringify(told) + "\n");
}
