import { networkInterfaces } from 'node:os'
import { describe, expect, it } from 'vitest'
import { PeerName } from '../../../src/io/peer-name.ts'

/** `struct sockaddr_in` after five bytes of something else. */
const ipv4Name = (port: number, ...address: number[]): Uint8Array =>
  Uint8Array.from([9, 9, 9, 9, 9, 2, 0, port >> 8, port & 0xff, ...address, 0, 0, 0, 0, 0, 0, 0, 0])

function ipv6Name(words: readonly number[], scope: number): Uint8Array {
  const name = new Uint8Array(5 + 28)
  const view = new DataView(name.buffer, 5)
  view.setUint16(2, 9757)
  words.forEach((word, index) => view.setUint16(8 + 2 * index, word))
  view.setUint32(24, scope, true)
  return name
}

describe('a socket address', () => {
  it('of IPv4 is read, the same object for the same address', () => {
    const peers = new PeerName(4)
    const first = peers.read(ipv4Name(65_535, 192, 0, 2, 1), 5)
    expect(first).toEqual({ address: '192.0.2.1', port: 65_535 })
    expect(peers.read(ipv4Name(65_535, 192, 0, 2, 1), 5)).toBe(first)
    expect(peers.read(ipv4Name(256, 192, 0, 2, 1), 5)).toEqual({ address: '192.0.2.1', port: 256 })
    expect(peers.read(ipv4Name(256, 10, 0, 0, 255), 5)).toEqual({ address: '10.0.0.255', port: 256 })
    expect(first).toEqual({ address: '192.0.2.1', port: 65_535 })
  })

  it.each([
    [[0x2001, 0xdb8, 0, 0, 0, 0, 0, 1], 7, '2001:db8::1'],
    [[0, 0, 0, 0, 0, 0, 0, 1], 0, '::1'],
    [[0xfd77, 0, 0, 1, 0, 0, 0, 0], 0, 'fd77:0:0:1::'],
    [[0xfe80, 0, 0, 0, 0xabcd, 0, 0, 1], 0, 'fe80::abcd:0:0:1'],
    [[0xfe80, 0, 0, 0, 0, 0, 0, 1], 1_234_567, 'fe80::1%1234567'],
  ])('of IPv6 is read as text: %j in scope %d', (words, scope, address) => {
    expect(new PeerName(6).read(ipv6Name(words, scope), 5)).toEqual({ address, port: 9757 })
  })

  const linkLocal = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).flatMap((entry) => (entry.family === 'IPv6' && entry.scopeid > 0 ? [{ name, ...entry }] : [])),
  )[0]
  it.runIf(linkLocal)('of a link is read with the name of its interface', () => {
    const peers = new PeerName(6)
    const name = ipv6Name([0xfebf, 0, 0, 0, 0, 0, 0, 2], linkLocal!.scopeid)
    expect(peers.read(name, 5).address).toBe(`febf::2%${linkLocal!.name}`)
  })
})
