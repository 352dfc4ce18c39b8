import { existsSync, readdirSync } from 'node:fs'
import { networkInterfaces } from 'node:os'
import { describe, expect, it } from 'vitest'
import { resolveInterface, zoneOf } from '../../../src/io/network-interface.ts'

const [loopback] = Object.entries(networkInterfaces())
  .filter(([, addresses]) => addresses?.some(({ address }) => address === '127.0.0.1'))
  .map(([name]) => name)

describe('resolveInterface', () => {
  it('leaves the choice to the system when none is named', () => {
    expect(resolveInterface(undefined, 4)).toBeUndefined()
  })

  it('finds an interface by its name and by its address', () => {
    const byName = resolveInterface(loopback, 4)
    expect(byName).toMatchObject({ name: loopback, address: '127.0.0.1', family: 4 })
    expect(resolveInterface('127.0.0.1', 4)).toEqual(byName)
  })

  it.runIf(process.platform === 'linux')('knows number and MTU', () => {
    const found = resolveInterface(loopback, 4)
    expect(found?.index).toBeGreaterThan(0)
    expect(found?.mtuBytes).toBeGreaterThanOrEqual(576)
  })

  it('lists the interfaces that there are when none matches', () => {
    const resolve = (): unknown => resolveInterface('skilfish-none', 4)
    expect(resolve).toThrow(expect.objectContaining({ code: 'INTERFACE_NOT_FOUND' }) as Error)
    expect(resolve).toThrow(
      /^cannot use the interface "skilfish-none": it does not exist; those with IPv4 are .*\(127\.0\.0\.1\)/,
    )
  })

  const [idle] = (existsSync('/sys/class/net') ? readdirSync('/sys/class/net') : []).filter(
    (name) => !(name in networkInterfaces()),
  )
  it.runIf(idle !== undefined)('says of one that is down that it is, not that there is none', () => {
    expect(() => resolveInterface(idle, 4)).toThrow(`"${idle}": it is down, or has no address; those with IPv4 are `)
  })

  it('does not take an address of the other family', () => {
    expect(() => resolveInterface('127.0.0.1', 6)).toThrow('does not exist; those with IPv6 are ')
  })
})

it('names the interface in an IPv6 address by its name', () => {
  expect(zoneOf({ name: 'eth7', family: 6, address: 'fe80::7', index: 7, mtuBytes: undefined })).toBe(
    process.platform === 'win32' ? '7' : 'eth7',
  )
})
