// A js-libp2p peer, none of our code but this file, that is told what to do by lines of JSON on
// its standard input and answers each by one line on its standard output.
//
//   {"do": "dial", "to": ADDRESS}                     {"done": true}
//   {"do": "frames", "protocols": […], "lengths": […]}    {"protocol", "answers": [true…]}
//                            the first protocol that is taken; whether each echo was the same
//   {"do": "raw", "protocol", "hex": "…"}             {"ended": true}         the other side closed
//   {"do": "ping"}                                    {"ping": milliseconds}
//   {"do": "identify"}                                {"identify": "…"}       the agent's name
//   {"do": "links"}                                   {"links": 1}
//
// What goes wrong is answered by {"error": NAME OF THE ERROR}. It serves identify, ping and an
// echo of /shoal/packet/1 (frames of 3,072 bytes) and /shoal/dht/1 (u32 length, then the frame).

// js-libp2p wants it, and Node has it from 22 on.
Promise.withResolvers ??= function () {
  let resolve, reject
  const promise = new Promise((yes, no) => {
    resolve = yes
    reject = no
  })
  return { promise, resolve, reject }
}

const { createLibp2p } = await import('libp2p')
const { identify } = await import('@libp2p/identify')
const { noise } = await import('@libp2p/noise')
const { ping } = await import('@libp2p/ping')
const { tcp } = await import('@libp2p/tcp')
const { yamux } = await import('@libp2p/yamux')
const { multiaddr } = await import('@multiformats/multiaddr')
const { createInterface } = await import('node:readline')
const { randomBytes } = await import('node:crypto')

const PACKET = '/shoal/packet/1'
const PACKET_BYTES = 3072
const PREFIXED = ['/shoal/dht/1', '/shoal/directory/1']
const WAIT_MS = 10_000

const peer = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping() },
})

// Everything that came over a stream, and a wait until there is so much of it.
function reader(stream) {
  let held = Buffer.alloc(0)
  let ended = false
  let wake = () => {}
  stream.addEventListener('message', (event) => {
    held = Buffer.concat([held, Buffer.from(event.data.subarray())])
    wake()
  })
  for (const end of ['remoteCloseWrite', 'close']) {
    stream.addEventListener(end, () => {
      ended = true
      wake()
    })
  }
  return {
    async take(count) {
      while (held.length < count) {
        if (ended) throw new Error('ended')
        await new Promise((resolve) => (wake = resolve))
      }
      const taken = held.subarray(0, count)
      held = held.subarray(count)
      return taken
    },
    async end() {
      while (!ended) await new Promise((resolve) => (wake = resolve))
    },
  }
}

async function write(stream, bytes) {
  if (!stream.send(bytes)) await stream.onDrain()
}

async function readFrame(read, protocol) {
  if (protocol === PACKET) return read.take(PACKET_BYTES)
  return read.take((await read.take(4)).readUInt32BE())
}

function framed(frame, protocol) {
  if (protocol === PACKET) return frame
  const head = Buffer.alloc(4)
  head.writeUInt32BE(frame.length)
  return Buffer.concat([head, frame])
}

for (const protocol of [PACKET, ...PREFIXED]) {
  await peer.handle(protocol, async (stream) => {
    const read = reader(stream)
    try {
      while (true) await write(stream, framed(await readFrame(read, protocol), protocol))
    } catch {
      await stream.close().catch(() => {})
    }
  })
}

let link

const commands = {
  async dial({ to }) {
    link = await peer.dial(multiaddr(to), { signal: AbortSignal.timeout(WAIT_MS) })
    return { done: true }
  },
  async frames({ protocols, lengths }) {
    const stream = await link.newStream(protocols, { signal: AbortSignal.timeout(WAIT_MS) })
    const protocol = stream.protocol
    const read = reader(stream)
    const answers = []
    for (const length of lengths) {
      const frame = randomBytes(length)
      await write(stream, framed(frame, protocol))
      answers.push(frame.equals(await readFrame(read, protocol)))
    }
    await stream.close()
    return { protocol, answers }
  },
  async raw({ protocol, hex }) {
    const stream = await link.newStream(protocol, { signal: AbortSignal.timeout(WAIT_MS) })
    const read = reader(stream)
    await write(stream, Buffer.from(hex, 'hex'))
    await read.end()
    return { ended: true }
  },
  async ping() {
    return { ping: await peer.services.ping.ping(link.remotePeer) }
  },
  async identify() {
    return { identify: (await peer.services.identify.identify(link)).agentVersion }
  },
  async links() {
    return { links: peer.getConnections().filter((one) => one.status === 'open').length }
  },
}

process.stdout.write(`${peer.getMultiaddrs()[0]}\n`)
for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line)
  let answer
  try {
    answer = await commands[asked.do](asked)
  } catch (error) {
    answer = { error: error.name }
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}
process.exit(0)
