import { expect, it } from 'vitest'
import { mapEntry } from '../../../src/deployer/host/image-map.ts'

const ENTRY =
  '{ "start": 65536, "length": 131072, "depth": 0, "present": true, "zero": false, "data": true, "offset": 327680}'

it.each([`[${ENTRY},`, `${ENTRY},`, `${ENTRY}]`, `[${ENTRY}]`])('an entry of a map is read from %j', (line) => {
  expect(mapEntry('QEMU_FAILED', line)).toMatchObject({
    start: 65_536,
    length: 131_072,
    depth: 0,
    present: true,
    data: true,
  })
})

it.each(['[]', '[', ']', ''])('there is none in %j', (line) => {
  expect(mapEntry('QEMU_FAILED', line)).toBeUndefined()
})

it.each(['{ "start": 0,', 'null', '{ "start": "0", "length": 1}', 'Offset Length'])('%j is refused', (line) => {
  const text = `cannot run qemu-img map: it printed ${JSON.stringify(line)}, which is no entry`
  expect(() => mapEntry('STORAGE_FAILED', line)).toThrow(
    expect.objectContaining({ code: 'STORAGE_FAILED', message: text }),
  )
})
