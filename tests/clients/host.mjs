// Serves the `shop.mjs` of docs/clients.md from this folder on PORT, as a framework would.
import { createServer } from "node:http";
import { pathToFileURL } from "node:url";

const shop = await import(pathToFileURL("shop.mjs"));
const { Refused } = await import(pathToFileURL("dargah.mjs"));

async function page(request, body) {
  const { pathname, search } = new URL(request.url, "http://shop");
  if (pathname === "/webhook") return [await shop.webhook(body, request.headers), {}, ""];
  if (pathname === "/pay") return [303, { location: await shop.pay(new URLSearchParams(body.toString()).get("order")) }, ""];
  try {
    return [200, {}, shop.thanks(search)];
  } catch (error) {
    if (error instanceof Refused) return [400, {}, ""];
    throw error;
  }
}

createServer(async (request, response) => {
  try {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const [status, headers, text] = await page(request, Buffer.concat(chunks));
    response.writeHead(status, headers).end(text);
  } catch {
    response.destroy(); // the client is gone, or the shop failed
  }
}).listen(process.env.PORT, "127.0.0.1");
