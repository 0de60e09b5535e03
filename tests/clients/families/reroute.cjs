// A preload (`node --require`): every connection goes to the port of REROUTE_PORT on loopback, whatever host and port it was
// for. TLS still asks for the host's own name and verifies it, by NODE_EXTRA_CA_CERTS. Node 20 has no switch for this: its
// fetch knows no proxy, and the axios of npm's zibal sends no CONNECT.
const net = require("node:net");

const port = Number(process.env.REROUTE_PORT);
const connect = net.Socket.prototype.connect;

net.Socket.prototype.connect = function (...args) {
  // Node's own callers hand over one array of options and callback; others an object or a port.
  const [options, callback] = Array.isArray(args[0]) ? args[0] : [args[0], args.at(-1)];
  if (typeof options !== "object" || options === null || options.path) throw new Error("reroute.cjs knows connections of TCP only");
  const there = { ...options, host: "127.0.0.1", port, lookup: undefined };
  return connect.call(this, there, typeof callback === "function" ? callback : undefined);
};
