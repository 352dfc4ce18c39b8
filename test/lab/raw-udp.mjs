// UDP datagrams from any source address, by a raw socket. Takes root.
import koffi from 'koffi'

const AF_INET = 2
const SOCK_RAW = 3
const IPPROTO_IP = 0
const IPPROTO_RAW = 255
const IP_MULTICAST_IF = 32
const IP_MULTICAST_LOOP = 34

const HEADERS = 28

const libc = koffi.load('libc.so.6')
const socket = libc.func('int socket(int domain, int type, int protocol)')
const setsockopt = libc.func('int setsockopt(int fd, int level, int option, void *value, uint32_t length)')
const sendto = libc.func(
  'int64_t sendto(int fd, void *bytes, size_t length, int flags, void *address, uint32_t addressLength)',
)

const inet = (address) => Buffer.from(address.split('.').map(Number))

/**
 * Opens a raw socket on the interface with that address.
 * @returns a function that sends a payload as if it came from `from`, to `to`, both with an IPv4 address and a port. The kernel fills
 * in the length and checksum of IP; UDP goes without.
 */
export function openRaw(ownAddress) {
  const raw = socket(AF_INET, SOCK_RAW, IPPROTO_RAW)
  if (raw < 0) throw new Error('no raw socket: it takes root')
  setsockopt(raw, IPPROTO_IP, IP_MULTICAST_IF, inet(ownAddress), 4)
  // What it sends itself, it does not want to hear.
  setsockopt(raw, IPPROTO_IP, IP_MULTICAST_LOOP, Buffer.alloc(4), 4)
  const destination = Buffer.alloc(16)
  destination.writeUInt16LE(AF_INET, 0)
  return (from, to, payload) => {
    inet(to.address).copy(destination, 4)
    const packet = Buffer.alloc(HEADERS + payload.length)
    packet[0] = 0x45
    packet[8] = 1
    packet[9] = 17
    inet(from.address).copy(packet, 12)
    inet(to.address).copy(packet, 16)
    packet.writeUInt16BE(from.port, 20)
    packet.writeUInt16BE(to.port, 22)
    packet.writeUInt16BE(8 + payload.length, 24)
    packet.set(payload, HEADERS)
    return sendto(raw, packet, packet.length, 0, destination, destination.length) >= 0
  }
}
