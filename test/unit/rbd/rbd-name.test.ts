import { describe, expect, it } from 'vitest'
import { isRbdName, parseRbdName } from '../../../src/rbd/index.ts'

describe('names of RBD images', () => {
  it.each([
    ['rbd:disk', { image: 'disk' }],
    ['rbd:pool/disk', { pool: 'pool', image: 'disk' }],
    ['rbd:pool/name space/disk@snap-1', { pool: 'pool', namespace: 'name space', image: 'disk', snapshot: 'snap-1' }],
    ['rbd:--image@rbd:', { image: '--image', snapshot: 'rbd:' }],
  ])('%s is taken apart', (text, name) => {
    expect(isRbdName(text)).toBe(true)
    expect(parseRbdName(text)).toEqual(name)
  })

  it.each([
    ...['rbd:', 'rbd:@snap', 'rbd:disk@', 'rbd:pool/', 'rbd:/disk', 'rbd:pool//disk', 'rbd:a/b/c/d'],
    ...['rbd:disk@a@b', 'rbd:disk@a/b', 'rbd:di\nsk', `rbd:${'x'.repeat(4097)}`, 'disk'],
  ])('%j is refused', (text) => {
    expect(() => parseRbdName(text)).toThrow(/^cannot use ".*as the name of an RBD image; expected rbd:/s)
  })

  it('a path is none', () => {
    expect(['./rbd:disk', '/rbd:disk', 'RBD:disk', 'rbd'].map(isRbdName)).toEqual([false, false, false, false])
  })
})
