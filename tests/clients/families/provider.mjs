// A provider of OpenID Connect for the tests: `node provider.mjs NODE_MODULES PORT REDIRECT_URI`. Whoever logs in as
// "owners-sara" is sara of the group "owners". A line on standard input makes it begin anew with these keys.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const [modules, port, redirect] = process.argv.slice(2)
const entry = createRequire(`${modules}/`).resolve('oidc-provider')
const { Provider } = await import(pathToFileURL(entry))

function provider(keys) {
  return new Provider(`http://127.0.0.1:${port}`, {
    clients: [{ client_id: 'dargah', client_secret: 'canary-oidc-secret-5e0c', redirect_uris: [redirect] }],
    claims: { openid: ['sub'], profile: ['preferred_username', 'groups'] },
    conformIdTokenClaims: false,
    cookies: { keys: ['of the tests'] },
    jwks: { keys },
    async findAccount(_context, sub) {
      const [group, name] = sub.split('-')
      return { accountId: sub, claims: () => ({ sub, preferred_username: name, groups: [group] }) }
    },
  })
}

let answer
const lines = createInterface({ input: process.stdin })
const server = createServer((request, response) => answer(request, response))
for await (const line of lines) {
  answer = provider(JSON.parse(line)).callback()
  if (!server.listening) await new Promise((done) => server.listen(Number(port), '127.0.0.1', done))
  console.log('ready')
}
server.close()
server.closeAllConnections()
