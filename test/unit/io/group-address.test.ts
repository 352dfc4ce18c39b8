import { describe, expect, it } from 'vitest'
import { SkilfishError } from '../../../src/errors.ts'
import { formatEndpoint, needsInterface, parseGroup } from '../../../src/io/group-address.ts'

describe('parseGroup', () => {
  it.each([
    ['239.1.2.3', { address: '239.1.2.3', port: 4000, family: 4 }],
    ['224.0.0.0:1', { address: '224.0.0.0', port: 1, family: 4 }],
    ['239.255.255.255:65535', { address: '239.255.255.255', port: 65_535, family: 4 }],
    ['ff15::1', { address: 'ff15::1', port: 4000, family: 6 }],
    ['[ff15::1]', { address: 'ff15::1', port: 4000, family: 6 }],
    ['[ff15::1]:9000', { address: 'ff15::1', port: 9000, family: 6 }],
    ['[FF15:0:0::0001]:9000', { address: 'ff15::1', port: 9000, family: 6 }],
    ['ff15:1:2:3:4:5:6:7', { address: 'ff15:1:2:3:4:5:6:7', port: 4000, family: 6 }],
    // Without brackets all of it is the address.
    ['ff15::1:9000', { address: 'ff15::1:9000', port: 4000, family: 6 }],
  ])('reads %s', (text, group) => {
    expect(parseGroup(text, 4000)).toEqual(group)
  })

  it.each([
    ['192.168.1.1', 'not a multicast address; it must be in 224.0.0.0/4'],
    ['223.255.255.255', 'not a multicast address'],
    ['240.0.0.0', 'not a multicast address'],
    ['fe80::1', 'not a multicast address; it must be in ff00::/8'],
    ['ff1::1', 'not a multicast address'],
    ['::ffff:239.1.2.3', 'not a multicast address'],
    ['239.1.2.3:0', 'the port is "0"; it must be 1 to 65535'],
    ['239.1.2.3:65536', 'the port is "65536"'],
    ['239.1.2.3:', 'the port is ""'],
    ['239.1.2.3:9e3', 'the port is "9e3"'],
    ['[ff15::1]:-1', 'the port is "-1"'],
    ['[ff15::1]9000', 'it must be ADDRESS or ADDRESS:PORT'],
    ['239.1.2', 'it must be ADDRESS or ADDRESS:PORT'],
    ['239.01.2.3', 'it must be ADDRESS or ADDRESS:PORT'],
    ['group.example', 'it must be ADDRESS or ADDRESS:PORT'],
    ['', 'it must be ADDRESS or ADDRESS:PORT'],
    ['ff12::1%eth0', 'name the interface by its own option'],
  ])('refuses %j and says why', (text, why) => {
    const parse = (): unknown => parseGroup(text, 4000)
    expect(parse).toThrow(SkilfishError)
    expect(parse).toThrow(expect.objectContaining({ code: 'OPTION_INVALID' }) as Error)
    expect(parse).toThrow(`cannot use ${JSON.stringify(text)} as the group: `)
    expect(parse).toThrow(why)
  })
})

it.each(['239.1.2.3:9000', '[ff15::1]:9000'])('formats %s as it was read', (text) => {
  const { address, port } = parseGroup(text, 1)
  expect(formatEndpoint(address, port)).toBe(text)
})

it.each([
  ['ff01::1', true],
  ['ff12::1', true],
  ['ff14::1', false],
  ['ff1e::1', false],
  ['239.1.2.3', false],
])('tells whether %s needs an interface', (text, needed) => {
  expect(needsInterface(parseGroup(text, 1))).toBe(needed)
})
